"""Measures the engine: right answers, hostile input, speed. A caller of the front door, as the app is."""

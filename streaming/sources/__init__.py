"""Producers of messages: the simulator, replays of recordings, a live public feed. Each is a producer like any other."""

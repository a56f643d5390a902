"""What is true now: broker, sources, the stream, live views and history, and the catalogue that defines the views."""

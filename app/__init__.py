"""Service, command line and chat page: how people and programs reach the engine."""

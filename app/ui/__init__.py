"""The chat page. It talks to the service only, with the rights of who signed in."""

"""The command line. It talks to a server through the client library alone."""

"""The data plane: from a checked request to an answer and its usage record."""

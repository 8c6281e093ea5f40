"""Language models: what is asked of an engine and what it says, whichever engine it is."""

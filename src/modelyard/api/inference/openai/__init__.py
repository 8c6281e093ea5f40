"""The OpenAI API, written once above whatever engine generates."""

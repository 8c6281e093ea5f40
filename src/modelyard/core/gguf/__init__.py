"""GGUF files of language models: read and checked before any engine sees them."""

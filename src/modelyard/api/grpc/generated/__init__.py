"""Made from `inference.proto` by `make proto`."""

"""Tests of the whole; a package, so that the server of its `conftest` ends with the last of them."""

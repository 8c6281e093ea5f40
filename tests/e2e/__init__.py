"""Tests of the whole; a package, so that the server of `conftest` ends with the last of them."""

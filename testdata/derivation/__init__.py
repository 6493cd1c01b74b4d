"""How the test data is derived from the public packages; see ../README.md."""

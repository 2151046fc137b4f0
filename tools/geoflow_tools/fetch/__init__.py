"""Real meshes from packages of Debian and PyPI: each source is a file, and a row of FETCHERS."""

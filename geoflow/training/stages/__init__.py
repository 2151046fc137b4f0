"""The stages of a run, one a file: a batch, and a loss of it."""

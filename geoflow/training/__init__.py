"""Training: two stages, their options, checkpoints, and the run that joins them."""

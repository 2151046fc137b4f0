"""Jumps of a model of latents, fitted to whole solutions of its own ODE that are made once."""

"""Viewers of meshes: a window, and a picture for machines without a display."""

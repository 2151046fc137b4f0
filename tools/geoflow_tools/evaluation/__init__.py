"""Evaluation of a set of shapes against a reference set, resumable; behind `geoflow evaluate`."""

"""Geometry without learning: solids, extraction of meshes, mesh files, metrics."""

"""Sources of shapes. `load` takes "procedural" or the path of a folder of meshes."""

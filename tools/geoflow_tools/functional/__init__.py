"""The functional formulation: a random function carried to a shape's field, with no latent."""

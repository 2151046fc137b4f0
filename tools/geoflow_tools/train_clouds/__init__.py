"""How the shipped model of airplanes is trained on: on one GPU, in ten minutes.

Both maps are fitted to whole solutions of their own averaged ODE: a target has no noise, and no
error but the solver's and the velocity's. Clouds are made beside the training.
"""

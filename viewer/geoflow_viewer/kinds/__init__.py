"""How each kind of model makes shapes of a state: every room has a class `Source`."""

"""How good the models of each part are by class, and in measures beyond accuracy."""

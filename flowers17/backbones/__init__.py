"""Pre-trained networks: their names, the facts about those of Keras, and a choice among them."""

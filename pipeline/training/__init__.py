"""How a network is trained: the loop, its checkpoints and previews, and its failures."""

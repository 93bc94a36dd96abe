"""How a network is trained: the loop, its runs and checkpoints, and its previews."""

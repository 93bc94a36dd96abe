"""What the networks learn from: scenes, outlines and pairs, chosen and varied."""

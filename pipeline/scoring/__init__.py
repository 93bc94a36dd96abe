"""Scores against true masks, and the tables that show them."""

"""Processes: one a step, workers beside it, and the lock that keeps a second run away."""

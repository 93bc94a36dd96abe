"""Particles in a mask: how they are split and grown, outlined, measured and counted."""

"""Micrographs as the networks see them: their scale, and their contrast."""

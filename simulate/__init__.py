"""Simulated mask images and example micrographs; NumPy, OpenCV and scikit-image only."""

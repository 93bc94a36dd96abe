"""The correction for leaving out particles that the image's edge cuts."""

import numpy as np


def inclusion_weights(columns: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return for how many particles of its size each one stands that the image's edge does not cut.

    A bounding box of w x h pixels lies inside an image of W x H in (W - w)(H - h) of W H positions.
    So leaving out what is cut favours small particles, unless each counts W H / ((W - w)(H - h)).

    ``columns``: ``bounding_box_height`` and ``bounding_box_width`` (n,), in pixels; ``shape``
    (H, W). What fills the image in one direction, and so touches its edge, counts as if a pixel
    smaller.

    Source: ISO 13322-1 (the correction of Miles and Lantuéjoul).
    """
    height, width = shape
    rows = np.maximum(height - columns["bounding_box_height"], 1)
    across = np.maximum(width - columns["bounding_box_width"], 1)
    return height * width / (rows * across)

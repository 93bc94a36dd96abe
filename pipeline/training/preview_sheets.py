"""Contact sheets that show how training goes: arrays in, a picture out."""

import cv2
import numpy as np
from skimage.util import montage

GAP = 4  # pixels of white between the pictures


def contact_sheet(images, columns):
    """Return uint8 images (h, w) or (h, w, 3) of one size side by side, (H, W, 3), RGB."""
    images = [np.dstack([image] * 3) if image.ndim == 2 else image for image in images]
    rows = -(-len(images) // columns)
    how = {"fill": (255,) * 3, "padding_width": GAP, "channel_axis": -1}
    return montage(images, grid_shape=(rows, columns), **how)


def outline_overlay(micrograph, mask):
    """Return the darkened micrograph with the mask's outline in red: uint8 (h, w, 3), RGB.

    ``micrograph`` and ``mask`` are uint8 (h, w), the mask above 127 inside.
    """
    inside = (mask > 127).astype(np.uint8)
    edge = inside - cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    overlay = np.dstack([micrograph // 2] * 3)
    overlay[edge] = (255, 40, 40)
    return overlay

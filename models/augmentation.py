"""Differentiable augmentation of what a discriminator sees, so that few images last longer.

Real and fake images are changed alike, each by its own chances, and the generators learn through
the changes. Source: Zhao et al., arXiv 2006.10738 (brightness, contrast, translation, cutout).
"""

import numpy as np
from keras import ops

LARGEST_SHIFT = 1 / 8  # of the height and the width
HOLE = 1 / 2  # side of the square that is cut out, likewise
CHANCES = 6  # numbers that decide on one image


def draw_chances(random, batch_size):
    """Return the uniform random numbers of one training step: float32 (2, 3, batch, 6) in [0, 1).

    For the images of A and B, each time a discriminator sees them; see ``CycleGan.train_step``.
    """
    return random.random((2, 3, batch_size, CHANCES), dtype=np.float32)


def augment(images, chances, change_grey):
    """Return images (b, h, w, 1) in [-1, 1], each shifted, with a hole, and of another grey.

    ``chances`` (b, 6) in [0, 1) decide how far. What is shifted in and the hole are 0.
    ``change_grey`` False leaves brightness and contrast, which masks do not vary in, as they are.
    """
    columns = ops.split(chances[:, :, None, None], CHANCES, axis=1)  # each (b, 1, 1, 1)
    brightness, contrast, down, right, row, column = (column[:, 0] for column in columns)
    height, width = images.shape[1:3]
    x = images[..., 0]
    if change_grey:
        mean = ops.mean(x, axis=(1, 2), keepdims=True)
        x = (x - mean) * (contrast + 0.5) + mean + (brightness - 0.5)
    # Shifts and holes differ from image to image, shapes do not: matrices of 0 and 1. (In TF32
    # their products are rounded, as the discriminator's first convolution rounds its input.)
    x = ops.matmul(_shift(height, down), x)
    x = ops.matmul(x, ops.transpose(_shift(width, right), (0, 2, 1)))
    in_hole = _within(height, row)[:, :, None] * _within(width, column)[:, None, :]
    return (x * (1.0 - in_hole))[..., None]


def _shift(length, chance):
    """Return matrices (b, length, length) that shift columns of that length."""
    largest = int(length * LARGEST_SHIFT)
    by = ops.floor(chance * (2 * largest + 1)) - largest  # (b, 1, 1)
    places = ops.arange(length, dtype="float32")
    return ops.cast(ops.equal(places[None, :, None] - places[None, None, :], by), "float32")


def _within(length, chance):
    """Return (b, length): 1 in a stretch that may go beyond either end, 0 elsewhere."""
    side = int(length * HOLE)
    first = ops.floor(chance[:, 0] * (length + 1)) - side // 2  # (b, 1)
    places = ops.arange(length, dtype="float32")[None]
    inside = ops.logical_and(places >= first, places < first + side)
    return ops.cast(inside, "float32")

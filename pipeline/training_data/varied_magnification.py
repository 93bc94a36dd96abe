"""The same particles at smaller magnifications: what keeps a UNet from asking for clear gaps.

A generator draws each gap between particles about as wide and as dark; in real micrographs many are
narrower and fainter, and a network that has not seen such paints them over. In a pair that is
reduced they are. Source: the scale jittering of Simonyan and Zisserman, arXiv 1409.1556.
"""

import cv2
import numpy as np


def vary_magnification(
    image: np.ndarray, target: np.ndarray, least: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and what the UNet is to say of it, reduced by a random factor.

    Both keep their size: all round them lies their own mirror image, in which particles that the
    edge cuts go on.

    Parameters
    ----------
    image : float32 (h, w, 1).
    target : float32 (h, w, 1 to 3) in [0, 1]; see `read_target`. Its first channel is the mask, and
        stays 0 or 1.
    least : the factor is between this, above 0, and 1.
    """
    factor, *place = random.uniform((least, 0.0, 0.0), 1.0)
    image, target = (_reduced(array, factor, place) for array in (image, target))
    target[..., 0] = target[..., 0] > 0.5
    return image, target


def _reduced(array, factor, place):
    size = [max(round(side * factor), 1) for side in array.shape[:2]]
    small = cv2.resize(array, size[::-1], interpolation=cv2.INTER_AREA).reshape(*size, -1)
    around = [side - within for side, within in zip(array.shape[:2], size, strict=True)]
    before = [round(margin * share) for margin, share in zip(around, place, strict=True)]
    margins = [(start, both - start) for start, both in zip(before, around, strict=True)]
    return np.pad(small, [*margins, (0, 0)], mode="symmetric")

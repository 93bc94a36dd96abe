"""Micrographs at another size, as the networks see them."""

import math

import cv2
import numpy as np

from pipeline.intensities import clip_spikes


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return (height, width) in pixels of an image of ``size`` at a scale."""
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (h, w) at another size, (height, width), with no grey outside its range.

    uint8, uint16 and float32 stay what they are, other types become float64. An image that has the
    size already is returned as it is.
    """
    if image.shape == tuple(size):
        return image
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float64)
    interpolation = cv2.INTER_CUBIC if math.prod(size) > image.size else cv2.INTER_AREA
    resized = cv2.resize(image, size[::-1], interpolation=interpolation)
    return np.clip(resized, image.min(), image.max(), out=resized)


def at_scale(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image (h, w) enlarged, or reduced, by a factor; see `resize`."""
    return resize(image, scaled_size(image.shape, scale))


def as_cyclegan_sees(micrograph: np.ndarray, scale: float) -> np.ndarray:
    """Return a micrograph (h, w) without spikes (`clip_spikes`), resized by MICROGRAPH_SCALE.

    So the CycleGAN does, which stretches its greys after; the UNet's contrast is set before.
    """
    return at_scale(clip_spikes(micrograph), scale)

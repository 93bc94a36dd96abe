"""Micrographs and masks as the CycleGAN sees them, and back: arrays in, arrays out."""

from typing import NamedTuple

import numpy as np

from pipeline.intensities import above_half, is_flat, stretch_to_uint8


def as_tile(image):
    """Return a tile (h, w) as uint8: as it is, as step 0 stretched it; one of another type, from
    elsewhere, is stretched."""
    return image if image.dtype == np.uint8 else stretch_to_uint8(image)


class Coding(NamedTuple):
    """How a CycleGAN's tiles are encoded: micrographs negated or not, masks from 0 or -1 to 1."""

    invert_images: bool
    in_unit_range: bool

    def encode_micrograph(self, image):
        """Return a tile (h, w), see `as_tile`, as networks see it: float32 (h, w, 1), -1 to 1."""
        image = as_tile(image).astype(np.float32)[..., None] / 127.5 - 1.0
        return -image if self.invert_images else image

    def decode_micrograph(self, image):
        """Undo ``encode_micrograph``: float32 (h, w, 1) in [-1, 1] to uint8 (h, w)."""
        image = -image[..., 0] if self.invert_images else image[..., 0]
        return _to_uint8((image + 1.0) * 127.5)

    def stretch_micrograph(self, fake):
        """Return a fake micrograph, float32 (h, w, 1), with all greys, uint8 (h, w); flat ones 0.

        Stretched, a flat one would be noise, which the steps after take for what particles look
        like.
        """
        return _stretch(-fake[..., 0] if self.invert_images else fake[..., 0], 2.0)

    def encode_mask(self, mask):
        """Return a mask (h, w) as the networks see it: float32 (h, w, 1), -1 or 0, and 1.

        Particles are above half of its range, as in all masks.
        """
        mask = above_half(mask).astype(np.float32)[..., None]
        return mask if self.in_unit_range else mask * 2.0 - 1.0

    def decode_mask(self, mask):
        """Undo ``encode_mask``: float32 (h, w, 1) to uint8 (h, w), 0..255."""
        mask = mask[..., 0]
        return _to_uint8((mask if self.in_unit_range else (mask + 1.0) / 2.0) * 255.0)

    def stretch_mask(self, fake):
        """Return a fake mask, float32 (h, w, 1), stretched to 0..255, uint8 (h, w); 0 if flat."""
        return _stretch(fake[..., 0], 1.0 if self.in_unit_range else 2.0)


def _stretch(output, span):
    """Return an output, float (h, w), stretched; flat is what varies little in its ``span``."""
    flat = is_flat(output / np.float32(span))
    return np.zeros(output.shape, np.uint8) if flat else stretch_to_uint8(output)


def _to_uint8(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)

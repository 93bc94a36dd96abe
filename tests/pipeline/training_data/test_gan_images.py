"""Masks, such as with the greys that programs leave at smoothed rims, as the CycleGAN sees them."""

import numpy as np

from pipeline.training_data.gan_images import Coding


def test_what_is_above_half_of_the_range_is_particle():
    mask = np.array([[0, 100, 127, 128, 200, 255]], np.uint8)
    for scaled in (mask, mask // 2, mask / np.float32(255)):
        assert Coding(False, True).encode_mask(scaled)[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]
        assert Coding(False, False).encode_mask(scaled)[0, :, 0].tolist() == [-1, -1, -1, 1, 1, 1]

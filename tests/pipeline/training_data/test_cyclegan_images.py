"""Masks, such as with the greys that programs leave at smoothed rims, as the CycleGAN sees them."""

import numpy as np
import pytest

from pipeline.training_data.cyclegan_images import Coding


def test_what_is_above_half_of_the_range_is_particle():
    mask = np.array([[0, 100, 127, 128, 200, 255]], np.uint8)
    for scaled in (mask, mask // 2, mask / np.float32(255)):
        assert Coding(False, True).encode_mask(scaled)[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]
        assert Coding(False, False).encode_mask(scaled)[0, :, 0].tolist() == [-1, -1, -1, 1, 1, 1]


@pytest.mark.parametrize(("in_unit_range", "span"), [(True, 1.0), (False, 2.0)])
def test_what_is_flat_is_a_share_of_what_an_output_could_be(in_unit_range, span):
    ramp = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (20, 1))[..., None]
    coding = Coding(True, in_unit_range)
    assert not coding.stretch_mask(0.04 * span * ramp - 0.5).any()
    stretched = coding.stretch_mask(0.06 * span * ramp - 0.5)
    assert stretched.shape == (20, 50) and stretched.min() == 0 and stretched.max() == 255
    assert not coding.stretch_micrograph(0.08 * ramp).any()  # from -1 to 1 in any case
    negated = coding.stretch_micrograph(0.12 * ramp)
    assert negated[0, 0] == 255 and negated[0, -1] == 0

"""A rim of one pixel on either side of a particle's edge does not count for the fidelity."""

import numpy as np
import pytest

from pipeline.training_data import pair_fidelity
from pipeline.training_data.pair_fidelity import measure_fidelity


def square(side):
    mask = np.zeros((60, 60), bool)
    start = 30 - side // 2
    mask[start : start + side, start : start + side] = True
    return mask


@pytest.mark.parametrize(
    ("shown", "fidelity"),
    [(20, 1), (18, 1), (22, 1), (16, 16**2 / 18**2), (24, 20**2 / (20**2 + 24**2 - 22**2))],
)
def test_edges_may_lie_a_pixel_further_in_or_out(monkeypatch, shown, fidelity):
    monkeypatch.setattr(
        pair_fidelity, "foreground_of_micrograph", lambda image, dark_background: image > 0
    )
    micrograph = square(shown).astype(np.uint8)
    assert measure_fidelity(square(20), micrograph, True) == pytest.approx(fidelity)

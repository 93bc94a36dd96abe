"""A particle just as bright as the threshold of its micrograph stays."""

import numpy as np
import pytest

from pipeline import particle_masks


@pytest.mark.parametrize("dark_background", [True, False])
def test_a_particle_as_bright_as_the_threshold_stays(monkeypatch, dark_background):
    labels = np.zeros((20, 30), np.uint16)
    labels[5:9, 5:9], labels[5:9, 15:19] = 1, 2
    micrograph = np.zeros((20, 30), np.uint8)
    micrograph[labels == 1], micrograph[labels == 2] = 120, 119
    if not dark_background:
        micrograph = 255 - micrograph
    monkeypatch.setattr(particle_masks, "threshold_li", lambda image: 120.0)
    kept = particle_masks.filter_particles(labels, micrograph, dark_background)
    assert np.unique(kept).tolist() == [0, 1]

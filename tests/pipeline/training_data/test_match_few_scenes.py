"""What is fitted to micrographs that tell little."""

import re

import numpy as np
import pytest
from skimage.draw import disk

from pipeline.training_data.match_scenes import fit_options
from pipeline.training_data.scenes import Scene
from pipeline.training_data.scenes_of_micrographs import Micrographs
from pipeline.training_data.single_particles import Singles
from simulate.outlines import SCALING, typical_core_diameter

OPTIONS = dict(zip(SCALING, (True, 1.0, 0.1, 0.75, 1.25), strict=True)) | {
    "use_perlin_noise": False,
    "perlin_noise_frequency": 4,
    "tile_height": 64,
    "tile_width": 64,
    "micrograph_scale": 1.0,
}


def square(side):
    labels = np.zeros((64, 64), np.uint16)
    labels[10 : 10 + side, 10 : 10 + side] = 1
    return labels


def simulate(index, coverage):
    return square(20)


def fit(singles, core_diameter=float):
    found = Singles(np.full(singles, 30.0), *np.ones((2, singles)))
    micrographs = Micrographs([Scene(0.1, 20.0, found)], found)
    return fit_options(micrographs, lambda tried: (simulate, None), core_diameter, OPTIONS)


def test_the_scale_of_few_single_particles_is_not_fitted_which_is_said(caplog):
    assert fit(9) == OPTIONS
    assert "9 single particles in the micrographs" in caplog.text
    assert "too few to fit the scale" in caplog.text


@pytest.mark.parametrize("diameter", [20, 40])
def test_the_scale_advised_where_none_is_fitted_keeps_the_size_that_was_traced(caplog, diameter):
    outline = np.zeros((64, 64), np.uint8)
    outline[disk((32, 32), diameter / 2)] = 255
    fit(9, lambda scale: typical_core_diameter([outline], scale))
    (advised,) = re.findall(r"that are ([\d.]+) times as large make up for it", caplog.text)
    kept = typical_core_diameter([outline], float(advised))
    assert kept == pytest.approx(diameter, abs=0.8)


def test_the_scale_of_ten_single_particles_is_fitted(caplog):
    assert fit(10) != OPTIONS
    assert not caplog.text


def test_without_noise_its_frequency_is_not_fitted():
    assert fit(10)["perlin_noise_frequency"] == 4

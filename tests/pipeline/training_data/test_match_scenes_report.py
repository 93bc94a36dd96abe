"""What is fitted to micrographs that tell little, and what is said of simulated masks beside
them."""

import json

import numpy as np
import pytest

from pipeline.image_files import read_image, write_image
from pipeline.training_data.match_scenes import fit_options, measure_labels, report_match
from pipeline.training_data.scenes import Scene
from simulate.outlines import SCALING

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


def fit(singles):
    scenes = [Scene(0.1, 20.0, np.full(singles, 30.0))]
    return fit_options(scenes, lambda tried: lambda index, coverage: square(20), float, OPTIONS)


def test_the_scale_of_few_single_particles_is_not_fitted_which_is_said(caplog):
    assert fit(9) == OPTIONS
    assert "9 single particles in the micrographs" in caplog.text
    assert "too few to fit the scale" in caplog.text


def test_the_scale_of_ten_single_particles_is_fitted(caplog):
    assert fit(10) != OPTIONS
    assert not caplog.text


def test_without_noise_its_frequency_is_not_fitted():
    assert fit(10)["perlin_noise_frequency"] == 4


@pytest.fixture
def label_maps(tmp_path):
    paths = [tmp_path / f"{index}.tif" for index in range(8)]
    for index, path in enumerate(paths):
        write_image(path, square(20 + index))
    return paths


@pytest.mark.parametrize(("others", "warned"), [(0, False), (3, False), (4, True), (8, True)])
def test_masks_far_from_the_micrographs_are_warned_of(label_maps, tmp_path, caplog, others, warned):
    scenes = [measure_labels(read_image(path)) for path in label_maps]
    # Of so many of eight tiles three quarters are covered.
    scenes[:others] = [Scene(0.75, 60.0, np.array([40.0]))] * others
    report_match(tmp_path / "scenes", scenes, label_maps)
    assert ("the simulated masks do not look like the micrographs" in caplog.text) == warned
    assert (str(tmp_path / "scenes.png") in caplog.text) == warned
    found = json.loads((tmp_path / "scenes.json").read_text())
    assert found["coverage_ks_distance"] == pytest.approx(others / 8)


def test_sizes_of_micrographs_and_masks_are_told_apart(label_maps, tmp_path):
    report_match(tmp_path / "scenes", [Scene(0.2, 50.0, np.array([30.0, 40.0, 44.0]))], label_maps)
    found = json.loads((tmp_path / "scenes.json").read_text())
    assert found["d50_single_micrographs_px"] == 40
    assert found["d50_single_simulated_px"] == pytest.approx(23.5 * 2 / np.sqrt(np.pi), rel=0.01)
    assert (found["single_particles_micrographs"], found["single_particles_simulated"]) == (3, 8)
    assert found["chord_micrographs_px"] == 50
    assert found["coverage_micrographs"] == pytest.approx(0.2)

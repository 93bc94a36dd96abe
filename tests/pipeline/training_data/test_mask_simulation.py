"""What is simulated with: each option of step 2 reaches the simulator."""

from unittest import mock

import numpy as np
import pytest

from pipeline.image_files import write_image
from pipeline.training_data import mask_simulation, outline_doubts
from pipeline.training_data.scenes import Scene
from pipeline.training_data.scenes_of_micrographs import Micrographs
from pipeline.training_data.single_particles import Singles
from simulate.outlines import prepare_particle, scale_limits

ARRANGEMENT = {
    "grid_type": "CUBIC",
    "grid_spacing_factor": 1.3,
    "grid_noise_factor": 0.7,
    "min_no_of_particles": 3,
    "max_no_of_particles": 8,
    "use_perlin_noise": False,
    "perlin_noise_threshold": 0.35,
    "perlin_noise_frequency": 5,
    "max_overlap": 0.25,
}
SCALING = {
    "use_normal_distribution": False,
    "scaling_mu": 1.1,
    "scaling_sigma": 0.2,
    "min_scaling": 0.6,
    "max_scaling": 1.7,
}


def test_every_option_reaches_the_simulator_and_its_library(monkeypatch):
    options = ARRANGEMENT | SCALING | {"use_random_rotation": "PERLIN", "smoothing": "SQUARE"}
    options |= {"tile_height": 50, "tile_width": 70, "seed": 9}
    square = prepare_particle(np.pad(np.full((12, 12), 255, np.uint8), 4), 1.0, 0.0)
    prepared = []

    def prepare(rng, outlines, rotation, smoothing, **scaling):
        prepared.append((outlines, rotation, smoothing, scaling))
        return [[square]]

    monkeypatch.setattr(mask_simulation, "prepare_library", prepare)
    outlines = np.zeros((3, 20, 24), np.uint8)
    make = mask_simulation._simulator_maker(np.random.default_rng(0), outlines)
    simulate, library = make(options)
    ((used, *how),) = prepared
    assert used is outlines and how == ["PERLIN", "SQUARE", SCALING]
    assert library == [[square]]
    assert simulate.func is mask_simulation.simulate_label_map
    assert simulate.args == ([[square]], 9)
    assert simulate.keywords == ARRANGEMENT | {
        "image_shape": (50, 70),
        "outline_shape": (20, 24),
        "largest_scale": scale_limits(**SCALING)[1],
        "reach": 6,
    }


def test_libraries_are_drawn_alike_whatever_was_drawn_before(monkeypatch):
    """So that those of two scales can be compared, and one made again is the same."""
    drawn = []

    def prepare(rng, outlines, rotation, smoothing, **scaling):
        drawn.append(rng.random(3).tolist())
        return [[]]

    monkeypatch.setattr(mask_simulation, "prepare_library", prepare)
    monkeypatch.setattr(mask_simulation, "reach_of", lambda library: 0)
    rng = np.random.default_rng(0)
    make = mask_simulation._simulator_maker(rng, np.zeros((3, 32, 32), np.uint8))
    for factor in (1.0, 2.0, 3.0, 1.0):
        make(OPTIONS | {"scaling_mu": factor})
    assert drawn == [drawn[0]] * 4  # the first of them was forgotten, and made again


OPTIONS = {
    "grid_type": "HEXAGONAL",
    "grid_spacing_factor": 0.5,
    "grid_noise_factor": 0.1,
    "min_no_of_particles": 3,
    "max_no_of_particles": 8,
    "use_perlin_noise": False,
    "perlin_noise_threshold": 0.5,
    "perlin_noise_frequency": 4,
    "max_overlap": 0.0,
    "use_random_rotation": "DISABLE",
    "smoothing": "DISK",
    "use_normal_distribution": True,
    "scaling_mu": 1.0,
    "scaling_sigma": 0.0,
    "min_scaling": 1.0,
    "max_scaling": 1.0,
    "tile_height": 160,
    "tile_width": 160,
    "seed": 3,
    "invert_masks": False,
    "micrograph_scale": 1.0,
    "when_failed": "stop",
}


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_fitted_scales_are_those_of_the_masks(tmp_path, monkeypatch, factor):
    monkeypatch.setattr("simulate.outlines.LIBRARY_SIZE", 64)
    monkeypatch.setattr(
        mask_simulation,
        "fit_options",
        lambda scenes, simulator, diameter, options: options | {"scaling_mu": factor},
    )
    outline = np.zeros((32, 32), np.uint8)
    outline[6:26, 6:26] = 255
    write_image(tmp_path / "a.png", outline)
    singles = Singles(*np.reshape([18.0, 1.0, 0.95], (3, 1)))
    seen = Micrographs([Scene(0.25, 20.0, singles)] * 3, singles)
    labels = next(iter(mask_simulation.simulate_label_maps(tmp_path, 1, [0], OPTIONS, seen)))
    # Of a deformed square of 20 pixels, or 40, two at each side go off.
    side = np.sqrt(np.bincount(labels.ravel())[1:].max())
    assert side == pytest.approx(20 * factor - 4, rel=0.2)


@pytest.mark.parametrize(
    ("width", "rotation", "smoothing", "told"),
    [
        (11, "RANDOM", "SQUARE", ", and 13 on the slant"),
        (11, "PERLIN", "SQUARE", "set smoothing='DISK', or use_random_rotation='DISABLE'"),
        (11, "DISABLE", "SQUARE", ""),
        (14, "RANDOM", "SQUARE", ""),
        (9, "RANDOM", "DISK", "9 pixels wide. Raise MICROGRAPH_SCALE, or set use_random"),
        (11, "RANDOM", "DISK", ""),
    ],
)
def test_outlines_too_narrow_to_be_turned_are_told(
    tmp_path, monkeypatch, width, rotation, smoothing, told
):
    monkeypatch.setattr("simulate.outlines.LIBRARY_SIZE", 64)
    monkeypatch.setattr(mask_simulation, "augment_outlines", lambda rng, given, number: given)
    outline = np.zeros((64, 64), np.uint8)
    outline[8:56, 20 : 20 + width] = 255
    write_image(tmp_path / "needle.png", outline)
    options = OPTIONS | {"use_random_rotation": rotation, "smoothing": smoothing}
    with mock.patch.object(outline_doubts.logger, "warning") as warned:
        list(mask_simulation.simulate_label_maps(tmp_path, 1, [0], options, None))
    words = [call.args[0] % call.args[1:] for call in warned.call_args_list]
    warned_of = [
        said for said in words if "100 % of the outlines are too narrow to be turned" in said
    ]
    assert bool(warned_of) == bool(told)
    assert all(told in said for said in warned_of)

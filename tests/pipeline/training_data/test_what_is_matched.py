"""What simulated masks are matched with, and by what: tiles, coverages, libraries, outlines."""

import numpy as np
import pytest

from pipeline.image_files import write_image
from pipeline.training_data import mask_simulation, match_scenes
from pipeline.training_data.scenes import Scene


def test_of_many_tiles_those_measured_are_spread_over_all(tmp_path, monkeypatch):
    monkeypatch.setattr(match_scenes, "MOST_TILES", 3)
    tiles = []
    for rows in range(9):
        tile = np.full((90, 90), 40, np.uint8)
        tile[: 10 * rows] = 200
        tiles.append(tmp_path / f"{rows}.png")
        write_image(tiles[-1], tile)
    scenes = match_scenes.measure_micrographs(tiles, dark_background=True)
    assert [scene.coverage for scene in scenes] == pytest.approx([0, 4 / 9, 8 / 9], abs=0.02)


def test_the_first_images_cover_what_all_tiles_do_from_the_least_to_the_most():
    scenes = [Scene(coverage, 0, 0) for coverage in np.linspace(0.1, 0.5, 41)]
    for number in (10, 50):
        covered = [match_scenes.coverage_of_image(scenes, index) for index in range(number)]
        even = 0.1 + 0.4 * (np.arange(number) + 0.5) / number
        np.testing.assert_allclose(np.sort(covered), even, atol=0.5 / number)


def test_libraries_of_two_scalings_are_made_of_the_same_random_numbers(monkeypatch):
    def prepare(rng, outlines, rotation, **scaling):
        return rng.random(3).tolist()

    monkeypatch.setattr(mask_simulation, "prepare_library", prepare)
    rng = np.random.default_rng(0)
    first, second = (
        mask_simulation._make_library(rng, None, "RANDOM", True, scale, 0.1, 0.7, 1.3)
        for scale in (1.0, 2.0)
    )
    assert first == second


def test_typical_are_all_outlines_that_hold_a_particle():
    outlines = np.zeros((5, 60, 60), np.uint8)
    for outline, side in zip(outlines, (50, 0, 20, 5, 24), strict=True):
        outline[5 : 5 + side, 5 : 5 + side] = 255
    core_diameter = mask_simulation._make_core_diameter(outlines, 1.0)
    # Of the square of 24 pixels, which is the middle one, two go off on each side.
    assert core_diameter(1.0) == pytest.approx(2 * 20 / np.sqrt(np.pi))

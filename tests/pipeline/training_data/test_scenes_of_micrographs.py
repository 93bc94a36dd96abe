"""What tiles show whose particles are known, also where they tell little alone."""

import numpy as np
import pytest

from pipeline.image_files import write_image
from pipeline.intensities import stretch_to_uint8
from pipeline.training_data import scenes_of_micrographs
from pipeline.training_data.real_tiles import write_shares
from pipeline.training_data.scenes import Scene
from pipeline.training_data.scenes_of_micrographs import coverage_of_image, measure_micrographs


def test_of_many_tiles_those_measured_are_spread_over_all(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes_of_micrographs, "MOST_TILES", 3)
    tiles = []
    for rows in range(9):
        tile = np.full((90, 90), 40, np.uint8)
        tile[: 10 * rows] = 200
        tiles.append(tmp_path / f"{rows}.png")
        write_image(tiles[-1], tile)
    none = tmp_path / "none.csv"
    scenes, _ = measure_micrographs(tiles, none, none, dark_background=True)
    assert [scene.coverage for scene in scenes] == pytest.approx([0, 4 / 9, 8 / 9], abs=0.02)


def test_a_tile_of_16_bit_is_measured_as_the_networks_see_it(tmp_path):
    tile = np.full((90, 90), 4000, np.uint16)
    tile[:30] = 20000
    write_image(tmp_path / "tile.tif", tile)
    none = tmp_path / "none.csv"
    (scene,), _ = measure_micrographs([tmp_path / "tile.tif"], none, none, True)
    assert scene.coverage == pytest.approx(1 / 3, abs=0.02)


def test_of_a_tile_that_shows_nothing_but_particles_step_0_knows_how_much_they_cover(tmp_path):
    random, none = np.random.default_rng(0), tmp_path / "none.csv"
    inside = random.normal(150, 4, (90, 90))
    edge = np.where(np.arange(90) < 45, inside, inside - 100)
    tiles = [tmp_path / "edge.tif", tmp_path / "inside.tif"]
    for path, tile in zip(tiles, (edge, inside), strict=True):
        write_image(path, stretch_to_uint8(tile))
    write_shares(tmp_path / "shares.csv", {"inside.tif": 0.98, "edge.tif": 0.7, "other.tif": 0.1})
    for shares, wanted in ((none, 0), (tmp_path / "shares.csv", 0.98)):
        (cut, full), _ = measure_micrographs(tiles, none, shares, True)
        assert cut.coverage == pytest.approx(0.5, abs=0.02)
        assert full.coverage == wanted
        assert np.isfinite(full.chord) == bool(wanted)  # as that of a simulated mask that is full
        assert full.singles.number == 0


def test_of_a_tile_of_faint_particles_step_0_knows_how_much_they_cover(tmp_path):
    """It was told by the micrograph beside the tile; alone it shows nothing."""
    random, tile = np.random.default_rng(0), tmp_path / "faint.tif"
    write_image(tile, stretch_to_uint8(random.normal(150, 4, (90, 90))))
    write_shares(tmp_path / "shares.csv", {"faint.tif": 0.3})
    (faint,), _ = measure_micrographs([tile], tmp_path / "none.csv", tmp_path / "shares.csv", True)
    assert faint.coverage == 0.3 and np.isnan(faint.chord) and faint.singles.number == 0


def test_the_first_images_cover_what_all_tiles_do_from_the_least_to_the_most():
    scenes = [Scene(coverage, 0, 0) for coverage in np.linspace(0.1, 0.5, 41)]
    for number in (10, 50):
        covered = [coverage_of_image(scenes, index) for index in range(number)]
        even = 0.1 + 0.4 * (np.arange(number) + 0.5) / number
        np.testing.assert_allclose(np.sort(covered), even, atol=0.5 / number)

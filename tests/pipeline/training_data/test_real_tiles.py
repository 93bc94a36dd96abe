"""Tiles of micrographs: which random crops are looked at, and from which grey on."""

import numpy as np
import pytest

from pipeline.training_data import real_tiles
from pipeline.training_data.real_tiles import (
    CROP,
    _black_level,
    choose_crops,
    try_crops,
    write_grid_tiles,
)


@pytest.mark.parametrize("scale", [1, 200])
@pytest.mark.parametrize(
    ("darkest", "black"), [(-30, -30), (0, 0), (60, 0), (180, 0), (220, 220), (400, 400)]
)
def test_a_darkest_grey_of_more_than_twice_the_range_is_black(darkest, black, scale):
    image = scale * (darkest + np.linspace(0, 100, 100 * 100).reshape(100, 100))
    # Half a percent of the pixels is darker than the darkest that counts.
    assert _black_level(image) == pytest.approx(scale * black, abs=scale)


IMAGE = np.random.default_rng(0).integers(0, 255, (90, 120), dtype=np.uint8)
PLACE = ["row", "column", "flip_up_down", "flip_left_right"]


def places(index, seed=5, tries=300):
    covered = np.zeros(IMAGE.shape, bool)
    return try_crops(IMAGE, covered, index, (20, 30), True, tries, seed)[PLACE]


def test_each_micrograph_and_each_seed_has_crops_of_its_own():
    first = places(0)
    np.testing.assert_array_equal(first, places(0))
    for other in (places(1), places(0, seed=6)):
        for name in PLACE:
            assert np.mean(first[name] == other[name]) < 0.7


def test_crops_lie_all_over_the_image_flipped_in_all_ways():
    found = places(3, tries=3000)
    assert set(found["row"]) == set(range(71))
    assert set(found["column"]) == set(range(91))
    _, counts = np.unique(found[PLACE[2:]], return_counts=True)
    assert len(counts) == 4 and min(counts) > 600


def test_of_crops_that_show_particles_those_with_most_are_not_preferred():
    crops = np.zeros(400, CROP)
    crops["contrast"] = np.random.default_rng(1).uniform(-1, 1, 400)
    showing = crops["contrast"][crops["contrast"] >= 0]
    chosen = choose_crops(crops, len(showing) // 2, np.random.default_rng(2))["contrast"]
    assert chosen.min() >= 0
    np.testing.assert_allclose(np.quantile(chosen, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.12)


@pytest.mark.parametrize("number", [7, 40])
def test_no_crop_is_taken_twice_while_others_are_left(number):
    """Of 10 places with particles and 20 without, each 5 times; repeats before background."""
    crops = np.zeros(150, CROP)
    crops["row"] = np.tile(np.arange(30), 5)
    crops["contrast"] = np.where(crops["row"] < 10, 0.5, -0.1)
    rows = choose_crops(crops, number, np.random.default_rng(2))["row"]
    assert rows.max() < 10
    assert np.bincount(rows).max() == -(-number // 10)


def test_a_crop_must_show_nine_tenths_of_what_the_image_shows(monkeypatch):
    chance = np.linspace(0.2, 0.8, 100)[None, :]
    covered = np.random.default_rng(0).random((100, 100)) < chance
    monkeypatch.setattr(real_tiles, "_brightness", lambda means, *of: np.full(len(means), -1.0))
    image = np.full((100, 100), 100, np.uint8)
    crops = try_crops(image, covered, 0, (20, 20), True, 200, 0)
    shares = [covered[y : y + 20, x : x + 20].mean() for y, x in crops[["row", "column"]].tolist()]
    shows = np.array(shares) >= 0.9 * covered.mean()
    np.testing.assert_array_equal(crops["contrast"] >= 0, shows)


def test_where_particles_are_smaller_than_what_counts_tiles_with_some_come_nearest():
    """Not those of a stain, though they are brighter."""
    image = np.full((100, 300), 50, np.uint8)
    image[:, 100:200] = 55
    image[40:44, 260:264] = 250
    crops = try_crops(image, image == 250, 0, (100, 100), True, 300, 0)
    assert crops["contrast"].max() < 0
    columns = choose_crops(crops, 10, np.random.default_rng(0))["column"]
    assert (columns > 164).all()


def test_a_brighter_part_of_the_background_shows_no_particle(tmp_path):
    """By its mean it would; only where no particle is found anywhere it does."""
    image = np.full((40, 120), 100, np.uint8)
    image[:, 40:80] = 140  # a stain
    image[10:16, 100:106] = 250  # a particle
    covered = image == 250
    for found, columns in ((covered, set()), (np.zeros_like(covered), {1, 2})):
        how = (found, (40, 40), 0, True, tmp_path)
        names = write_grid_tiles(image, *how, f"a{found.any()}")
        assert {int(name.split("-")[1].split(".")[0]) for name in names} == columns
        crops = try_crops(image, found, 0, (40, 40), True, 200, 0)
        shown = crops[crops["contrast"] >= 0]["column"]
        assert len(shown)
        # Too few are brighter, so those count that are covered as much as the whole.
        assert (shown > 60).all() if found.any() else (shown < 80).all()

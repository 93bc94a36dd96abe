"""Positions of particles: every option by what it changes."""

import numpy as np
import pytest

from simulate.noise import gradient_noise
from simulate.positions import find_positions

OPTIONS = {
    "grid_type": "HEXAGONAL",
    "grid_spacing_factor": 0.25,
    "grid_noise_factor": 0.0,
    "min_no_of_particles": 100,
    "max_no_of_particles": 150,
    "use_perlin_noise": False,
    "perlin_noise_threshold": 0.5,
}
FIELD = (120, 200)
NOISE = gradient_noise(np.random.default_rng(5), *FIELD, 4)


def positions(seed=0, outline_shape=(40, 64), **changes):
    rng = np.random.default_rng(seed)
    return find_positions(rng, NOISE, outline_shape, **(OPTIONS | changes))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("grid_type, shift", [("CUBIC", 0), ("HEXAGONAL", 8)])
def test_a_grid_has_the_spacing_of_a_share_of_the_outline(grid_type, shift, seed):
    """Steps of 10 rows and 16 columns, from a random pixel on; hexagonal: odd rows shifted."""
    found = positions(seed, grid_type=grid_type)
    top, left = np.random.default_rng(seed).integers([10, 16])
    expected = [
        [row, column]
        for number, row in enumerate(range(top, 120, 10))
        for column in range((left + number % 2 * shift) % 16, 200, 16)
    ]
    assert found.tolist() == expected


@pytest.mark.parametrize("grid_type", ["HEXAGONAL", "CUBIC"])
def test_every_pixel_is_a_grid_s_equally_often(grid_type):
    found = np.concatenate([positions(seed, grid_type=grid_type) for seed in range(1600)])
    counts = np.zeros(FIELD)
    np.add.at(counts, tuple(found.T), 1)
    # 10 per pixel of 160; summed over blocks of 20 x 25 pixels
    blocks = counts.reshape(6, 20, 8, 25).sum(axis=(1, 3))
    np.testing.assert_allclose(blocks, 5000, rtol=0.1)


def test_spacing_below_a_pixel_is_a_position_at_every_pixel():
    assert len(positions(grid_type="CUBIC", grid_spacing_factor=0.001)) == 120 * 200


def test_jitter_reaches_as_far_as_told_and_stays_in_the_field():
    regular = positions(grid_type="CUBIC")
    jittered = positions(grid_type="CUBIC", grid_noise_factor=0.2)
    inner = (regular >= 13).all(axis=1) & (regular < np.array(FIELD) - 13).all(axis=1)
    shift = (jittered - regular)[inner]
    # 0.2 x (40, 64) = 8 rows and 12.8 columns, rounded to whole pixels
    assert np.abs(shift).max(axis=0).tolist() == pytest.approx([8, 13], abs=1)
    assert np.abs(shift[:, 0]).max() <= 8
    assert np.abs(shift[:, 1]).max() <= 13
    assert jittered.min() >= 0
    assert (jittered < FIELD).all()


def test_random_positions_number_in_the_range_and_fill_the_field():
    numbers = {len(positions(seed, grid_type="DISABLE")) for seed in range(200)}
    assert min(numbers) == 100
    assert max(numbers) == 150
    many = positions(grid_type="DISABLE", min_no_of_particles=20_000, max_no_of_particles=20_000)
    assert len(many) == 20_000
    # The mean of a uniform distribution is the middle.
    np.testing.assert_allclose(many.mean(axis=0), [59.5, 99.5], rtol=0.02)


def test_random_positions_lie_where_the_noise_passes():
    found = positions(grid_type="DISABLE", use_perlin_noise=True, perlin_noise_threshold=0.6)
    assert 100 <= len(found) <= 150
    assert (NOISE[tuple(found.T)] > 0.2).all()


@pytest.mark.parametrize("grid_type", ["HEXAGONAL", "CUBIC"])
def test_noise_thins_a_grid_to_the_positions_that_pass(grid_type):
    everywhere = positions(grid_type=grid_type)
    expected = [list(p) for p in everywhere.tolist() if NOISE[tuple(p)] > 2 * 0.7 - 1]
    found = positions(grid_type=grid_type, use_perlin_noise=True, perlin_noise_threshold=0.7)
    assert found.tolist() == expected
    assert 0 < len(found) < len(everywhere)


def test_higher_threshold_leaves_fewer_positions():
    numbers = [
        len(positions(use_perlin_noise=True, perlin_noise_threshold=threshold))
        for threshold in (0.0, 0.3, 0.5, 0.7, 1.0)
    ]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 0


def test_random_positions_where_nothing_passes_are_none():
    found = positions(grid_type="DISABLE", use_perlin_noise=True, perlin_noise_threshold=1.0)
    assert found.shape == (0, 2)


def test_unknown_grid_type_is_an_error():
    with pytest.raises(ValueError, match=r"grid_type is 'SQUARE'; .*'HEXAGONAL', 'CUBIC'"):
        positions(grid_type="SQUARE")


def test_grid_distances_are_cut_to_whole_pixels():
    options = {"grid_type": "CUBIC", "grid_spacing_factor": 0.25, "grid_noise_factor": 0.0}
    options |= {"min_no_of_particles": 1, "max_no_of_particles": 1}
    options |= {"use_perlin_noise": False, "perlin_noise_threshold": 0.5}
    found = find_positions(np.random.default_rng(0), np.zeros((120, 200)), (40, 67), **options)
    assert set(np.diff(sorted(set(found[:, 1].tolist())))) == {16}  # 0.25 of 67 is 16.75

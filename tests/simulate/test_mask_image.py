"""Mask images: the rules of placing, the plain twin, and the options by what they change."""

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial.distance import cdist
from skimage.draw import ellipse

from simulate.mask_image import (
    foreground_of_labels,
    number_consecutively,
    place_particles,
    random_generator,
    simulate_label_map,
)
from simulate.outlines import prepare_library, prepare_particle, scale_limits
from tests.simulate.plain_simulation import plain_label_map, plain_place

SCALING = {
    "use_normal_distribution": True,
    "scaling_mu": 1.0,
    "scaling_sigma": 0.1,
    "min_scaling": 0.75,
    "max_scaling": 1.25,
}
ARRANGEMENT = {
    "grid_type": "HEXAGONAL",
    "grid_spacing_factor": 0.25,
    "grid_noise_factor": 0.05,
    "min_no_of_particles": 100,
    "max_no_of_particles": 150,
    "use_perlin_noise": True,
    "perlin_noise_threshold": 0.5,
    "perlin_noise_frequency": 4,
    "max_overlap": 0.5,
}


def ellipses(number, size=32, seed=0):
    """Return outlines of ellipses, uint8 (number, size, size)."""
    rng = np.random.default_rng(seed)
    outlines = np.zeros((number, size, size), np.uint8)
    for outline in outlines:
        radii = rng.uniform(size / 5, size / 2.5, 2)
        angle = rng.uniform(0, np.pi)
        outline[ellipse(size / 2, size / 2, *radii, shape=outline.shape, rotation=angle)] = 255
    return outlines


OUTLINES = ellipses(200)
LIBRARY = prepare_library(random_generator(0, 2**63), OUTLINES, "DISABLE", **SCALING)


def simulate(index=0, library=LIBRARY, image_shape=(96, 128), seed=7, scaling=None, **changes):
    return simulate_label_map(
        library,
        seed,
        index,
        image_shape=image_shape,
        outline_shape=(32, 32),
        largest_scale=scale_limits(**(scaling or SCALING))[1],
        **(ARRANGEMENT | changes),
    )


def square(side):
    outline = np.zeros((64, 64), np.uint8)
    start = 32 - side // 2
    outline[start : start + side, start : start + side] = 255
    return prepare_particle(outline, 1.0, 0.0, "SQUARE")


def test_touching_particles_stay_two_pixels_apart_and_later_ones_lie_on_top():
    labels = place_particles((60, 60), np.array([[30, 20], [30, 35]]), [square(20)] * 2, 0.5)
    # Cores are 16 wide: columns 12 to 27 and 27 to 42; the second clears from 25 on.
    assert labels[30, 12:43].tolist() == [1] * 13 + [0] * 2 + [2] * 16
    assert (labels == 2).sum() == 16 * 16


@pytest.mark.parametrize(("max_overlap", "placed"), [(0.5, 2), (0.49, 1), (1.0, 2), (0.0, 1)])
def test_a_particle_covered_by_more_than_the_limit_is_left_out(max_overlap, placed):
    # Cores of 16 x 16, shifted by 8: exactly half of the second lies on the first.
    centres = np.array([[30, 20], [30, 28]])
    labels = place_particles((60, 60), centres, [square(20)] * 2, max_overlap)
    assert labels.max() == placed


def test_empty_particles_are_left_out_and_take_no_number():
    centres = np.array([[30, 20], [30, 20], [30, 44]])
    labels = place_particles((60, 60), centres, [square(20), square(8), square(20)], 0.5)
    assert np.unique(labels).tolist() == [0, 1, 2]


def test_placing_equals_the_plain_twin_and_the_limit_holds_each_time():
    rng = np.random.default_rng(4)
    particles = [LIBRARY[0][index] for index in rng.integers(0, len(LIBRARY[0]), 300)]
    particles = [particle for particle in particles if particle.area]
    centres = rng.integers(30, 170, (len(particles), 2))
    expected = np.zeros((200, 200), int)
    number = 0
    for (row, column), particle in zip(centres, particles, strict=True):
        # The plain twin wants windows with the centre in the middle.
        core, footprint = np.zeros((2, 60, 60), bool)
        window = np.s_[
            30 + particle.top : 30 + particle.top + particle.core.shape[0],
            30 + particle.left : 30 + particle.left + particle.core.shape[1],
        ]
        core[window], footprint[window] = particle.core, particle.footprint
        before = expected[row - 30 : row + 30, column - 30 : column + 30].copy()
        placed = plain_place(expected, number + 1, row, column, core, footprint, 0.3)
        assert placed == ((before[core] > 0).mean() <= 0.3)
        number += placed
    assert 20 < number < len(particles)
    np.testing.assert_array_equal(place_particles((200, 200), centres, particles, 0.3), expected)


def test_numbers_become_consecutive_and_pieces_keep_their_particles_number():
    labels = np.array([[0, 7, 0, 7], [9, 0, 3, 0]])
    assert number_consecutively(labels).tolist() == [[0, 2, 0, 2], [3, 0, 1, 0]]
    assert number_consecutively(np.zeros((2, 2), int)).tolist() == [[0, 0], [0, 0]]


def test_more_particles_than_a_label_map_can_number_are_an_error():
    labels = np.arange(257 * 257).reshape(257, 257)
    with pytest.raises(ValueError, match=r"holds 66048 particles; .* 65535.*tiles smaller"):
        number_consecutively(labels)


@pytest.mark.parametrize("seed", [0, 1])
def test_label_map_has_consecutive_numbers_and_gaps_between_particles(seed):
    labels = simulate(seed=seed)
    assert labels.dtype == np.uint16
    assert labels.shape == (96, 128)
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    # No two particles touch, not even diagonally.
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        first = labels[: 96 - shift[0], max(0, -shift[1]) : 128 - max(0, shift[1])]
        other = labels[shift[0] :, max(0, shift[1]) : 128 + min(0, shift[1])]
        assert ((first == other) | (first == 0) | (other == 0)).all()


def test_an_image_depends_on_seed_and_index_only():
    np.testing.assert_array_equal(simulate(3), simulate(3))
    assert (simulate(3) != simulate(4)).any()
    assert (simulate(3, seed=8) != simulate(3)).any()


def sizes_coverage_count(label_maps):
    sizes = np.concatenate([np.bincount(labels.ravel())[1:] for labels in label_maps])
    coverage = [(labels > 0).mean() for labels in label_maps]
    return sizes, coverage, [labels.max() for labels in label_maps]


@pytest.mark.parametrize("rotation", ["DISABLE", "RANDOM"])
def test_sizes_coverage_and_count_are_distributed_as_the_plain_twins(rotation):
    options = {name: ARRANGEMENT[name] for name in ARRANGEMENT if "particles" not in name}
    del options["grid_type"], options["use_perlin_noise"]
    options["grid_spacing_factor"] = 0.375
    plain = [
        plain_label_map(
            np.random.default_rng(index),
            OUTLINES,
            (80, 80),
            scale_limits=(0.7, 1.3),
            scaling_mu=1.0,
            scaling_sigma=0.1,
            random_rotation=rotation == "RANDOM",
            **options,
        )
        for index in range(40)
    ]
    library = prepare_library(random_generator(0, 2**63), OUTLINES, rotation, "SQUARE", **SCALING)
    fast = [simulate(index, library, (80, 80), grid_spacing_factor=0.375) for index in range(100)]
    for of_fast, of_plain in zip(
        sizes_coverage_count(fast), sizes_coverage_count(plain), strict=True
    ):
        # Seeds are fixed, so this is no test of luck; a real difference gives p below 1e-6.
        assert stats.ks_2samp(of_fast, of_plain).pvalue > 0.01


def number_and_coverage(**changes):
    maps = [simulate(index, **changes) for index in range(6)]
    return np.mean([m.max() for m in maps]), np.mean([(m > 0).mean() for m in maps])


def test_less_overlap_leaves_fewer_and_more_separate_particles():
    number, coverage = zip(
        *(number_and_coverage(max_overlap=o) for o in (0.0, 0.05, 0.5)), strict=True
    )
    assert list(number) == sorted(number)
    assert list(coverage) == sorted(coverage)
    # Without overlap particles are whole: each has the area of one in the library.
    whole = {particle.area for particle in LIBRARY[0]}
    labels = simulate(max_overlap=0.0, image_shape=(200, 200))
    inner = set(range(1, labels.max() + 1)) - set(labels[[0, -1]].ravel())
    inner -= set(labels[:, [0, -1]].ravel())
    areas = np.bincount(labels.ravel())
    # A later particle may clear up to two pixels of an earlier one's rim.
    assert inner
    assert np.mean([areas[label] in whole for label in inner]) > 0.5


def test_higher_noise_threshold_leaves_more_background():
    coverage = [
        number_and_coverage(perlin_noise_threshold=threshold)[1] for threshold in (0.3, 0.5, 0.7)
    ]
    assert coverage == sorted(coverage, reverse=True)
    assert number_and_coverage(use_perlin_noise=False)[1] > coverage[0]


def test_lower_noise_frequency_makes_larger_agglomerates():
    def agglomerates(frequency):
        options = {"perlin_noise_threshold": 0.65, "perlin_noise_frequency": frequency}
        maps = [simulate(index, image_shape=(256, 256), **options) for index in range(6)]
        closed = [ndimage.binary_dilation(labels > 0, iterations=3) for labels in maps]
        return sum(ndimage.label(mask)[1] for mask in closed)

    assert agglomerates(16) > 2 * agglomerates(3)


def test_wider_spacing_places_fewer_particles():
    number = [
        number_and_coverage(grid_spacing_factor=f, use_perlin_noise=False)[0] for f in (0.25, 1, 2)
    ]
    assert number == sorted(number, reverse=True)


@pytest.mark.parametrize(("grid_type", "shift"), [("CUBIC", 0), ("HEXAGONAL", 24)])
def test_a_wide_grid_without_jitter_is_seen_in_the_label_map(grid_type, shift):
    same = prepare_library(
        random_generator(0, 1), OUTLINES[:1], "DISABLE", **(SCALING | {"scaling_sigma": 0.0})
    )
    labels = simulate(
        library=same,
        image_shape=(300, 300),
        grid_type=grid_type,
        grid_spacing_factor=1.5,
        grid_noise_factor=0.0,
        use_perlin_noise=False,
    )
    inner = labels.copy()
    border = np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    inner[np.isin(inner, border)] = 0
    numbers = np.unique(inner[inner > 0])
    centres = np.array(ndimage.center_of_mass(inner > 0, inner, numbers))
    rows = np.unique(centres[:, 0].round(3))
    assert np.diff(rows).tolist() == pytest.approx([48] * (len(rows) - 1))
    columns = [np.sort(centres[np.isclose(centres[:, 0], row), 1]) for row in rows[:2]]
    assert all(np.diff(c).tolist() == pytest.approx([48] * (len(c) - 1)) for c in columns)
    assert abs(columns[0][0] - columns[1][0]) == pytest.approx(shift)


@pytest.mark.parametrize("coverage", [0.0, 0.05, 0.3, 0.6])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"grid_type": "DISABLE", "max_overlap": 0.4},
        {"use_perlin_noise": False},
        {"grid_type": "CUBIC", "perlin_noise_frequency": 9},
    ],
)
def test_the_coverage_asked_for_is_reached(coverage, changes):
    for index in range(2):
        labels = simulate(index, coverage=coverage, **changes)
        assert foreground_of_labels(labels).mean() == pytest.approx(coverage, abs=0.02)


@pytest.mark.parametrize("coverage", [1e-3, 0.01])
def test_a_small_share_is_covered_by_a_particle_not_by_none(coverage):
    """Which may be nearer to it."""
    for index in range(6):
        assert simulate(index, coverage=coverage).max() >= 1


def test_more_coverage_than_there_is_room_for_fills_the_image():
    assert foreground_of_labels(simulate(coverage=1.0)).mean() > 0.9


def test_random_positions_obey_number_and_overlap():
    few = {"grid_type": "DISABLE", "min_no_of_particles": 40, "max_no_of_particles": 60}
    some, _ = number_and_coverage(**few)
    many, _ = number_and_coverage(grid_type="DISABLE")
    separate, _ = number_and_coverage(grid_type="DISABLE", max_overlap=0.0)
    assert 0 < some < many
    assert separate < many


def test_scaling_changes_the_sizes_of_particles():
    def sizes(**changes):
        scaling = SCALING | changes
        library = prepare_library(random_generator(0, 1), OUTLINES, "DISABLE", **scaling)
        maps = [simulate(i, library, scaling=scaling, max_overlap=0.0) for i in range(16)]
        return sizes_coverage_count(maps)[0]

    normal, double = sizes(), sizes(scaling_mu=2.0, scaling_sigma=0.2)
    assert np.percentile(double, 90) > 3 * np.percentile(normal, 90)
    wide = sizes(use_normal_distribution=False, min_scaling=0.75, max_scaling=3.0)
    assert np.percentile(wide, 95) > 2 * np.percentile(normal, 95)


def test_perlin_rotation_turns_neighbours_alike():
    bar = np.zeros((1, 32, 32), np.uint8)
    bar[0, 9:23, 1:31] = 255

    def likeness(rotation, nearest, farthest):
        """Return how alike directions are for pairs of particles in a range of distances.

        1: all parallel; 0: independent.
        """
        library = prepare_library(random_generator(0, 1), bar, rotation, **SCALING)
        found = []
        for index in range(3):
            labels = simulate(index, library, (220, 220), perlin_noise_frequency=1, max_overlap=0.1)
            places, angles = [], []
            for label in range(1, labels.max() + 1):
                rows, columns = np.nonzero(labels == label)
                if len(rows) > 50:
                    cov = np.cov(columns, -rows)
                    places.append((rows.mean(), columns.mean()))
                    angles.append(np.arctan2(2 * cov[0, 1], cov[0, 0] - cov[1, 1]) / 2)
            distance = cdist(places, places)
            near = (distance > nearest) & (distance < farthest)
            found.extend(np.cos(2 * np.subtract.outer(angles, angles))[near])
        return np.mean(found)

    assert likeness("DISABLE", 0, 25) > 0.9
    assert abs(likeness("RANDOM", 0, 25)) < 0.2
    assert likeness("PERLIN", 0, 25) > 0.4
    assert likeness("PERLIN", 0, 25) > likeness("PERLIN", 100, 300) + 0.3


def test_perlin_rotation_leaves_out_no_direction_where_little_is_to_be_covered():
    """Particles lie where the noise is high, which alone would turn them all alike."""
    bar = np.zeros((1, 32, 32), np.uint8)
    bar[0, 10:22, 1:31] = 255
    library = prepare_library(random_generator(0, 1), bar, "PERLIN", **SCALING)
    angles = []
    for index in range(40):
        labels = simulate(
            index, library, (160, 160), perlin_noise_frequency=3, max_overlap=0.0, coverage=0.1
        )
        for label in range(1, labels.max() + 1):
            rows, columns = np.nonzero(labels == label)
            if len(rows) > 150:
                cov = np.cov(columns, -rows)
                angles.append(np.degrees(np.arctan2(2 * cov[0, 1], cov[0, 0] - cov[1, 1]) / 2))
    quarters, _ = np.histogram(np.mod(angles, 180), bins=4, range=(0, 180))
    assert quarters.min() > 0.12 * len(angles), quarters

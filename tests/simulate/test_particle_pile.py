import numpy as np
import pytest
from skimage.measure import label as label_regions
from skimage.measure import regionprops

from simulate.particle_pile import (
    MARGIN,
    WIDTH_RANGE,
    draw_width,
    is_recognisable,
    lay_down,
    make_particle,
    pile_up,
    place_beside,
    spread_out,
    widen,
)

PILE = {
    "particles": 40,
    "particle_width": 22.0,
    "agglomerates": 3,
    "isolated": 2,
    "compactness": 0.5,
    "angularity": 0.5,
    "edge_effect": 1.0,
}


def empty_pile(size=100):
    pile = np.zeros((size, size), np.int32), np.zeros((size, size)), np.zeros((size, size))
    return pile, [None]


def square(side):
    """A particle of height 5 with room for the gap around it."""
    return np.pad(np.full((side, side), 5.0), 4)


def test_particle_is_one_whole_region_of_about_the_width_asked_for():
    rng = np.random.default_rng(0)
    for width in np.linspace(*WIDTH_RANGE, 20):
        height = make_particle(rng, width, rng.random())
        (particle,) = regionprops(label_regions(height > 0, connectivity=1))
        assert particle.equivalent_diameter_area == pytest.approx(width, rel=0.25)
        assert particle.solidity > 0.88
        border = np.ones_like(height, bool)
        border[2:-2, 2:-2] = False
        assert not height[border].any()  # room for the gap


def test_sharp_crystals_have_flatter_sides_than_pebbles():
    # A pebble fills its minimum-area ellipse, a polygon leaves the corners of its hull outside
    # and the sides inside: the ellipse of equal moments covers it less well.
    def misfit(angularity):
        found = []
        for seed in range(12):
            height = make_particle(np.random.default_rng(seed), 38, angularity)
            (particle,) = regionprops((height > 0).astype(int))
            ellipse = np.pi / 4 * particle.axis_major_length * particle.axis_minor_length
            found.append(ellipse / particle.area)
        return np.mean(found)

    assert misfit(1.0) > misfit(0.0) > 1 - 0.01


def test_widths_stay_in_range_around_the_median():
    widths = [draw_width(np.random.default_rng(seed), 24.0) for seed in range(400)]
    assert WIDTH_RANGE[0] <= min(widths) and max(widths) <= WIDTH_RANGE[1]
    assert np.median(widths) == pytest.approx(24, rel=0.05)


def test_particle_on_top_clears_a_gap_of_two_pixels_around_itself():
    pile, earlier = empty_pile()
    assert lay_down(pile, earlier, square(21), square(21) / 5, np.array([50, 40]), below=False)
    assert lay_down(pile, earlier, square(21), square(21) / 5, np.array([50, 56]), below=False)
    labels, _, emission = pile
    # Columns 30 to 50 and 46 to 66: the second keeps all, the first loses 46 to 50 and a gap.
    assert list(np.flatnonzero(labels[50] == 1)) == list(range(30, 44))
    assert list(np.flatnonzero(labels[50] == 2)) == list(range(46, 67))
    assert np.count_nonzero(labels == 2) == 21**2
    assert (emission[50, 30:67] > 0).all()  # in the picture there is no gap, but a shadow
    assert emission[50, 45] < 0.5 < 0.9 < emission[50, 35]


def test_particle_below_leaves_those_above_as_they_are():
    pile, earlier = empty_pile()
    lay_down(pile, earlier, square(21), square(21) / 5, np.array([50, 40]), below=False)
    above = pile[2].copy()
    assert lay_down(pile, earlier, square(21), square(21) / 5, np.array([50, 56]), below=True)
    assert list(np.flatnonzero(pile[0][50] == 1)) == list(range(30, 51))
    assert list(np.flatnonzero(pile[0][50] == 2)) == list(range(53, 67))
    assert np.array_equal(pile[2][above > 0], above[above > 0])


@pytest.mark.parametrize(
    ("centre", "below", "why"),
    [
        ((50, 43), False, "it would hide the other"),
        ((50, 43), True, "the other would hide it"),
        ((50, 5), False, "it would stand beyond the canvas"),
        ((96, 50), True, "it would stand beyond the canvas"),
    ],
)
def test_particle_is_refused_and_nothing_changes(centre, below, why):
    pile, earlier = empty_pile()
    lay_down(pile, earlier, square(21), square(21) / 5, np.array([50, 40]), below=False)
    before = [array.copy() for array in pile]
    laid = lay_down(pile, earlier, square(21), square(21) / 5, np.array(centre), below=below)
    assert not laid, why
    assert len(earlier) == 2
    assert all(np.array_equal(a, b) for a, b in zip(pile, before, strict=True))


def test_recognisable_needs_most_of_the_area_in_one_region():
    part = np.zeros((20, 20), bool)
    part[:10, :10] = True
    assert is_recognisable(part, 200)
    assert not is_recognisable(part, 240)  # 100 of 240 pixels
    part[15, :16] = True  # a sliver of 16 pixels may be cut off
    assert is_recognisable(part, 200)
    part[15, 16] = True
    assert not is_recognisable(part, 200)
    assert not is_recognisable(np.zeros((5, 5), bool), 25)


def test_every_particle_of_a_pile_stays_recognisable():
    labels, surface, emission = pile_up(np.random.default_rng(3), (300, 320), **PILE)
    numbers = np.unique(labels[labels > 0])
    assert len(numbers) > 20
    assert list(numbers) == list(range(1, len(numbers) + 1))
    assert ((surface > 0) == (emission > 0)).all()
    assert not labels[emission == 0].any()
    # Widened by two pixels, no particle reaches into another: they stand apart.
    for number in numbers:
        around = labels[widen(labels == number)]
        assert set(np.unique(around)) <= {0, number}


def test_seeds_keep_off_the_margin_and_apart():
    places = spread_out(np.random.default_rng(0), (400, 500), 8)
    assert places.shape == (8, 2)
    assert (places >= MARGIN).all() and (places <= np.array([400, 500]) - MARGIN).all()
    distances = np.linalg.norm(places[:, None] - places, axis=2) + np.eye(8) * 1e3
    assert distances.min() > 40


def test_compact_agglomerates_grow_nearer_to_their_seed():
    def mean_distance(compactness):
        rng = np.random.default_rng(0)
        seed = np.zeros(2)
        group = [(seed, 0.0)]
        for _ in range(60):
            group.append((place_beside(rng, group, 20.0, compactness), 20.0))
        return np.mean([np.linalg.norm(centre) for centre, _ in group])

    assert mean_distance(1.0) < 0.75 * mean_distance(0.0)


def test_first_place_is_the_seed_and_the_next_ones_touch():
    rng, seed = np.random.default_rng(0), np.array([50.0, 60.0])
    assert np.array_equal(place_beside(rng, [(seed, 0.0)], 20.0, 0.5), seed)
    place = place_beside(rng, [(seed, 0.0), (seed, 30.0)], 20.0, 0.5)
    assert 0.68 * 25 <= np.linalg.norm(place - seed) <= 25

"""Where the share of an image that is asked for is covered: anywhere, up to the edge."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import ks_2samp

from simulate import mask_image
from simulate.mask_image import foreground_of_labels, simulate_label_map
from simulate.outlines import prepare_particle, reach_of


def square(side):
    outline = np.zeros((side + 8, side + 8), np.uint8)
    outline[4:-4, 4:-4] = 255
    return prepare_particle(outline, 1.0, 0.0, "SQUARE")


def label_map_of_a_third(index, grid_type, use_perlin_noise, **changes):
    """Return a label map (96, 128) of squares that are to cover 0.3 of it."""
    options = {
        "coverage": 0.3,
        "max_overlap": 0.1,
        "image_shape": (96, 128),
        "outline_shape": (24, 24),
        "grid_spacing_factor": 0.25,
    } | changes
    return simulate_label_map(
        [[square(16)]],
        5,
        index,
        largest_scale=1.0,
        grid_type=grid_type,
        grid_noise_factor=0.05,
        min_no_of_particles=1,
        max_no_of_particles=1,
        use_perlin_noise=use_perlin_noise,
        perlin_noise_threshold=0.5,
        perlin_noise_frequency=4,
        **options,
    )


@pytest.mark.parametrize("grid_type", ["CUBIC", "DISABLE"])
def test_without_noise_particles_lie_in_all_parts_of_the_image(grid_type):
    shares = []
    for index in range(12):
        labels = label_map_of_a_third(index, grid_type, use_perlin_noise=False)
        quarters = foreground_of_labels(labels).reshape(2, 48, 2, 64)
        shares.append(quarters.mean(axis=(1, 3)))
    np.testing.assert_allclose(np.mean(shares, axis=0), 0.3, atol=0.1)


def test_what_ends_a_pixel_before_the_edge_covers_up_to_it():
    labels = np.zeros((40, 40), np.uint16)
    labels[1:-1, 10:30] = 1
    expected = np.zeros((40, 40), bool)
    expected[:, 10:30] = True
    for turned in (labels, labels.T):
        np.testing.assert_array_equal(foreground_of_labels(turned), expected)
        expected = expected.T


def test_with_noise_the_share_is_covered_where_it_is_highest(monkeypatch):
    """As with a threshold, above which particles are placed."""
    monkeypatch.setattr(
        "simulate.mask_image.gradient_noise",
        lambda rng, height, width, frequency: np.tile(np.linspace(-1, 1, width), (height, 1)),
    )
    labels = label_map_of_a_third(0, "CUBIC", use_perlin_noise=True)
    covered = foreground_of_labels(labels)
    assert covered.mean() == pytest.approx(0.3, abs=0.1)
    assert not covered[:, :64].any()


def share_covered_from_below(**changes):
    """Return, of squares cut short (12 rows each if whole) beside a neighbour above or below, the
    share with more of it below."""
    above = below = 0
    for index in range(20):
        labels = label_map_of_a_third(index, "HEXAGONAL", True, max_overlap=0.5, **changes)
        margin = np.pad(labels > 0, 3)
        for rows, columns in ndimage.find_objects(labels):
            at_edge = rows.start == 0 or rows.stop == labels.shape[0]
            if at_edge or rows.stop - rows.start >= 12:
                continue
            columns = slice(columns.start + 3, columns.stop + 3)
            before = margin[rows.start : rows.start + 3, columns].sum()
            after = margin[rows.stop + 3 : rows.stop + 6, columns].sum()
            above += before > after
            below += after > before
    assert above + below > 100
    return below / (above + below)


def test_particles_lie_on_those_above_as_often_as_on_those_below():
    """But for the published arrangement, where each lies on those above."""
    assert share_covered_from_below() == pytest.approx(0.5, abs=0.12)
    assert share_covered_from_below(coverage=None) > 0.75


@pytest.mark.parametrize(("grid_type", "coverage"), [("HEXAGONAL", 0.85), ("DISABLE", 0.6)])
def test_much_can_be_covered_where_particles_must_hardly_overlap(grid_type, coverage):
    """Where a random order leaves no room, the grid's own packs particles more densely."""
    for index in range(3):
        labels = label_map_of_a_third(
            index, grid_type, True, coverage=coverage, max_overlap=0.05, image_shape=(192, 192)
        )
        assert foreground_of_labels(labels).mean() == pytest.approx(coverage, abs=0.02)


def test_what_cannot_reach_the_image_makes_no_difference(monkeypatch):
    """Positions so far beyond the edge that only an outline's empty margin would reach in."""
    canvases = []
    place = mask_image.place_particles

    def place_particles(canvas_shape, *what):
        canvases.append(canvas_shape)
        return place(canvas_shape, *what)

    monkeypatch.setattr(mask_image, "place_particles", place_particles)
    large = {"outline_shape": (64, 64), "grid_spacing_factor": 0.1, "coverage": 0.4}
    numbers, areas, rims, edges = [], [], [], []
    for reach in (None, reach_of([[square(16)]])):
        maps = [label_map_of_a_third(i, "HEXAGONAL", True, reach=reach, **large) for i in range(60)]
        numbers.append([labels.max() for labels in maps])
        areas.append(np.concatenate([np.bincount(labels.ravel())[1:] for labels in maps]))
        rim = np.ones(maps[0].shape, bool)
        rim[8:-8, 8:-8] = False
        rims.append([(labels[rim] > 0).mean() for labels in maps])
        edges.append([(np.diff(labels > 0, axis=0) != 0).mean() for labels in maps])
    assert canvases[0] == (96 + 3 * 93, 128 + 3 * 93)
    assert canvases[-1] == (96 + 3 * 26, 128 + 3 * 26)
    for both in (numbers, areas, rims, edges):
        assert ks_2samp(*both).pvalue > 0.01


def test_a_share_is_found_without_placing_all_that_there_is_time_and_again(monkeypatch):
    placed, positions = [], []
    place, find = mask_image.place_particles, mask_image.find_positions

    def place_particles(canvas_shape, centres, *how):
        placed.append(len(centres))
        return place(canvas_shape, centres, *how)

    def find_positions(*how, **options):
        positions.append(len(found := find(*how, **options)))
        return found

    monkeypatch.setattr(mask_image, "place_particles", place_particles)
    monkeypatch.setattr(mask_image, "find_positions", find_positions)
    for index in range(20):
        labels = label_map_of_a_third(index, "HEXAGONAL", True, image_shape=(192, 192))
        assert foreground_of_labels(labels).mean() == pytest.approx(0.3, abs=0.01)
    assert sum(placed) < 2 * sum(positions)

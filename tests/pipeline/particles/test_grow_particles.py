"""Centrality of known shapes, and particles grown from it."""

import tracemalloc

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import h_maxima

from pipeline.particle_masks import close_slits, fill_holes
from pipeline.particles import components
from pipeline.particles import grow_particles as module
from pipeline.particles.grow_particles import (
    LEAST_RISE,
    centrality,
    find_centres,
    grow_particles,
    to_levels,
)
from pipeline.particles.touching_particles import flood


def label_map(*disks, shape=(80, 100)):
    """Later disks (row, column, radius) lie on earlier ones, a gap of two pixels around them."""
    labels = np.zeros(shape, np.uint16)
    for number, (row, column, radius) in enumerate(disks, start=1):
        cv2.circle(labels, (column, row), radius + 2, 0, -1)
        cv2.circle(labels, (column, row), radius, number, -1)
    return labels


def plain_centrality(labels):
    """The definition, particle by particle."""
    result = np.zeros(labels.shape)
    mirrored = np.pad(labels, 1, mode="edge")
    for number in np.unique(labels[labels > 0]):
        rim = mirrored != number
        distance = ndimage.distance_transform_edt(~ndimage.binary_dilation(rim, np.ones((3, 3))))[
            1:-1, 1:-1
        ]
        inside = labels == number
        result[inside] = (distance[inside] + 1) / (distance[inside].max() + 1)
    return result


def smooth(image):
    return cv2.GaussianBlur(np.asarray(image, np.float64), (0, 0), 1.0)


def plain_growing(probability, central, threshold):
    """The definition, for the whole image at once."""
    mask, central = smooth(probability > threshold) > 0.5, smooth(central)
    labels = flood(-central, find_centres(central, mask), mask)
    return fill_holes(close_slits(labels), connectivity=4)


def test_centrality_is_that_of_its_definition():
    random = np.random.default_rng(0)
    for _ in range(10):
        rows, columns, radii = (
            random.integers(*limits, 8) for limits in ((0, 80), (0, 100), (2, 16))
        )
        labels = label_map(*zip(rows.tolist(), columns.tolist(), radii.tolist(), strict=True))
        np.testing.assert_allclose(centrality(labels), plain_centrality(labels), atol=1e-5)


def test_centrality_of_small_and_large_particles_is_alike():
    central = centrality(label_map((30, 30, 20), (30, 75, 5)))
    assert central.dtype == np.float32
    assert central[30, 30] == central[30, 75] == 1
    assert central.min() == 0 and 0 < central[30, 11] < 0.1


def test_touching_labels_without_a_gap_are_told_apart():
    labels = np.ones((20, 40), np.uint16)
    labels[:, 20:] = 2
    central = centrality(labels)
    assert central[10, 19] == central[10, 20] < 0.2
    assert central[10, 0] == central[10, 39] == 1  # they go on beyond the edge


def test_particles_are_grown_from_exact_maps():
    # A small one on a large one, two that overlap widely, one alone, one at the edge.
    labels = label_map(
        (30, 30, 22), (22, 24, 5), (60, 70, 12), (60, 84, 12), (10, 80, 4), (0, 50, 8)
    )
    closed = cv2.morphologyEx((labels > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
    grown = grow_particles(closed.astype(np.float32), centrality(labels), 0.5)
    assert grown.max() == len(np.unique(grown)) - 1 == 6
    for number in range(1, 7):
        true = labels == number
        found = grown == np.bincount(grown[true]).argmax()
        assert np.sum(true & found) / np.sum(true | found) > 0.75


@pytest.mark.parametrize("noise", [0.02, 0.06])
def test_noise_makes_no_centres(noise):
    labels = label_map((30, 30, 20), (40, 75, 12))
    central = centrality(labels) + np.random.default_rng(1).normal(0, noise, labels.shape)
    assert find_centres(smooth(central), labels > 0).max() == 2


def test_a_low_centre_counts_if_a_valley_lies_around_it():
    labels = label_map((30, 30, 20), (40, 75, 12))
    central = centrality(labels)
    central[labels == 2] *= 0.45
    assert find_centres(smooth(central), labels > 0).max() == 2


@pytest.mark.parametrize(("valley", "centres"), [(0.7, 1), (0.55, 2)])
def test_shading_within_a_particle_makes_no_second_centre(valley, centres):
    columns = np.interp(np.arange(60), [0, 15, 30, 45, 59], [0, 1, valley, 0.95, 0])
    central = np.broadcast_to(columns, (40, 60)) * np.hanning(40)[:, None]
    assert find_centres(smooth(central), np.ones((40, 60), bool)).max() == centres


def test_centres_are_the_maxima_of_at_least_the_dynamics():
    random = np.random.default_rng(3)
    for sigma in (2, 4, 8):
        central = cv2.GaussianBlur(random.random((120, 160)), (0, 0), sigma)
        central = (central - central.min()) / np.ptp(central)
        mask = cv2.GaussianBlur(random.random((120, 160)), (0, 0), 6) > 0.495
        central = smooth(central)
        height = to_levels(np.clip(central, 0, 1)) * mask
        _, plain = cv2.connectedComponents(h_maxima(height, LEAST_RISE).astype(np.uint8))
        markers = find_centres(central, mask)
        pairs = np.unique(np.stack([markers, plain], axis=-1)[plain > 0], axis=0)
        assert np.unique(pairs[:, 0]).tolist() == list(range(1, markers.max() + 1))
        # Each maximum has a centre; two share one only where equally high, with no valley between.
        for number in np.flatnonzero(np.bincount(pairs[:, 0]) > 1):
            tops = [height[plain == maximum].max() for maximum in pairs[pairs[:, 0] == number, 1]]
            assert len(set(tops)) == 1
        assert len(pairs) == plain.max() > 3


@pytest.mark.parametrize(("height", "particles"), [(0.3, 1), (0.45, 2)])
def test_a_part_of_the_mask_without_an_inside_is_no_particle(height, particles):
    labels = label_map((30, 30, 20), (40, 75, 12))
    central = centrality(labels)
    central[labels == 2] *= height
    grown = grow_particles((labels > 0).astype(np.float32), central, 0.5)
    assert grown.max() == particles
    kept = cv2.GaussianBlur((labels > 0).astype(float), (0, 0), 1.0) > 0.5
    np.testing.assert_array_equal(
        grown > 0, kept & (np.arange(100) < (55 if particles == 1 else 100))
    )


def test_noise_within_a_particle_makes_no_holes_in_it():
    labels = label_map((30, 30, 20), (40, 75, 12))
    random = np.random.default_rng(6)
    probability = np.where(labels > 0, random.uniform(0.1, 1.0, labels.shape), 0.0)
    grown = grow_particles(probability, centrality(labels), 0.28)
    assert grown.max() == 2
    for number in (1, 2):
        found = grown == np.bincount(grown[labels == number]).argmax()
        assert np.sum(found & (labels == number)) / np.sum(found | (labels == number)) > 0.9
        assert ndimage.binary_fill_holes(found).sum() == found.sum()


@pytest.mark.parametrize("threshold", [0.02, 0.5, 0.98])
def test_the_threshold_does_not_move_the_outline_of_a_certain_particle(threshold):
    labels = label_map((30, 30, 14), (40, 75, 12))
    grown = grow_particles((labels > 0).astype(np.float32), centrality(labels), threshold)
    assert grown.max() == 2
    assert np.count_nonzero((grown > 0) != (labels > 0)) <= 8  # pixels that stick out


def random_maps(seed, shape):
    """Blobs, some of them touching, with wavy centralities, and the edge cuts a few."""
    random = np.random.default_rng(seed)
    number = shape[0] * shape[1] // 400
    places = [random.integers(-5, side + 5, number).tolist() for side in shape]
    radii = random.integers(1, 12, number).tolist()
    labels = label_map(*zip(*places, radii, strict=True), shape=shape)
    wavy = cv2.GaussianBlur(random.random(shape), (0, 0), 3)
    closed = cv2.morphologyEx((labels > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
    probability = (closed * random.uniform(0.3, 1, shape)).astype(np.float32)
    return probability, (centrality(labels) * wavy / wavy.max()).astype(np.float32)


@pytest.mark.parametrize("shape", [(120, 160), (700, 90), (513, 40), (33, 517)])
def test_component_by_component_the_same_particles_grow(shape):
    for seed in range(5):
        probability, central = random_maps(seed, shape)
        grown, plain = (grow(probability, central, 0.4) for grow in (grow_particles, plain_growing))
        pairs = np.unique(np.stack([grown, plain], axis=-1).reshape(-1, 2), axis=0)
        assert len(pairs) == grown.max() + 1 == plain.max() + 1 > 5  # equal but for the numbers


def test_large_images_are_grown_in_bounded_memory():
    probability, central = (np.tile(part, (5, 5)) for part in random_maps(0, (200, 200)))
    tracemalloc.start()
    assert grow_particles(probability, central, 0.4).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * probability.size  # bytes; one map of float64 takes 8


def test_nothing_grows_on_an_empty_mask():
    assert not grow_particles(np.zeros((30, 40)), np.full((30, 40), 0.7), 0.5).any()


def test_centrality_repeats_itself_to_the_last_bit():
    random = np.random.default_rng(0)
    for height, width in random.integers(40, 200, (20, 2)):
        noise = cv2.GaussianBlur(random.random((height, width), np.float32), (0, 0), 3)
        labels, _ = ndimage.label(noise > 0.5)
        # All are kept, so that each lies elsewhere in the memory: OpenCV's distances depend on it.
        maps = [centrality(labels) for _ in range(5)]
        assert all(np.array_equal(one, maps[0]) for one in maps)


def test_an_image_of_many_components_has_a_progress_of_its_own(monkeypatch, caplog):
    caplog.set_level("INFO")
    labels = label_map((15, 15, 9), (15, 60, 12), (60, 40, 14))
    central = centrality(labels)
    expected = grow_particles(labels > 0, central, 0.5)
    assert not caplog.messages
    monkeypatch.setattr(components, "MANY_COMPONENTS", 3)
    np.testing.assert_array_equal(grow_particles(labels > 0, central, 0.5), expected)
    assert caplog.messages == [
        "agglomerates cut into particles: 3 in 0 s",
        "particles made solid: 3 in 0 s",
    ]


def test_a_hole_that_opens_across_a_corner_only_is_filled(monkeypatch):
    rows, columns = np.mgrid[:40, :40]
    labels = (np.hypot(rows - 20, columns - 20) <= 15).astype(np.int32)
    labels[14:26, 14:26] = 0
    labels[range(14), range(14)] = 0  # the way out
    monkeypatch.setattr(module, "_flood_components", lambda *of: labels.copy())
    monkeypatch.setattr(module, "close_slits", lambda found: found)
    assert grow_particles(np.ones((40, 40)), np.ones((40, 40)), 0.5)[20, 20] == 1

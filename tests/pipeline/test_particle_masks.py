"""Particle masks: fast code against its plain twins, geometry with known answers, errors."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from pipeline import particle_masks
from pipeline.particle_masks import (
    SLIT_RADIUS,
    close_slits,
    contrast_correlation,
    fill_holes,
    filter_particles,
    label_particles,
    mean_intensities,
    segment_particles,
    to_four_connected,
)
from tests.pipeline.plain_segmentation import (
    plain_fill_and_filter,
    plain_four_connected,
    plain_segment,
)


def blobs(seed: int, sigma: float, shape=(160, 200)) -> np.ndarray:
    """Smooth random blobs, some of them cut by the edge, as float probabilities in 0..1."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), sigma)
    return (noise - noise.min()) / np.ptp(noise)


def pile(seed: int, shape=(160, 200)) -> np.ndarray:
    """A pile of overlapping ellipses over a noisy background, uint8, as an agglomerate looks."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, 60, np.uint8)
    for _ in range(25):
        centre = rng.normal((100, 80), (40, 30)).astype(int).tolist()
        axes, angle = rng.integers(5, 16, 2).tolist(), float(rng.uniform(0, 180))
        cv2.ellipse(image, centre, axes, angle, 0, 360, int(rng.integers(140, 220)), -1)
    noisy = image + rng.normal(0, 35, shape)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), 0.8), 0, 255).astype(np.uint8)


def disks(*centres_and_radii, shape=(60, 90)) -> np.ndarray:
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, bool)
    for row, column, radius in centres_and_radii:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def count(mask) -> int:
    return int(label_particles(mask).max())


PROBABILITIES = {
    "blobs": blobs(0, 4.0),
    "fine blobs": blobs(1, 2.0),
    "pile": pile(2),
    "wide pile": pile(3, (100, 333)),
    "touching disks": disks((20, 20, 15), (25, 45, 14), (40, 30, 9)).astype(np.float32),
}


@pytest.mark.parametrize("watershed_lines", [True, False])
@pytest.mark.parametrize("name", PROBABILITIES)
def test_segmentation_agrees_with_scikit_image(name, watershed_lines):
    probability = PROBABILITIES[name]
    expected = plain_segment(probability, -1, watershed_lines, 9)
    mask = segment_particles(probability, -1, watershed_lines, 9)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
    agreement = np.mean((mask > 0) == expected)
    assert agreement >= (0.998 if watershed_lines else 1.0)
    assert count(mask) == count(expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 1])
def test_flat_image_is_background_by_otsu_and_as_it_is_by_a_threshold(value, dtype):
    probability = np.full((30, 40), value, dtype)
    assert not segment_particles(probability, -1, True, 9).any()
    assert np.all(segment_particles(probability, 0.5, True, 9) == 255 * value)


def test_threshold_is_exclusive_and_in_the_unit_of_the_image():
    probability = np.zeros((20, 20), np.uint8)
    probability[4:9, 4:9], probability[12:17, 12:17] = 100, 101
    mask = segment_particles(probability, 100, False, 9)
    assert np.array_equal(mask > 0, probability == 101)
    same = segment_particles(probability.astype(np.float32) / 255, 100.5 / 255, False, 9)
    assert np.array_equal(same, mask)


def test_single_pixel_is_a_particle():
    probability = np.zeros((30, 40), bool)
    probability[12, 17] = True
    assert np.array_equal(segment_particles(probability, -1, True, 9) > 0, probability)


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1), (2, 2)])
def test_narrow_images(shape):
    probability = np.random.default_rng(0).random(shape)
    mask = segment_particles(probability, 0.5, True, 3)
    assert np.array_equal(mask > 0, plain_segment(probability, 0.5, True, 3))


@pytest.mark.parametrize("shape", [(4, 5, 1), (0, 5), (7,)])
def test_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"has shape \(.*expected \(height, width\)"):
        segment_particles(np.zeros(shape), -1, True, 9)


def test_min_distance_below_one_is_named():
    with pytest.raises(ValueError, match="min_distance is 0; expected at least 1"):
        segment_particles(np.eye(5), 0.5, True, 0)


@settings(max_examples=200)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_four_connectivity_equals_the_double_loop(mask):
    assert np.array_equal(to_four_connected(mask), plain_four_connected(mask))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.2, 0.8))
def test_four_connectivity_equals_the_double_loop_on_larger_images(seed, share):
    image = np.random.default_rng(seed).random((40, 60))
    mask = np.where(image < share, 7, 0).astype(np.int32)
    result = to_four_connected(mask)
    assert result.dtype == mask.dtype
    assert np.array_equal(result, plain_four_connected(mask))


def test_four_connectivity_leaves_its_input_alone_and_clears_the_left_pixel():
    mask = np.zeros((6, 8), np.uint8)
    mask[1, 1] = mask[2, 2] = mask[4, 6] = mask[5, 5] = 255
    before = mask.copy()
    assert np.argwhere(to_four_connected(mask)).tolist() == [[2, 2], [4, 6]]
    assert np.array_equal(mask, before)


def test_labels_are_four_connected():
    assert count(np.eye(4, dtype=np.uint8)) == 4
    assert count(np.ones((4, 4), bool)) == 1


def test_holes_are_filled_but_gaps_between_particles_are_not():
    labels = np.zeros((12, 24), np.uint16)
    labels[2:9, 1:8] = 3
    labels[4:6, 3:5] = 0  # a hole
    labels[1:10, 10:14], labels[1:10, 15:19] = 5, 7
    labels[1, 14] = 5
    labels[9, 14] = 7
    labels[4:7, 11:13] = 0  # a hole that holds another particle
    labels[5, 11] = 9
    labels[3:6, 20:24] = 11
    labels[4, 23] = 0  # a bay at the image's edge
    filled = fill_holes(labels)
    expected = labels.copy()
    expected[4:6, 3:5] = 3
    assert np.array_equal(filled, expected) and filled.dtype == labels.dtype
    assert np.all(filled[2:9, 14] == 0)  # enclosed by 5 and 7 together


@pytest.mark.parametrize("connectivity", [4, 8])
def test_holes_within_one_particle_are_filled_and_no_others(connectivity):
    """Held against the definition: connected background that touches one label, and no edge."""
    random = np.random.default_rng(5)
    filled_ones = 0
    structure = ndimage.generate_binary_structure(2, connectivity // 4)
    for _ in range(30):
        labels = random.integers(0, 3, (12, 15)).astype(np.int32)
        labels[random.random(labels.shape) < 0.5] = 1
        expected = labels.copy()
        holes, count = ndimage.label(np.pad(labels, 1) == 0, structure)
        for number in range(1, count + 1):
            hole = holes == number
            rim = np.pad(labels, 1)[ndimage.binary_dilation(hole) & ~hole]
            touches_the_edge = hole[0].any()  # the frame of padding is one component
            if not touches_the_edge and len(set(rim)) == 1:
                expected[hole[1:-1, 1:-1]] = rim[0]
                filled_ones += 1
        np.testing.assert_array_equal(fill_holes(labels, connectivity), expected)
    assert filled_ones > 30


@pytest.mark.parametrize("value", [0, 4])
def test_filling_uniform_labels_changes_nothing(value):
    labels = np.full((5, 6), value, np.int32)
    assert np.array_equal(fill_holes(labels), labels)


def test_slits_into_a_particle_are_closed_and_gaps_between_particles_are_not():
    labels = np.zeros((40, 60), np.int32)
    cv2.circle(labels, (15, 20), 12, 1, -1)
    expected = labels.copy()
    labels[19:22, 15:28] = 0  # a slit of three pixels from the middle to the right
    labels[5:35, 32:44], labels[5:35, 46:58] = 2, 3  # two pixels apart
    labels[10:30, 40:44] = 0  # a bay of 20 pixels
    closed = close_slits(labels)
    # But for its mouth, and for corners, which a disk rounds.
    assert np.count_nonzero((closed != expected) & (expected == 1)) <= 8
    assert np.count_nonzero(closed[:, 30:] != labels[:, 30:]) <= 6
    assert not closed[:, 44:46].any()
    assert closed.dtype == labels.dtype and labels[20, 20] == 0


@pytest.mark.parametrize("seed", range(6))
def test_slits_are_closed_by_a_disk_particle_by_particle(seed):
    """Held against the definition on pieces that lie one pixel apart, some at the edge."""
    mask = blobs(seed, 3) > 0.47
    lines = (blobs(seed + 50, 6) * 40).astype(int) % 8 == 0
    _, labels = cv2.connectedComponents((mask & ~lines).astype(np.uint8))
    rows, columns = np.indices((2 * SLIT_RADIUS + 1,) * 2) - SLIT_RADIUS
    disk = (abs(rows) < SLIT_RADIUS) | (columns == 0)  # as OpenCV draws it
    expected = labels.copy()
    for number in range(1, labels.max() + 1):
        own = np.pad(labels == number, SLIT_RADIUS)
        solid = ndimage.binary_erosion(ndimage.binary_dilation(own, disk), disk)
        solid = solid[SLIT_RADIUS:-SLIT_RADIUS, SLIT_RADIUS:-SLIT_RADIUS]
        others = (expected > 0) & (expected != number)
        solid &= ~ndimage.binary_dilation(others, np.ones((3, 3)))
        pieces, _ = ndimage.label(solid | (labels == number))
        for piece in np.unique(pieces[labels == number]):
            expected[pieces == piece] = number
    closed = close_slits(labels)
    np.testing.assert_array_equal(closed, expected)
    assert np.count_nonzero(closed != labels) > 50
    # What was separate stays separate, diagonally too.
    assert cv2.connectedComponents((closed > 0).astype(np.uint8))[0] == labels.max() + 1


def test_particles_without_a_line_between_them_keep_their_pixels():
    labels = np.zeros((20, 20), np.int32)
    labels[3:15, 3:9], labels[3:15, 9:16] = 1, 2
    np.testing.assert_array_equal(close_slits(labels), labels)


def test_a_particle_near_the_edge_does_not_grow_up_to_it():
    labels = np.zeros((20, 20), np.int32)
    labels[1:10, 2:12] = 4  # the numbers before it are no particle's
    np.testing.assert_array_equal(close_slits(labels), labels)


def test_mean_intensities_of_known_regions():
    labels = np.array([[0, 1, 1], [3, 3, 0]], np.uint16)
    image = np.array([[10, 60000, 40000], [1, 2, 30]], np.uint16)
    assert mean_intensities(labels, image) == pytest.approx([20, 50000, np.nan, 1.5], nan_ok=True)


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_fill_and_filter_equal_the_plain_twin(dark_background, dtype):
    rng = np.random.default_rng(6)
    mask = (segment_particles(pile(7), -1, True, 9) > 0) & (rng.random((160, 200)) > 0.01)
    micrograph = (pile(8) if dark_background else 255 - pile(8)).astype(dtype)
    labels = fill_holes(label_particles(mask))
    kept = filter_particles(labels, micrograph, dark_background)
    expected = plain_fill_and_filter(mask, micrograph, dark_background)
    assert 0 < count(expected) < count(mask)
    # The twin also covers particles inside the holes of others; there are none in this pile.
    assert np.array_equal(kept > 0, expected)


@pytest.mark.parametrize("dark_background", [True, False])
def test_filter_keeps_bright_or_dark_particles_and_their_numbers(dark_background):
    labels = np.zeros((40, 60), np.uint16)
    labels[5:15, 5:15], labels[20:30, 5:15], labels[5:15, 30:40] = 2, 4, 9
    micrograph = np.random.default_rng(0).normal(100, 3, labels.shape).astype(np.float32)
    sign = 1 if dark_background else -1
    micrograph[(labels == 2) | (labels == 9)] += sign * 80
    kept = filter_particles(labels, micrograph, dark_background)
    assert kept.dtype == np.uint16
    assert np.array_equal(kept, np.where(labels == 4, 0, labels))


def squares(intensities, background, dtype, noise=4):
    """Return a label map of squares in rows of four, and a micrograph of them."""
    labels = np.zeros((24 * len(intensities) // 4 + 8, 104), np.uint16)
    micrograph = np.full(labels.shape, background, np.float64)
    for index, intensity in enumerate(intensities):
        row, column = 8 + 24 * (index // 4), 8 + 24 * (index % 4)
        place = np.s_[row : row + 16, column : column + 16]
        labels[place], micrograph[place] = index + 1, intensity
    micrograph += noise * np.random.default_rng(0).normal(size=labels.shape)
    return labels, np.rint(micrograph).astype(dtype)


@pytest.mark.parametrize("dark_background", [True, False])
def test_micrographs_of_signed_integers_are_filtered_over_their_whole_range(dark_background):
    labels, micrograph = squares([29000, 31000, -29000, 30000], -30000, np.int16, noise=300)
    expected = np.where(labels == 3, 0, labels)
    for dtype in (np.int16, np.int32, np.float32):
        image = micrograph.astype(dtype) if dark_background else -micrograph.astype(dtype)
        np.testing.assert_array_equal(filter_particles(labels, image, dark_background), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32])
def test_dark_particles_are_kept_as_bright_ones_of_the_negated_micrograph_are(dtype):
    labels, micrograph = squares(np.linspace(60, 160, 16), 200, dtype)
    kept = filter_particles(labels, micrograph, False)
    # The published threshold, of the micrograph as it is, misses the four palest.
    np.testing.assert_array_equal(kept, labels)
    negated = micrograph.max() - micrograph
    np.testing.assert_array_equal(filter_particles(labels, negated, True), kept)
    labels[:8, 50:90] = 17  # background
    for image in (micrograph, negated):
        for dark_background in (True, False):
            kept = filter_particles(labels, image, dark_background)
            other = filter_particles(labels, image.max() - image, not dark_background)
            assert 0 < np.count_nonzero(kept) < np.count_nonzero(labels)
            np.testing.assert_array_equal(kept, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("dark_background", [True, False])
def test_a_constant_micrograph_shows_no_particle(dark_background, dtype):
    labels = np.eye(6, dtype=np.int32)
    kept = filter_particles(labels, np.full((6, 6), 50, dtype), dark_background)
    assert kept.dtype == labels.dtype and kept.shape == labels.shape and not kept.any()


def test_filter_without_particles():
    labels = np.zeros((6, 7), np.int32)
    assert not filter_particles(labels, np.arange(42, dtype=np.uint8).reshape(6, 7), True).any()


def test_contrast_correlation_is_that_of_the_two_images():
    mask, micrograph = pile(9) > 120, pile(9)
    expected = np.corrcoef(mask.ravel(), micrograph.ravel())[0, 1]
    assert contrast_correlation(mask, micrograph) == pytest.approx(expected)
    assert contrast_correlation(mask, 255 - micrograph) == pytest.approx(-expected)
    assert contrast_correlation(mask, np.zeros(mask.shape)) == 0
    assert np.isnan(contrast_correlation(np.ones(mask.shape), micrograph))


@pytest.mark.parametrize("dark_background", [True, False])
def test_a_particle_as_bright_as_the_threshold_stays(monkeypatch, dark_background):
    labels = np.zeros((20, 30), np.uint16)
    labels[5:9, 5:9], labels[5:9, 15:19] = 1, 2
    micrograph = np.zeros((20, 30), np.uint8)
    micrograph[labels == 1], micrograph[labels == 2] = 120, 119
    if not dark_background:
        micrograph = 255 - micrograph
    monkeypatch.setattr(particle_masks, "threshold_li", lambda image: 120.0)
    kept = particle_masks.filter_particles(labels, micrograph, dark_background)
    assert np.unique(kept).tolist() == [0, 1]

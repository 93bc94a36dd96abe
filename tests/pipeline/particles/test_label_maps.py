"""Label maps are told from maps of classes and from masks of grey levels."""

import cv2
import numpy as np
import pytest

from pipeline.particles.label_maps import (
    describe_numbers,
    is_label_map,
    labels_in_pieces,
    surrounds_all,
)


def disks(*places, shape=(60, 80)) -> np.ndarray:
    """Return the number of the last of some disks (row, column, radius) over each pixel."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint16)
    for number, (row, column, radius) in enumerate(places, start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return labels


GRID = [(row, column, 8) for row in (15, 45) for column in (15, 40, 65)]


def touching_squares(number: int, size: int = 6) -> np.ndarray:
    """Return ``number`` numbered squares in rows of ten that touch, under a row of background."""
    rows = -(-number // 10)
    numbers = np.arange(1, 10 * rows + 1).reshape(rows, 10)
    labels = np.kron(np.where(numbers <= number, numbers, 0), np.ones((size, size), int))
    return np.pad(labels, ((3, 0), (0, 0)))


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(2, np.uint8), (254, np.uint8), (255, np.uint16), (700, np.int32), (30, np.uint64)],
)
def test_label_maps_are_told(number, dtype):
    labels = touching_squares(number).astype(dtype)
    assert is_label_map(labels) and describe_numbers(labels) is None
    labels[labels == 1] = 0  # as an editor leaves it
    assert is_label_map(labels) == (number > 2)
    assert is_label_map(touching_squares(number, size=2).astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_masks_are_no_label_maps(dtype):
    mask = disks((20, 20, 15), (40, 60, 12)) > 0
    smoothed = np.rint(cv2.GaussianBlur(mask * 255.0, (0, 0), 2)).astype(dtype)
    assert len(np.unique(smoothed)) > 128
    classes = np.where(mask, 255, 0).astype(dtype)
    classes[:, 45:] //= 2  # 127: another class, or half transparent
    for image in (mask.astype(dtype), mask.astype(dtype) * 200, smoothed, smoothed // 2, classes):
        assert not is_label_map(image) and describe_numbers(image) is None
    assert not is_label_map(np.random.default_rng(0).integers(0, 200, (50, 60)).astype(dtype))
    assert is_label_map(touching_squares(9).astype(np.float32))  # of ImageJ's 32 bit
    for no_number in (0.5, np.nan, np.inf, -1):
        greys = touching_squares(9).astype(np.float32)
        greys[greys == 1] = no_number
        assert not is_label_map(greys)
    assert not is_label_map(-touching_squares(9))


def test_particles_that_others_cut_are_particles():
    """A bar lies across another and leaves two parts of it, 60 to 40."""
    labels = np.zeros((60, 80), np.uint8)
    labels[27:33, 10:70] = 1
    labels[10:50, 43:48] = 2
    assert is_label_map(labels)
    many = disks(*GRID).astype(np.uint8)
    many[13:17] = 0  # a scratch cuts three of the six
    assert is_label_map(many)


def class_maps():
    """Return by name: background 1, particles 2; two kinds of particles; cores and borders."""
    particles = disks(*GRID) > 0
    core = disks(*((row, column, radius - 3) for row, column, radius in GRID)) > 0
    kinds = disks(*GRID)
    touching = disks((30, 25, 15), (30, 54, 15), (12, 40, 9)) > 0
    middles = disks((30, 25, 8), (30, 54, 8), (12, 40, 5)) > 0
    return {
        "ilastik": np.where(particles, 2, 1),
        "ilastik, void": np.where(particles, 2, np.where(np.arange(80) < 5, 0, 1)),
        "kinds": np.where(particles, 1 + kinds % 2, 0),
        "core and border": np.where(core, 1, np.where(particles, 2, 0)),
        "border and core": np.where(core, 2, np.where(particles, 1, 0)),
        "touching": np.where(middles, 1, np.where(touching, 2, 0)),
    }


@pytest.mark.parametrize("name", class_maps())
def test_maps_of_classes_are_no_label_maps(name):
    image = class_maps()[name].astype(np.uint8)
    assert not is_label_map(image)
    problem = describe_numbers(image)
    assert problem.startswith("looks like a map of classes, not of particles: its ")
    assert "allowed are black (0) and one other value, or a label map" in problem
    assert "as 255 and all others as 0" in problem


def test_what_was_found_is_said():
    maps = class_maps()
    assert "its numbers are 1 to 2, and 0 does not occur" in describe_numbers(maps["ilastik"])
    found = describe_numbers(maps["kinds"])
    assert "its 2 numbers are in 6 pieces" in found
    assert "in the median a number's largest piece holds 33% of its pixels" in found


def test_a_label_map_that_fills_8_bits_is_to_be_saved_in_16():
    labels = touching_squares(255)
    assert not is_label_map(labels.astype(np.uint8))
    assert "save it as 16 bit" in describe_numbers(labels.astype(np.uint8))
    assert is_label_map(labels.astype(np.uint16))
    # Wide slopes of grey, in pieces: no numbers.
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(400, 400)), (0, 0), 30)
    grey = np.rint(255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    assert not is_label_map(grey)
    assert describe_numbers(np.where(np.indices((400, 400))[1] % 10 < 9, grey, 0)) is None


def test_the_background_of_an_inverted_mask_surrounds_all():
    inverted = (disks(*GRID) == 0).astype(np.int32)
    assert surrounds_all(inverted)
    # A cross of particles in one piece reaches all edges too, but is no background.
    cross = np.zeros((60, 80), np.int32)
    cross[28:32], cross[:, 38:42] = 1, 1
    assert not surrounds_all(cross)
    inverted[0] = 0
    assert not surrounds_all(inverted)
    assert not surrounds_all(disks(*GRID).astype(np.int32))
    assert not surrounds_all(np.zeros((60, 80), np.int32))


@pytest.mark.parametrize(("step", "told"), [(1, True), (2, True), (3, False)])
def test_a_third_of_the_numbers_is_too_few(step, told):
    numbers = step * np.arange(1, 17, dtype=np.uint16).reshape(4, 4)
    labels = np.pad(np.kron(numbers, np.ones((10, 10), np.uint16)), 5)
    assert is_label_map(labels) == told


def test_a_number_in_places_that_do_not_touch_is_in_pieces():
    labels = np.zeros((8, 8), np.uint16)
    labels[1:3, 1:3], labels[3:5, 3:5], labels[6, 6] = 4, 4, 2  # those of 4 touch at a corner
    assert not labels_in_pieces(labels)
    labels[1, 6] = 2
    assert labels_in_pieces(labels)
    assert not labels_in_pieces(np.zeros((3, 3), np.uint16))


@pytest.mark.parametrize(("largest", "is_map"), [(20, True), (22, False)])
def test_half_of_the_numbers_up_to_the_largest_must_occur(largest, is_map):
    numbers = np.array([*range(1, 10), largest], np.uint16).reshape(2, 5)
    image = np.pad(np.kron(numbers, np.ones((10, 10), np.uint16)), 5)
    assert is_label_map(image) == is_map

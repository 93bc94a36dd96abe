"""Lines between particles and shares of outlines, from geometry and against a plain double loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.particle_masks import label_particles
from pipeline.particles.contacts import contact_shares, give_back_lines, particles_and_lines
from pipeline.particles.pixel_outlines import walk_edges
from pipeline.particles.touching_particles import split_touching_particles

SMALL_LABEL_MAPS = hnp.arrays(
    np.int32, st.tuples(st.integers(0, 6), st.integers(0, 6)), elements=st.integers(0, 3)
)


def two_squares(gap):
    """10 x 10 pixels each, one beside the other, as many empty columns between them."""
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15] = 1
    labels[5:15, 15 + gap : 25 + gap] = 2
    return labels


def shares(labels):
    return contact_shares(labels, walk_edges(labels))


def plain_lines(labels):
    """Return which pixels are lines, and whose they become, pixel by pixel."""
    is_line, whole = np.zeros(labels.shape, bool), labels.copy()
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            beside = [
                labels[y + dy, x + dx]
                for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0))
                if 0 <= y + dy < height and 0 <= x + dx < width
            ]
            around = np.pad(labels, 1)[y : y + 3, x : x + 3].ravel()
            opposite = [set(pair) - {0} for pair in zip(around[:4], around[:4:-1], strict=True)]
            is_between = any(len(pair) == 2 for pair in opposite) or len(set(around) - {0}) == 3
            if labels[y, x] == 0 and is_between:
                is_line[y, x] = True
                whole[y, x] = next((label for label in beside if label), 0)
    return is_line, whole


@given(SMALL_LABEL_MAPS)
def test_lines_are_those_of_a_plain_double_loop(labels):
    is_line, whole = plain_lines(labels)
    np.testing.assert_array_equal(particles_and_lines(labels), (labels > 0) | is_line)
    before = labels.copy()
    np.testing.assert_array_equal(give_back_lines(labels), whole)
    np.testing.assert_array_equal(labels, before)


def test_a_line_of_one_pixel_goes_to_one_side_and_a_wider_gap_to_none():
    whole = give_back_lines(two_squares(gap=1))
    assert np.bincount(whole.ravel())[1:].tolist() == [110, 100]
    assert (whole[5:15, 15] == 1).all()
    np.testing.assert_array_equal(give_back_lines(two_squares(gap=2)), two_squares(gap=2))


def test_what_a_watershed_took_is_given_back():
    y, x = np.mgrid[:60, :90]
    disks = np.hypot(y - 30, x - 28) <= 18
    disks |= np.hypot(y - 30, x - 60) <= 18
    labels = split_touching_particles(disks, min_distance=5)
    assert labels.max() == 2
    assert ((labels > 0) < disks).any()
    whole = give_back_lines(labels)
    assert not (disks > (whole > 0)).any()
    # Where the disks meet, a pixel of the background is as narrow at either end.
    assert np.count_nonzero(whole) - np.count_nonzero(disks) == 2
    # The pixels of one particle still share edges with each other.
    assert all(label_particles(whole == label).max() == 1 for label in (1, 2))


@pytest.mark.parametrize("gap", [0, 1])
def test_one_of_four_sides_touches(gap):
    assert shares(two_squares(gap)) == {1: 0.25, 2: 0.25}


def test_nothing_touches_across_two_pixels_or_at_the_images_edge():
    assert shares(two_squares(gap=2)) == {1: 0, 2: 0}
    assert shares(np.ones((4, 5), np.int32)) == {1: 0}


def test_a_particle_in_the_middle_of_another_touches_all_round():
    labels = np.ones((30, 30), np.int32)
    labels[10:20, 10:20] = 2
    # 40 edges of the hole, of 40 and the 120 of the image.
    assert shares(labels) == {1: 0.25, 2: 1}


def test_particles_that_are_left_out_are_still_touched():
    labels = two_squares(gap=1)
    only_second = np.where(labels == 2, labels, 0)
    assert contact_shares(labels, walk_edges(only_second)) == {2: 0.25}

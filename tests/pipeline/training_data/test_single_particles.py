"""Particles that stand alone: which count, how much each, and which are compared."""

import numpy as np
import pytest

from pipeline.training_data.single_particles import (
    Singles,
    comparable,
    find_singles,
    find_singles_in_parts,
    joined,
    read_singles,
    write_singles,
)


def singles(diameters, convexities=None, weights=None):
    ones = np.ones(len(diameters))
    others = [ones if some is None else np.array(some, float) for some in (weights, convexities)]
    return Singles(np.array(diameters, float), *others)


def foreground(*places):
    mask = np.zeros((100, 200), bool)
    for place in places:
        mask[place] = True
    return mask


SQUARE = np.s_[10:30, 20:40]
BAR, OTHER_BAR = np.s_[50:60, 60:100], np.s_[50:90, 90:100]  # together an L
CUT = np.s_[0:20, 150:170]


def test_each_weighs_as_many_as_the_edge_cuts_of_its_size():
    found = find_singles(foreground(SQUARE, CUT))
    assert found.diameters == pytest.approx([2 * np.sqrt(400 / np.pi)])
    # 20 x 20 pixels lie off the edge of 100 x 200 in 79 x 179 positions.
    assert found.weights == pytest.approx([100 * 200 / (79 * 179)])
    assert found.convexities == pytest.approx([1], abs=0.01)


def test_in_a_micrograph_they_are_told_by_their_shape_and_in_a_mask_by_their_labels():
    mask = foreground(SQUARE, BAR, OTHER_BAR)
    assert find_singles(mask).number == 1
    one_label = mask.astype(np.uint16)
    found = find_singles(mask, one_label)
    assert found.number == 2
    assert found.convexities.min() < 0.75
    one_label[OTHER_BAR] = 2
    assert find_singles(mask, one_label).number == 1


def test_a_large_foreground_is_looked_at_part_by_part(monkeypatch):
    mask = foreground(SQUARE, np.s_[60:80, 120:140], np.s_[60:80, 90:110])
    assert find_singles_in_parts(mask).number == 3
    monkeypatch.setattr("pipeline.training_data.single_particles.LARGEST_PART", 100)
    found = find_singles_in_parts(mask)  # the third one lies across the middle
    assert found.diameters == pytest.approx([2 * np.sqrt(400 / np.pi)] * 2)
    assert found.weights == pytest.approx([100 * 100 / (79 * 79)] * 2)


def test_of_a_foreground_without_any_there_are_none():
    for mask in (foreground(), ~foreground()):
        found = find_singles(mask)
        assert found.number == 0 and np.isnan(found.median)
    assert joined([]).number == 0


def test_the_median_is_by_weight():
    assert singles([10, 20, 30]).median == 20
    assert singles([30, 10, 20], weights=[8, 1, 1]).median > 25


def test_all_are_joined():
    both = joined([singles([1, 2], [0.9, 0.95]), singles([3])])
    assert both.diameters.tolist() == [1, 2, 3]
    assert both.convexities.tolist() == [0.9, 0.95, 1]


def test_what_is_less_convex_than_most_of_the_simulated_ones_is_not_compared():
    simulated = singles([20, 20, 20, 20, 5], [0.93, 0.95, 0.96, 0.97, 0.9])
    real = singles([20, 21, 22, 40, 42], [0.94, 0.96, 0.97, 0.91, 0.92])  # two are of two
    real_ones, simulated_ones = comparable(real, simulated)
    assert real_ones.diameters.tolist() == [20, 21, 22]
    assert simulated_ones.number == 4


def test_of_rough_outlines_half_are_compared():
    simulated = singles([20] * 8, [0.99] * 8)
    real = singles([20, 21, 22, 23], [0.91, 0.92, 0.93, 0.94])
    real_ones, simulated_ones = comparable(real, simulated)
    assert real_ones.diameters.tolist() == [22, 23]
    assert simulated_ones.number == 8


def test_of_simulated_ones_that_are_ragged_only_those_as_convex_as_real_ones_are_compared():
    simulated = singles([40, 41, 42, 20, 21], [0.7, 0.75, 0.85, 0.92, 0.95])
    real = singles([20, 21, 22], [0.91, 0.93, 0.95])  # others are not told as single
    real_ones, simulated_ones = comparable(real, simulated)
    assert simulated_ones.diameters.tolist() == [20, 21]
    assert real_ones.number == 3


def test_where_one_side_has_none_all_stay():
    some, none = singles([20, 30], [0.9, 1]), joined([])
    assert comparable(some, none) == (some, none)
    assert comparable(none, some) == (none, some)


def test_they_are_written_with_their_image_and_read_again(tmp_path):
    by_image = {"a, b.tif": singles([20.5, 31.25], [0.9, 0.96875], [1.5, 2]), "c.tif": joined([])}
    write_singles(tmp_path / "singles.csv", by_image)
    assert (tmp_path / "singles.csv").read_text().splitlines()[:2] == [
        "image,diameter,weight,convexity",
        '"a, b.tif",20.5,1.5,0.9',
    ]
    found = read_singles(tmp_path / "singles.csv")
    for values, expected in zip(found, by_image["a, b.tif"], strict=True):
        np.testing.assert_array_equal(values, expected)


def test_the_edge_cuts_by_width_and_height():
    found = find_singles(foreground(np.s_[40:60, 70:130]))
    # 20 rows and 60 columns lie off the edge of 100 x 200 in 79 x 139 positions.
    assert found.weights == pytest.approx([100 * 200 / (79 * 139)])

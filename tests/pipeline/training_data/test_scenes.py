"""Scenes with known coverage, chords and diameters."""

import cv2
import numpy as np
import pytest

from pipeline.training_data.scenes import measure_scene
from simulate.mask_image import foreground_of_labels


def disks(centres, radius, shape=(120, 160)):
    image = np.zeros(shape, np.uint8)
    for column, row in centres:
        cv2.circle(image, (column, row), radius, 1, -1)
    return image.astype(bool)


def test_gaps_between_particles_belong_to_what_labels_cover():
    labels = np.zeros((40, 60), np.uint16)
    labels[10:30, 10:20], labels[10:30, 22:40] = 1, 2  # a gap of two pixels
    labels[:5, 50:] = 3  # at the edge
    covered = foreground_of_labels(labels)
    expected = labels > 0
    expected[10:30, 20:22] = True
    np.testing.assert_array_equal(covered, expected)


def test_what_an_agglomerate_encloses_belongs_to_it():
    labels = np.zeros((60, 80), np.uint16)
    labels[10:50, 10:40], labels[20:40, 20:30] = 1, 0  # a frame
    labels[10:50, 60:], labels[20:40, 70:] = 2, 0  # a frame that is open to the edge
    covered = foreground_of_labels(labels)
    assert covered[10:50, 10:40].all()
    assert not covered[22:38, 72:].any()
    assert not covered[:8].any() and not covered[:, 45:55].any()


def test_coverage_and_chord_of_a_rectangle():
    scene = np.zeros((50, 80), bool)
    scene[10:20, 30:70] = True
    found = measure_scene(scene)
    assert found.coverage == 10 * 40 / (50 * 80)
    # 10 runs of 40 along the rows, 40 runs of 10 along the columns.
    assert found.chord == 2 * 400 / (10 + 40)


def test_a_scene_without_particles():
    found = measure_scene(np.zeros((20, 30), bool))
    assert found.coverage == 0 and np.isnan(found.chord) and found.singles.number == 0


def test_only_whole_single_particles_have_a_diameter():
    scene = disks([(40, 40), (110, 60), (126, 60), (0, 100), (90, 20)], 10)
    scene[100:103, 100:103] = True  # a speck
    # Two disks touch, one is cut by the edge: two are single and whole.
    assert measure_scene(scene).singles.diameters == pytest.approx([20.5, 20.5], abs=0.6)


def test_labels_tell_single_particles_from_two():
    labels = np.zeros((60, 100), np.uint16)
    labels[10:30, 10:30] = 1
    labels[10:30, 50:60], labels[10:30, 62:72] = 2, 3  # together a rectangle
    labels[40:55, 10:25] = 4
    labels[40:55, 26] = 5  # a sliver of another particle
    covered = foreground_of_labels(labels)
    areas = [20 * 20, 15 * 17]
    diameters = measure_scene(covered, labels).singles.diameters
    assert diameters == pytest.approx([2 * np.sqrt(area / np.pi) for area in areas])
    assert measure_scene(covered).singles.number == 3


@pytest.mark.parametrize("centre", [(50, 94), (94, 50), (5, 50), (50, 5)])
def test_a_particle_that_any_edge_cuts_has_no_diameter(centre):
    rows, columns = np.mgrid[:100, :100]
    disk = np.hypot(rows - centre[0], columns - centre[1]) <= 10
    assert measure_scene(disk).singles.number == 0


def test_specks_of_less_than_30_pixels_have_no_diameter():
    mask = np.zeros((60, 60), bool)
    mask[10:15, 10:16] = True
    assert measure_scene(mask).singles.number == 1
    mask[14, 15] = False
    assert measure_scene(mask).singles.number == 0

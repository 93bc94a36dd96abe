"""The watershed split against scikit-image's, and on disks with known answers."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian

from pipeline.particles import components
from pipeline.particles.touching_particles import split_touching_particles
from tests.pipeline.plain_segmentation import plain_split


def blobs(seed: int, sigma: float, shape=(160, 200)) -> np.ndarray:
    """Smooth random blobs, some of them cut by the edge, as float probabilities in 0..1."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), sigma)
    return (noise - noise.min()) / np.ptp(noise)


def disks(*centres_and_radii, shape=(60, 90)) -> np.ndarray:
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, bool)
    for row, column, radius in centres_and_radii:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


@pytest.mark.parametrize("min_distance", [2, 5, 20])
def test_split_agrees_with_scikit_image_at_other_distances(min_distance):
    mask = blobs(4, 3.0) > 0.5
    expected, labels = plain_split(mask, min_distance), split_touching_particles(mask, min_distance)
    assert labels.max() == expected.max()
    assert np.mean((labels > 0) == (expected > 0)) >= 0.998


def rod(length: int, width: int, degrees: float) -> np.ndarray:
    mask = np.zeros((length + 20, length + 20), np.uint8)
    middle = length / 2 + 10
    corners = cv2.boxPoints(((middle, middle), (length, width), degrees))
    return cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1) > 0


@pytest.mark.parametrize("min_distance", [5, 9])
@pytest.mark.parametrize("length", [60, 80, 120])
def test_no_centre_is_lost_where_rounding_decides_between_two(length, min_distance):
    """The ridge of a rod has many that are alike; one larger by 4e-16 put out two that were not."""
    for width in (7, 9, 11, 15, 21):
        for degrees in (0, 10, 15, 20, 26.565, 30, 45):
            mask = rod(length, width, degrees)
            distance = gaussian(ndimage.distance_transform_edt(mask), sigma=1)
            how = {"min_distance": min_distance, "exclude_border": False}
            centres = peak_local_max(distance, labels=mask.astype(int), **how)
            assert split_touching_particles(mask, min_distance).max() == len(centres)


def test_two_touching_disks_become_two_halves_with_one_line():
    mask = disks((30, 30, 15), (30, 54, 15))
    labels = split_touching_particles(mask, 9)
    assert labels.max() == 2 and labels[30, 30] != labels[30, 54]
    line = mask & (labels == 0)
    # By symmetry the line is the column half way between the centres, where the disks meet:
    # 12 columns from each centre, 2 * floor(sqrt(15**2 - 12**2)) + 1 = 19 rows high.
    assert np.array_equal(np.argwhere(line), [(row, 42) for row in range(21, 40)])


def test_line_separates_across_corners():
    labels = split_touching_particles(blobs(5, 4.0) > 0.45, 5)
    for one, other in (
        (labels[:, :-1], labels[:, 1:]),
        (labels[:-1], labels[1:]),
        (labels[:-1, :-1], labels[1:, 1:]),
        (labels[:-1, 1:], labels[1:, :-1]),
    ):
        assert not np.any((one != other) & (one > 0) & (other > 0))


def test_centres_closer_than_min_distance_are_one_particle():
    # Two centres 24 columns apart, and the distance is above 14 only 2 columns around the first.
    mask = disks((30, 30, 15), (30, 54, 14))
    assert split_touching_particles(mask, 20).max() == 2
    assert split_touching_particles(mask, 24).max() == 1


def test_particle_at_the_edge_is_kept_and_so_is_a_speck_unless_beside_a_particle():
    mask = disks((30, 0, 12), (30, 50, 12))
    mask[30, [64, 80]] = True  # 2 and 18 columns from the disk
    labels = split_touching_particles(mask, 9)
    assert labels.max() == 3 and labels[30, 0] and labels[30, 80] and not labels[30, 64]


def test_min_distance_below_one_is_named():
    with pytest.raises(ValueError, match="min_distance is 0; expected at least 1"):
        split_touching_particles(np.eye(5) > 0, 0)


def test_only_an_image_of_many_components_has_a_progress_of_its_own(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(components, "MANY_COMPONENTS", 3)
    split_touching_particles(disks((10, 10, 5), (30, 60, 8)), 5)
    assert not caplog.messages
    assert split_touching_particles(disks((10, 10, 5), (30, 60, 8), (50, 10, 6)), 5).max() == 3
    assert caplog.messages == ["agglomerates measured: 3 in 0 s", "agglomerates split: 3 in 0 s"]


@pytest.mark.parametrize(("min_distance", "particles"), [(9, 2), (10, 1)])
@pytest.mark.parametrize("step", [(0, 9), (9, 0), (9, 9)])
def test_centres_at_the_least_distance_are_two_and_any_closer_one(min_distance, particles, step):
    mask = np.zeros((50, 50), bool)
    for row, column in ((20, 20), (20 + step[0], 20 + step[1])):
        mask[row - 3 : row + 4, column - 3 : column + 4] = True
    assert split_touching_particles(mask, min_distance).max() == particles

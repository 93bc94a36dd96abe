"""Where the share of an image that is asked for is covered: anywhere, up to the edge."""

import numpy as np
import pytest

from simulate.mask_image import foreground_of_labels, simulate_label_map
from simulate.outlines import prepare_particle


def square(side):
    outline = np.zeros((side + 8, side + 8), np.uint8)
    outline[4:-4, 4:-4] = 255
    return prepare_particle(outline, 1.0, 0.0)


def label_map_of_a_third(index, grid_type, use_perlin_noise):
    """Return a label map (96, 128) of squares that are to cover 0.3 of it."""
    return simulate_label_map(
        [[square(16)]],
        5,
        index,
        image_shape=(96, 128),
        outline_shape=(24, 24),
        largest_scale=1.0,
        coverage=0.3,
        grid_type=grid_type,
        grid_spacing_factor=0.25,
        grid_noise_factor=0.05,
        min_no_of_particles=1,
        max_no_of_particles=1,
        use_perlin_noise=use_perlin_noise,
        perlin_noise_threshold=0.5,
        perlin_noise_frequency=4,
        max_overlap=0.1,
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

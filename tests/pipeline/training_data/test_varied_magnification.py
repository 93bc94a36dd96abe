import cv2
import numpy as np
import pytest

from pipeline.training_data.varied_magnification import vary_magnification

HEIGHT, WIDTH = 48, 80


def pair():
    """Return a disk amid the image, white on black, and mask, centrality and closeness of it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - 24, columns - 40)
    mask = (distance < 12).astype(np.float32)
    central = np.clip(1 - distance / 12, 0, 1).astype(np.float32)
    return mask[..., None], np.stack([mask, central, 1 - mask], axis=-1)


def reduced(least, seed):
    return vary_magnification(*pair(), least, np.random.default_rng(seed))


def test_size_and_type_stay_and_the_mask_is_one():
    for seed in range(20):
        image, target = reduced(0.25, seed)
        assert image.shape == (HEIGHT, WIDTH, 1)
        assert target.shape == (HEIGHT, WIDTH, 3)
        assert image.dtype == target.dtype == np.float32
        assert set(np.unique(target[..., 0])) == {0.0, 1.0}
        assert target.min() >= 0
        assert target.max() <= 1


def test_image_and_target_are_reduced_alike():
    for seed in range(20):
        image, target = reduced(0.5, seed)
        bright = image[..., 0] > 0.5
        np.testing.assert_array_equal(bright, target[..., 0] > 0)
        # Most central where the particles are innermost.
        innermost = cv2.distanceTransform(bright.astype(np.uint8), cv2.DIST_L2, 5)
        assert innermost[target[..., 1] == target[..., 1].max()].min() > 3
        assert target[..., 2][bright].mean() < 0.2


def test_particles_get_smaller_by_factors_between_the_least_and_one():
    areas = []
    for seed in range(200):
        mask = reduced(0.6, seed)[1][..., 0].astype(np.uint8)
        statistics = cv2.connectedComponentsWithStats(mask)[2]
        areas.append(statistics[1:, cv2.CC_STAT_AREA].max())
    factors = np.sqrt(np.array(areas) / np.count_nonzero(pair()[1][..., 0]))
    assert 0.58 <= factors.min() < 0.65
    assert 0.95 < factors.max() <= 1.01
    assert np.mean(factors) == pytest.approx(0.8, abs=0.02)


def test_of_one_nothing_changes():
    image, target = reduced(1.0, 0)
    np.testing.assert_array_equal(image, pair()[0])
    np.testing.assert_array_equal(target, pair()[1])


def test_all_round_lies_the_mirror_image():
    """So what is cut by the edge goes on, and no edge is to be seen where there was none."""
    stripes = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1))[..., None]
    for seed in range(20):
        image, _ = vary_magnification(stripes, pair()[1], 0.5, np.random.default_rng(seed))
        assert np.abs(np.diff(image[..., 0], axis=1)).max() < 2.5 / WIDTH
        assert image.max() > 0.97
        assert image.min() < 0.03


def test_places_differ():
    tops = {np.flatnonzero(reduced(0.5, seed)[1][..., 0].any(axis=1))[0] for seed in range(30)}
    assert len(tops) > 5

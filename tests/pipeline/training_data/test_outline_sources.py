"""How alike drawn outlines are to given ones, and what is said about it."""

import numpy as np
import pytest
from skimage.draw import ellipse

from pipeline.image_files import write_image
from pipeline.training_data.outline_sources import (
    SHAPES,
    compare_outlines,
    load_outlines,
    say_how_alike,
    shapes_of,
)


def ellipses(radii):
    outlines = np.zeros((len(radii), 64, 64), np.uint8)
    for outline, pair in zip(outlines, radii, strict=True):
        outline[ellipse(31.5, 31.5, *pair)] = 255
    return outlines


def test_shapes_of_the_largest_particle_without_its_holes_and_specks():
    outline = ellipses([(10, 20)])
    outline[0, 30:33, 30:33] = 0
    outline[0, 2:5, 2:5] = 255
    empty = np.zeros_like(outline)
    shapes = shapes_of(np.concatenate([outline, empty]))
    assert [len(values) for values in shapes.values()] == [1, 1, 1]
    assert shapes["diameter in pixels"][0] == pytest.approx(np.sqrt(20 * 40), rel=0.03)
    # The smoothing takes something off both tips.
    assert shapes["aspect ratio"][0] == pytest.approx(0.5, abs=0.05)
    assert shapes["convexity"][0] > 0.95


def test_outlines_like_the_given_ones_are_close_and_others_far(caplog):
    caplog.set_level("INFO")
    radii = np.random.default_rng(0).uniform(10, 20, (40, 2))
    given = ellipses(radii)
    alike = compare_outlines(given, ellipses(radii[::2]), seed=0)
    assert all(found["distances"]["drawn"] < 0.3 for found in alike.values())
    say_how_alike(alike, 1.0)
    assert "diameter in pixels of your outlines" in caplog.text
    assert "OUTLINE_SOURCE" not in caplog.text

    noise = np.random.default_rng(1).random((20, 64, 64)) < 0.55
    ragged = np.where(noise, ellipses(radii[:20] * 1.4), 0)
    far = compare_outlines(given, ragged, seed=0)
    say_how_alike(far, 1.0)
    assert 'which OUTLINE_SOURCE = "augmented" uses' in caplog.text


def test_a_sample_without_particles_is_as_far_as_can_be(caplog):
    caplog.set_level("INFO")
    given = ellipses(np.full((5, 2), 12))
    found = compare_outlines(given, np.zeros((4, 64, 64), np.uint8), seed=0)
    assert {one["distances"]["drawn"] for one in found.values()} == {1.0}
    say_how_alike(found, 1.0)
    assert "of the WGAN's unknown" in caplog.text
    lost = ellipses(np.full((5, 2), 3))  # by the smoothing
    none_given = compare_outlines(lost, given, seed=0)
    assert {one["distances"]["drawn"] for one in none_given.values()} == {1.0}
    say_how_alike(none_given, 1.0)
    assert "of your outlines unknown, of the WGAN's 23.9" in caplog.text


def test_a_folder_without_outlines_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no images: put outlines"):
        load_outlines(tmp_path)


def test_black_on_white_outlines_are_inverted(tmp_path):
    write_image(tmp_path / "a.png", 255 - ellipses([(10, 14)])[0])
    np.testing.assert_array_equal(load_outlines(tmp_path, invert=True), ellipses([(10, 14)]))


def test_outlines_are_enlarged_as_asked_for(tmp_path):
    write_image(tmp_path / "a.png", ellipses([(10, 14)])[0])
    (enlarged,) = load_outlines(tmp_path, scale=1.5)
    assert enlarged.shape == tuple(
        -(-1.5 * side // 16) * 16 for side in ellipses([(9, 9)])[0].shape
    )
    assert set(np.unique(enlarged)) == {0, 255}
    (own,) = ellipses([(10, 14)])
    ratio = np.count_nonzero(enlarged) / np.count_nonzero(own)
    assert ratio == pytest.approx(1.5**2, rel=0.03)


@pytest.mark.parametrize(
    ("drawn", "warned"), [(0.1, False), (0.2, False), (0.28, False), (0.32, True), (0.9, True)]
)
def test_outlines_as_far_as_by_chance_are_not_warned_of(drawn, warned, caplog):
    found = {
        "medians": {"given": 20.0, "drawn": 21.0, "augmented": 20.0},
        "distances": {"drawn": drawn, "augmented": 0.2},
    }
    say_how_alike(dict.fromkeys(SHAPES, found), 1.0)
    assert ("the WGAN's outlines are less like yours" in caplog.text) == warned


def test_a_shape_is_that_of_the_largest_piece_and_may_fill_its_image():
    outline = np.zeros((1, 64, 64), np.uint8)
    outline[0, 4:16, 4:16] = outline[0, 24:54, 24:54] = 255
    size = shapes_of(outline)["diameter in pixels"]
    # Smoothing takes 3 pixels at each corner.
    assert size == pytest.approx([2 * np.sqrt((30 * 30 - 12) / np.pi)])
    full = shapes_of(np.full((1, 32, 32), 255, np.uint8))["diameter in pixels"]
    assert full == pytest.approx([2 * 32 / np.sqrt(np.pi)], rel=0.02)

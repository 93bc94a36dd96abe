"""Outlines lie on the particles' edges, in their group's colour; the scale bar has its length."""

import numpy as np
import pytest

from pipeline.particles.pixel_outlines import outline_polygons, walk_edges
from pipeline.results.overlays import (
    KEPT_COLOUR,
    WHITE,
    draw_overlay,
    scale_bar_length,
    scale_bar_text,
)

RED, BLUE = (255, 0, 0), (0, 0, 255)


def square(y, x, size=20, shape=(100, 140)):
    labels = np.zeros(shape, int)
    labels[y : y + size, x : x + size] = 1
    return outline_polygons(walk_edges(labels))


def test_outlines_follow_the_edge_in_the_groups_colour():
    picture = draw_overlay(
        np.zeros((100, 140)), [(square(10, 10), RED), (square(50, 90), BLUE)], None
    )
    assert picture.shape == (200, 280, 3)
    assert picture.dtype == np.uint8
    for colour, (y, x) in ((RED, (10, 10)), (BLUE, (50, 90))):
        rows, columns = np.nonzero((picture == colour).all(axis=-1))
        assert (rows.min(), columns.min()) == pytest.approx((2 * y, 2 * x), abs=1.5)
        assert (rows.max(), columns.max()) == pytest.approx((2 * y + 40, 2 * x + 40), abs=1.5)
        assert (picture[2 * y + 10 : 2 * y + 30, 2 * x + 10 : 2 * x + 30] == 0).all()


def test_later_groups_lie_on_top():
    groups = [(square(10, 10), RED), (square(10, 10), BLUE)]
    picture = draw_overlay(np.zeros((100, 140)), groups, None)
    assert not (picture == RED).all(axis=-1).any()


def test_large_images_keep_their_size():
    assert draw_overlay(np.zeros((40, 1700)), [], None).shape == (40, 1700, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_kind_of_micrograph_is_stretched_to_see_it(dtype):
    micrograph = np.tile(np.linspace(1, 200, 140), (100, 1)).astype(dtype)
    picture = draw_overlay(micrograph, [], None)
    assert picture.min() < 5 and picture.max() > 250
    assert (picture[..., 0] == picture[..., 2]).all()


@pytest.mark.parametrize(
    ("width", "expected"), [(100, 20), (99, 10), (7520, 1000), (2600, 500), (0.3, 0.05)]
)
def test_scale_bars_have_round_lengths_up_to_a_fifth_of_the_width(width, expected):
    assert scale_bar_length(width) == pytest.approx(expected)


@pytest.mark.parametrize("power", range(-3, 8))
def test_pixel_sizes_that_are_rounded_do_not_change_the_scale_bar(power):
    width = 5 * 10.0**power
    for about in (width, np.nextafter(width, 0), np.nextafter(width, np.inf), width * (1 - 1e-12)):
        assert scale_bar_length(about) == pytest.approx(10.0**power)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0.05, "0.05 nm"),
        (200, "200 nm"),
        (1000, "1 um"),
        (500_000, "500 um"),
        (1e6, "1 mm"),
        (5e7, "50 mm"),
    ],
)
def test_scale_bars_say_their_length_in_plain_numbers(length, text):
    assert scale_bar_text(length) == text


def test_the_scale_bar_is_as_long_as_it_says():
    # 140 pixels of 10 nm: a fifth is 280 nm, the bar 200 nm, 20 pixels, drawn twice as large.
    picture = draw_overlay(np.zeros((100, 140)), [], 10.0)
    longest = max(
        len(run)
        for row in (picture == WHITE).all(axis=-1)
        for run in "".join("#" if one else " " for one in row).split()
    )
    assert longest == 40


@pytest.mark.parametrize(("shape", "thick"), [((100, 140), 2), ((20, 1700), 2), ((20, 4000), 4)])
def test_outlines_of_large_images_are_seen_where_they_are_shown_whole(shape, thick):
    labels = np.zeros(shape, np.int32)
    labels[:, : shape[1] // 2] = 1
    picture = draw_overlay(
        np.zeros(shape), [(outline_polygons(walk_edges(labels)), KEPT_COLOUR)], None
    )
    row = picture[picture.shape[0] // 2]
    edge = row[row.shape[0] // 2 - 20 : row.shape[0] // 2 + 20]
    assert np.count_nonzero(edge.sum(axis=-1) > sum(KEPT_COLOUR) / 2) in (
        thick + 1,
        thick + 2,  # smoothed on both sides
    )


@pytest.mark.parametrize("shape", [(1200, 100), (300, 2000), (64, 64), (128, 128), (712, 1024)])
def test_the_scale_bars_text_stays_in_the_image(shape):
    picture = draw_overlay(np.full(shape, 7), [], 10.0)  # black, as it is constant
    white = np.argwhere((picture == WHITE).all(axis=-1))
    assert len(white)
    low, high = white.min(axis=0), white.max(axis=0)
    assert (low > 0).all() and (high < np.array(picture.shape[:2]) - 1).all()


def test_a_constant_micrograph_can_be_drawn():
    assert (draw_overlay(np.full((30, 30), 7), [], None) == 0).all()

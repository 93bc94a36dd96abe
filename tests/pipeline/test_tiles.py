"""Tiles: offsets by hand, split then stitch is the identity, overlaps managed as said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tiles import iterate_tiles, split_into_tiles, stitch_tiles, tile_offsets


@pytest.mark.parametrize(
    ("size", "tile", "min_overlap", "offsets"),
    [
        (10, 10, 0, [0]),
        (10, 10, 2, [0]),  # a single tile has no neighbour to overlap with
        (20, 10, 0, [0, 5, 10]),  # an exact fit overlaps by 0 <= 0: one more
        (15, 10, 0, [0, 5]),
        (18, 10, 2, [0, 4, 8]),  # 2 pixels of overlap are not more than 2
        (17, 10, 2, [0, 7]),
        (25, 10, 0, [0, 8, 15]),  # step 7.5, rounded up
        (1024, 384, 2, [0, 320, 640]),
        (712, 384, 2, [0, 328]),
        (712, 192, 0, [0, 174, 347, 520]),  # step 173 1/3
        (768, 384, 0, [0, 192, 384]),
        (1149, 384, 2, [0, 383, 765]),  # overlaps of 1 and 2 are 3 in all, more than 2
    ],
)
def test_offsets_by_hand(size, tile, min_overlap, offsets):
    assert tile_offsets(size, tile, min_overlap) == offsets


axes = st.tuples(st.integers(1, 40), st.integers(0, 60)).map(lambda pair: (pair[0], sum(pair)))
UNSIGNED = ["bool", "uint8", "uint16", "uint32", "uint64"]
SIGNED = ["int8", "int16", "int32", "int64", "float16", "float32", "float64"]
dtypes = st.sampled_from(UNSIGNED + SIGNED)
# From lowest to highest as far as a mean of float64 is exact.
RANGES = {"bool": (0, 2), "uint64": (0, 2**53), "int64": (-(2**53), 2**53)}


def random_image(seed, shape, dtype):
    """Return an image of values all over the range of its dtype (of floats: -30,000 to 30,000)."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "f":
        return rng.uniform(-3e4, 3e4, shape).astype(dtype)
    low, high = RANGES.get(dtype.name) or (np.iinfo(dtype).min, int(np.iinfo(dtype).max) + 1)
    return rng.integers(low, high, shape, np.int64).astype(dtype)


@given(axes, axes, st.integers(0, 5), st.integers(1, 3), dtypes, st.sampled_from([0, 1, 2]))
def test_split_then_stitch_is_the_identity(vertical, horizontal, overlap, channels, dtype, mode):
    (tile_height, height), (tile_width, width) = vertical, horizontal
    image = random_image(height * 100 + width, (height, width, channels), np.dtype(dtype))
    tiles = split_into_tiles(image, tile_height, tile_width, overlap)
    assert tiles.shape[1:] == (tile_height, tile_width, channels)
    stitched = stitch_tiles(tiles, height, width, overlap, mode)
    assert stitched.dtype == image.dtype
    np.testing.assert_array_equal(stitched, image)


def test_order_is_columns_outer_rows_inner():
    image = np.arange(4 * 6).reshape(4, 6)
    tiles = split_into_tiles(image, 3, 4, 0)
    assert tiles[:, 0, 0, 0].tolist() == [0, 6, 2, 8]


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        (0, [1, 1, 1, 1, 4, 4, 4, 4, 4, 4]),
        (1, [1, 1, 1, 1, 2.5, 2.5, 4, 4, 4, 4]),
        (2, [1, 1, 1, 1, 1, 4, 4, 4, 4, 4]),
    ],
)
def test_overlaps_are_managed_as_said(mode, row):
    # Two tiles of 6 pixels cover 10: columns 4 and 5 lie under both.
    tiles = np.stack([np.full((2, 6, 1), value, np.float32) for value in (1, 4)])
    stitched = stitch_tiles(tiles, 2, 10, 0, mode)
    np.testing.assert_array_equal(stitched[..., 0], [row, row])


@pytest.mark.parametrize(("value", "dtype"), [(-3, np.int16), (-np.inf, np.float32)])
def test_maximum_keeps_negative_values(value, dtype):
    image = np.full((7, 9, 1), value, dtype)
    np.testing.assert_array_equal(stitch_tiles(split_into_tiles(image, 4, 4, 1), 7, 9, 1, 0), image)


def test_an_average_of_half_floats_is_not_rounded():
    tiles = np.stack([np.full((2, 6, 1), value, np.float16) for value in (0.25, 0.5)])
    stitched = stitch_tiles(tiles, 2, 10, 0, 1)
    assert stitched.dtype == np.float16
    assert stitched[0, :, 0].tolist() == [0.25] * 4 + [0.375] * 2 + [0.5] * 4


def test_tiles_may_come_one_by_one():
    image = np.random.default_rng(0).random((50, 70, 1), np.float32)
    stitched = stitch_tiles(iterate_tiles(image, 32, 16, 2), 50, 70, 2, 2)
    np.testing.assert_array_equal(stitched, image)


def test_grey_images_need_no_channel_axis():
    assert split_into_tiles(np.zeros((8, 8), np.uint8), 4, 8, 0).shape == (3, 4, 8, 1)


def test_image_smaller_than_a_tile_names_the_sizes():
    with pytest.raises(ValueError, match=r"300 x 500 .* 384 x 384.* largest tile .* 300 x 500"):
        split_into_tiles(np.zeros((300, 500)), 384, 384, 0)
    with pytest.raises(ValueError, match="largest tile size that fits is 30"):
        tile_offsets(30, 31, 0)


def test_unknown_overlap_mode():
    with pytest.raises(ValueError, match=r"manage_overlap_mode 3: expected 0 \(maximum\)"):
        stitch_tiles(np.zeros((1, 4, 4, 1)), 4, 4, 0, 3)


@pytest.mark.parametrize("number", [3, 5])
def test_wrong_number_of_tiles(number):
    with pytest.raises(ValueError, match=r"6 x 6 pixels .* needs 4 tiles of 4 x 4"):
        stitch_tiles(np.zeros((number, 4, 4, 1)), 6, 6, 0, 2)


def test_no_tile():
    with pytest.raises(ValueError, match="no tile"):
        stitch_tiles(np.zeros((0, 4, 4, 1)), 6, 6, 0, 2)


def test_an_average_of_integers_is_rounded_to_the_nearest():
    tiles = np.stack([np.full((2, 6, 1), value, np.uint8) for value in (1, 2)])
    assert stitch_tiles(tiles, 2, 10, 0, 1)[0, :, 0].tolist() == [1] * 4 + [2] * 6

"""Split images into overlapping tiles of one size and stitch them together again."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

MAXIMUM, AVERAGE, CROP = 0, 1, 2


def tile_offsets(size: int, tile: int, min_overlap: int) -> list[int]:
    """Return where the tiles begin along an axis; the first at 0, the last ending at ``size``.

    There are as few tiles as cover the axis, but one more where their overlaps would add up to no
    more than ``min_overlap``: it bounds the sum over all seams, not each of them.

    Parameters: the lengths of axis and tile, and ``min_overlap``, in pixels.

    Raises
    ------
    ValueError
        If the axis is shorter than a tile.
    """
    if not 1 <= tile <= size:
        raise ValueError(
            f"A tile of {tile} pixels does not fit into {size}; "
            f"the largest tile size that fits is {size}."
        )
    number = -(-size // tile)
    if number > 1 and -size % tile <= min_overlap:
        number += 1
    if number == 1:
        return [0]
    # Integers, because the quotient's ceiling must not depend on rounding.
    return [-(-i * (size - tile) // (number - 1)) for i in range(number)]


def tile_positions(
    height: int, width: int, tile_height: int, tile_width: int, min_overlap: int
) -> list[tuple[int, int]]:
    """Return the (row, column) of each tile's upper left pixel: columns outer, rows inner.

    Raises
    ------
    ValueError
        If the image is smaller than a tile; names both sizes.
    """
    if not (1 <= tile_height <= height and 1 <= tile_width <= width):
        raise ValueError(
            f"The image has {height} x {width} pixels (height x width), a tile "
            f"{tile_height} x {tile_width}. The largest tile that fits is {height} x {width}: "
            "lower TILE_SIZE_H and TILE_SIZE_W."
        )
    rows = tile_offsets(height, tile_height, min_overlap)
    columns = tile_offsets(width, tile_width, min_overlap)
    return [(row, column) for column in columns for row in rows]


def number_of_tiles(size: tuple[int, int], tile: tuple[int, int], min_overlap: int = 0) -> int:
    """Return how many tiles cover an image, both (height, width); 0 where none fits."""
    if size[0] < tile[0] or size[1] < tile[1]:
        return 0
    return len(tile_positions(*size, *tile, min_overlap))


def iterate_tiles(
    image: np.ndarray, tile_height: int, tile_width: int, min_overlap: int
) -> Iterator[np.ndarray]:
    """Yield the tiles of `split_into_tiles` one by one, as views: nothing is copied."""
    image = image[..., np.newaxis] if image.ndim == 2 else image
    height, width = image.shape[:2]
    for row, column in tile_positions(height, width, tile_height, tile_width, min_overlap):
        yield image[row : row + tile_height, column : column + tile_width]


def split_into_tiles(
    image: np.ndarray, tile_height: int, tile_width: int, min_overlap: int
) -> np.ndarray:
    """Cut an image into tiles that cover it, columns outer, rows inner.

    Parameters
    ----------
    image : (height, width) or (height, width, channels), any dtype.
    min_overlap : in pixels, see `tile_offsets`; the tiles are spread evenly.

    Returns
    -------
    (tiles, tile_height, tile_width, channels), the image's dtype.

    Raises
    ------
    ValueError
        If the image is smaller than a tile; names both sizes.
    """
    return np.stack(list(iterate_tiles(image, tile_height, tile_width, min_overlap)))


def stitch_tiles(
    tiles: Iterable[np.ndarray],
    image_height: int,
    image_width: int,
    min_overlap: int,
    manage_overlap_mode: int,
) -> np.ndarray:
    """Put the tiles of `split_into_tiles` together again.

    Parameters
    ----------
    tiles : (tiles, tile_height, tile_width, channels), or an iterator that makes them one by one,
        so that only one is in memory.
    min_overlap : the one the image was split with.
    manage_overlap_mode : where tiles overlap, 0 takes their maximum, 1 their average, 2 crops
        the overlap evenly from both sides.

    Returns
    -------
    (image_height, image_width, channels), the tiles' dtype.

    Raises
    ------
    ValueError
        If the mode is unknown, or the number of tiles is not that of such an image.
    """
    if manage_overlap_mode not in (MAXIMUM, AVERAGE, CROP):
        raise ValueError(
            f"manage_overlap_mode {manage_overlap_mode!r}: expected 0 (maximum), 1 (average) or "
            f"2 (crop)."
        )
    tiles = iter(tiles)
    first = next(tiles, None)
    if first is None:
        raise ValueError("There is no tile to stitch.")
    tile_size = first.shape[:2]
    positions = tile_positions(image_height, image_width, *tile_size, min_overlap)
    places = _placed(positions, chain([first], tiles), (image_height, image_width))
    image_shape = (image_height, image_width, *first.shape[2:])
    if manage_overlap_mode == AVERAGE:
        return _average(places, image_shape, first.dtype)
    stitched = np.empty(image_shape, first.dtype)
    if manage_overlap_mode == CROP:
        margins = tuple(
            _crop_margin(size, tile, min_overlap)
            for size, tile in zip(image_shape[:2], tile_size, strict=True)
        )
        for position, tile in places:
            image_part, tile_part = _without_overlap(position, tile_size, image_shape, margins)
            stitched[image_part] = tile[tile_part]
        return stitched
    stitched[:] = _lowest(first.dtype)
    for (row, column), tile in places:
        part = stitched[row : row + tile_size[0], column : column + tile_size[1]]
        np.maximum(part, tile, out=part)
    return stitched


def _placed(positions, tiles: Iterator[np.ndarray], image_size: tuple[int, int]) -> Iterator[tuple]:
    """Yield ((row, column), tile), and complain about a wrong number of tiles."""
    done = -1
    for done, tile in enumerate(tiles):
        if done < len(positions):
            yield positions[done], tile
    if done + 1 != len(positions):
        height, width = image_size
        raise ValueError(
            f"An image of {height} x {width} pixels (height x width) needs {len(positions)} tiles "
            f"of {tile.shape[0]} x {tile.shape[1]}, not {done + 1}."
        )


def _crop_margin(size: int, tile: int, min_overlap: int) -> int:
    number = len(tile_offsets(size, tile, min_overlap))
    return 0 if number == 1 else (tile * number - size) // (2 * (number - 1))


def _without_overlap(position, tile_size, image_shape, margins) -> tuple[tuple, tuple]:
    """Return the slices of image and tile left when each side with a neighbour is cropped."""
    image_part, tile_part = [], []
    for offset, tile, size, margin in zip(
        position, tile_size, image_shape[:2], margins, strict=True
    ):
        begin = margin if offset > 0 else 0
        end = tile - margin if offset + tile < size else tile
        image_part.append(slice(offset + begin, offset + end))
        tile_part.append(slice(begin, end))
    return tuple(image_part), tuple(tile_part)


def _lowest(dtype: np.dtype) -> float:
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _average(places, image_shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return the running mean of the tiles: exact where they agree, but for integers beyond 2^53.

    Means are rounded to the nearest value of the dtype; half of a bool is False.
    """
    exact = np.result_type(dtype, np.float32)
    mean = np.zeros(image_shape, exact)
    count = np.zeros(image_shape[:2] + (1,) * (len(image_shape) - 2), np.uint8)
    for (row, column), tile in places:
        part = np.s_[row : row + tile.shape[0], column : column + tile.shape[1]]
        count[part] += 1
        mean[part] += (tile - mean[part]) / count[part]
    return (mean if dtype.kind == "f" else np.rint(mean)).astype(dtype, copy=False)

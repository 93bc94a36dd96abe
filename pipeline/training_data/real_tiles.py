"""Tiles of the micrographs for the CycleGAN: those of a grid, and random crops, with particles.

Micrographs are (h, w), of any type of number, their spikes clipped; ``tile_size`` is (height,
width) in pixels; ``dark_background`` is False where particles are darker than the background.
"""

import logging
from pathlib import Path

import numpy as np

from pipeline.files.csv_tables import column_of_numbers, read_table, write_table
from pipeline.image_files import read_micrograph, write_image
from pipeline.intensities import stretch_to_uint8
from pipeline.micrographs.resampling import as_cyclegan_sees
from pipeline.progress import progress
from pipeline.tiles import tile_positions

logger = logging.getLogger(__name__)

# A tile is mainly background unless its mean is so many times that of its micrograph.
LEAST_ON_DARK_BACKGROUND = 1.1
MOST_ON_BRIGHT_BACKGROUND = 0.9
# Where the darkest grey is more than so many times the range of all, it is taken for black: at
# twice the range, the rule would ask for another fifth of the tile to be covered.
LARGE_OFFSET = 2
PIXELS_LOOKED_AT = 2**20  # for that
# A tile of a micrograph that is covered evenly is covered at least so many times as much as that.
EVENLY = 0.9
LEAST_COVERED = 0.01  # of a tile, by particles: less may be a speck
TRIES_PER_TILE = 50  # random crops looked at, for each tile wanted

# A random crop: which micrograph, its upper left pixel, its flips, how far above mere background,
# which share of it is covered.
CROP = np.dtype(
    [
        ("image", np.int32),
        ("row", np.int32),
        ("column", np.int32),
        ("flip_up_down", bool),
        ("flip_left_right", bool),
        ("contrast", np.float64),
        ("covered", np.float64),
    ]
)
PLACE = ["image", "row", "column", "flip_up_down", "flip_left_right"]


def numbers_of_stream(seed: int, stream: int) -> np.random.Generator:
    """Return random numbers that follow from the key alone, not from what was drawn before."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, stream))))


def _part(image: np.ndarray, row: int, column: int, tile_size: tuple[int, int]) -> np.ndarray:
    return image[row : row + tile_size[0], column : column + tile_size[1]]


def _contrast(
    image: np.ndarray,
    covered: np.ndarray,
    dark_background: bool,
    rows: np.ndarray,
    columns: np.ndarray,
    tile_size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much tiles differ from mere background, and how much of each is covered.

    From 0 on they show particles. Where ``covered`` (see `foreground_by_parts`) holds any, a
    tile of a brighter part of the background does not.
    """
    shares = _mean_of_parts(covered, rows, columns, tile_size)
    contrast = _brightness(_mean_of_parts(image, rows, columns, tile_size), image, dark_background)
    if covered.any():
        contrast = np.minimum(contrast, shares - LEAST_COVERED)
    return contrast, shares


def _brightness(tile_means: np.ndarray, image: np.ndarray, dark_background: bool) -> np.ndarray:
    """Return how far tiles are beyond the published limits, from 0 on, by their means."""
    zero = _black_level(image)
    image_mean = image.mean(dtype=np.float64) - zero
    ratio = (tile_means - zero) / image_mean if image_mean > 0 else np.ones_like(tile_means)
    if dark_background:
        return ratio - LEAST_ON_DARK_BACKGROUND
    return MOST_ON_BRIGHT_BACKGROUND - ratio


def _black_level(image: np.ndarray) -> float:
    """Return the value from which on means are compared: 0 as published, but for two cases.

    A ratio needs positive values, so it is the minimum where that is negative. And on top of a
    detector's large offset no tile's mean would be a tenth above or below that of the image,
    whatever it shows: it is percentile 0.5 where that is more than `LARGE_OFFSET` times the range
    up to percentile 99.5.
    """
    rows = image[:: 1 + image.size // PIXELS_LOOKED_AT]
    low, high = np.percentile(rows, (0.5, 99.5))
    has_offset = low > LARGE_OFFSET * (high - low) > 0
    return float(low) if has_offset else min(float(image.min()), 0.0)


def _mean_of_parts(image: np.ndarray, rows, columns, tile_size) -> np.ndarray:
    return np.array(
        [
            _part(image, row, column, tile_size).mean(dtype=np.float64)
            for row, column in zip(rows, columns, strict=True)
        ]
    )


def write_grid_tiles(
    image: np.ndarray,
    covered: np.ndarray,
    tile_size: tuple[int, int],
    min_overlap: int,
    dark_background: bool,
    folder: Path,
    stem: str,
) -> dict[str, float]:
    """Write the tiles of a grid over a micrograph that show particles; return their names, and
    which share of each is covered.

    ``covered``: where it does, see `foreground_by_parts`. Each is stretched to 0..255, uint8.
    Those that are there stay as they are.
    """
    rows, columns = np.transpose(tile_positions(*image.shape, *tile_size, min_overlap))
    contrast, shares = _contrast(image, covered, dark_background, rows, columns, tile_size)
    shares_of_names = {}
    for number in np.flatnonzero(contrast >= 0):
        name = f"{stem}-{number}.tif"
        shares_of_names[name] = float(shares[number])
        if not (folder / name).exists():
            tile = _part(image, rows[number], columns[number], tile_size)
            write_image(folder / name, stretch_to_uint8(tile))
    return shares_of_names


def try_crops(
    image: np.ndarray,
    covered: np.ndarray,
    index: int,
    tile_size: tuple[int, int],
    dark_background: bool,
    tries: int,
    seed: int,
) -> np.ndarray:
    """Return ``tries`` random crops of image number ``index`` (dtype `CROP`).

    ``covered``: where it shows particles, see `foreground_by_parts`.
    Particles that cover all of a micrograph alike make no crop brighter than the others. So where
    fewer crops show particles than are wanted of the image, those count, too, that are covered
    nearly as much as the whole.
    """
    rng = numbers_of_stream(seed, index)
    crops = np.zeros(tries, CROP)
    crops["image"] = index
    crops["row"] = rng.integers(image.shape[0] - tile_size[0] + 1, size=tries)
    crops["column"] = rng.integers(image.shape[1] - tile_size[1] + 1, size=tries)
    crops["flip_up_down"], crops["flip_left_right"] = rng.integers(2, size=(2, tries))
    place = (crops["row"], crops["column"], tile_size)
    crops["contrast"], shares = _contrast(image, covered, dark_background, *place)
    crops["covered"] = shares
    if np.count_nonzero(crops["contrast"] >= 0) * TRIES_PER_TILE < tries:
        enough = max(EVENLY * covered.mean(), LEAST_COVERED)
        shows = (crops["contrast"] >= 0) | (shares >= enough)
        # Of the others those come nearest that are covered most, if that is known.
        missing = np.minimum(shares - enough, 0) if covered.any() else crops["contrast"]
        crops["contrast"] = np.where(shows, np.maximum(crops["contrast"], 0), missing)
    return crops


def choose_crops(crops: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``number`` of the crops (dtype `CROP`) at random, first of those that show particles.

    None of these is taken again while others of them are left. Where they are too few a warning
    says so.
    """
    crops = rng.permutation(crops)
    # All that show particles are equally good; the others follow, the best of them first.
    order = np.lexsort((_repeats(crops), -np.minimum(crops["contrast"], 0)))
    chosen = crops[order[:number]]
    background = np.count_nonzero(chosen["contrast"] < 0)
    if background:
        logger.warning(
            "only %d of %d random crops show enough particles: the %d of the others that come "
            "nearest are taken, too. Check DARK_BACKGROUND and the tile size.",
            np.count_nonzero(crops["contrast"] >= 0),
            len(crops),
            background,
        )
    return chosen


def _repeats(crops: np.ndarray) -> np.ndarray:
    """Return how many crops before each are the same, int (n,)."""
    kind = np.unique(crops[PLACE], return_inverse=True)[1]
    by_kind = np.argsort(kind, kind="stable")
    number = np.arange(len(crops))
    repeats = np.empty_like(number)
    repeats[by_kind] = number - np.searchsorted(kind[by_kind], kind[by_kind])
    return repeats


def write_crops(
    chosen: np.ndarray,
    paths: list[Path],
    image_crop: str | int | None,
    micrograph_scale: float,
    tile_size: tuple[int, int],
    folder: Path,
) -> dict[str, float]:
    """Write the chosen crops, micrograph by micrograph, so that each is read once.

    Return their names, and which share of each is covered.
    """
    names = [f"{paths[crop['image']].stem}-aug_{i}.tif" for i, crop in enumerate(chosen)]
    missing = [i for i, name in enumerate(names) if not (folder / name).exists()]
    image, image_index = None, None
    for i in progress(sorted(missing, key=lambda i: chosen["image"][i]), "random crops written"):
        crop = chosen[i]
        if crop["image"] != image_index:
            image_index = crop["image"]
            image = read_micrograph(paths[image_index], image_crop)
            image = as_cyclegan_sees(image, micrograph_scale)
        tile = _part(image, crop["row"], crop["column"], tile_size)
        tile = tile[::-1] if crop["flip_up_down"] else tile
        tile = tile[:, ::-1] if crop["flip_left_right"] else tile
        write_image(folder / names[i], stretch_to_uint8(tile))
    return dict(zip(names, chosen["covered"].tolist(), strict=True))


def write_shares(path: Path, shares: dict[str, float]) -> None:
    """Write which share of each tile is covered, by their names, as a CSV file."""
    write_table(path, ("tile", "covered"), shares.items())


def read_shares(path: Path) -> dict[str, float]:
    """Return what `write_shares` wrote; nothing where there is no file."""
    rows = read_table(path)
    shares = column_of_numbers(rows, "covered").tolist()
    return {row.get("tile"): share for row, share in zip(rows, shares, strict=True)}

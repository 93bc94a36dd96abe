"""Step 0: cut the micrographs into tiles that show particles (trainA, testA)."""

import logging
import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.records import fingerprint
from pipeline.files.whole_files import copy_whole
from pipeline.image_files import by_stem, image_size, list_micrographs, read_micrograph
from pipeline.intensities import clip_spikes
from pipeline.micrographs.foreground import foreground_by_parts
from pipeline.micrographs.micrograph_scale import words_of
from pipeline.micrographs.resampling import at_scale, scaled_size
from pipeline.progress import progress
from pipeline.running.cyclegan_folders import COVERED_SHARES, SINGLES, TEST_TILES, TILES
from pipeline.running.output_folders import open_output_folder
from pipeline.running.worker_processes import run_over_micrographs
from pipeline.training_data.real_tiles import (
    TRIES_PER_TILE,
    choose_crops,
    numbers_of_stream,
    try_crops,
    write_crops,
    write_grid_tiles,
    write_shares,
)
from pipeline.training_data.single_particles import Singles, find_singles_in_parts, write_singles
from pipeline.wording import counted, first_names

logger = logging.getLogger(__name__)

NUMBER_OF_TEST_TILES = 5
MANY_TILES = 2  # times the number wanted, from which on it is said what they cost
# Shares of a micrograph that particles cover: where bright and dark are confused, the background
# encloses nearly all of it, and what is taken for background does not. (Particles that leave hardly
# any background cover as much either way, where the gaps between them enclose them.)
NEARLY_ALL, HALF = 0.8, 0.5
# Share of a tile from which on it shows nothing but particles, or a bar of the grid; and of all
# tiles, from which on it matters if these are of less than half of the micrographs.
ALTOGETHER, MATTERS = 0.98, 0.05


@refuses_wrong_options
def prepare_images(
    *,
    images_dir: Path,
    cyclegan_dir: Path,
    tile_height: int,
    tile_width: int,
    num_tiles: int,
    min_overlap: int,
    dark_background: bool,
    image_crop: str | int | None,
    micrograph_scale: float,
    seed: int,
) -> None:
    """Write tiles of the micrographs into ``data/trainA``, and copies of a few into ``data/testA``.

    Tiles that are mainly background are left out; random crops fill up to ``num_tiles``. Each is
    stretched to 0..255, uint8; spikes of the micrograph are clipped before (`clip_spikes`).
    ``data/single_particles.csv`` gets the particles that stand alone in the micrographs
    (`find_singles_in_parts`), and ``data/covered_shares.csv`` how much of each tile particles
    cover, both for step 2. Few micrographs are in memory at a time (`run_over_micrographs`).

    Parameters
    ----------
    images_dir, cyclegan_dir : the micrographs; the CycleGAN's folder.
    tile_height, tile_width, min_overlap : of the tiles, in pixels; see `tile_offsets`.
    num_tiles : how many there are to be at least.
    dark_background : False where particles are darker than the background.
    image_crop : rows to keep, "auto" or None; see `crop_info_bar`.
    micrograph_scale : the factor by which the micrographs are resized first; `at_scale`.
    seed : decides the random crops.

    Raises
    ------
    FileNotFoundError, ValueError
        If there are no micrographs, or one cannot be read or is smaller than a tile.
    """
    paths = list_micrographs(images_dir)
    by_stem(paths)  # the tiles are named after the stems
    tile_size = (tile_height, tile_width)
    made_with = {
        "tile_size": tile_size,
        "num_tiles": num_tiles,
        "min_overlap": min_overlap,
        "dark_background": dark_background,
        "image_crop": image_crop,
        "micrograph_scale": micrograph_scale,
        "seed": seed,
        "images": fingerprint(paths),
    }
    train_dir, test_dir = (
        open_output_folder(Path(cyclegan_dir) / name, made_with) for name in (TILES, TEST_TILES)
    )

    singles_file, shares_file = (Path(cyclegan_dir) / name for name in (SINGLES, COVERED_SHARES))
    for file in singles_file, shares_file:  # of other tiles, if this step is stopped
        file.unlink(missing_ok=True)
    cut = partial(
        _cut,
        paths=paths,
        tile_size=tile_size,
        min_overlap=min_overlap,
        dark_background=dark_background,
        image_crop=image_crop,
        micrograph_scale=micrograph_scale,
        tries=math.ceil(TRIES_PER_TILE * num_tiles / len(paths)),
        seed=seed,
        folder=train_dir,
    )
    sizes = (scaled_size(image_size(path), max(micrograph_scale, 1)) for path in paths)
    micrographs = run_over_micrographs(cut, range(len(paths)), sizes)
    micrographs = list(progress(micrographs, "micrographs cut into tiles", len(paths)))
    shares = {name: share for one in micrographs for name, share in one.shares.items()}
    write_singles(
        singles_file,
        {path.name: one.singles for path, one in zip(paths, micrographs, strict=True)},
    )
    with_spikes, confused = (
        [path.name for path, one in zip(paths, micrographs, strict=True) if getattr(one, what)]
        for what in ("has_spikes", "is_confused")
    )
    if with_spikes:
        logger.info(
            "single pixels far outside the range of all others, as of X-rays, were clipped in %s "
            "(such as %s)",
            counted(len(with_spikes), "micrograph"),
            with_spikes[0],
        )
    if confused:
        logger.warning(
            "in %d of %d micrographs (%s) nearly everything counts as particle with "
            "DARK_BACKGROUND = %s, and less than half of it would with %s: are particles %s than "
            "the background? Then set it to that (for these micrographs, in a folder of their own, "
            "if they are not all). If particles do cover nearly everything, as in a dense layer, "
            "leave it",
            *(len(confused), len(paths), first_names(confused), dark_background),
            *(not dark_background, "darker" if dark_background else "brighter"),
        )
    full = {
        path.name: sum(share >= ALTOGETHER for share in one.shares.values())
        for path, one in zip(paths, micrographs, strict=True)
    }
    _warn_of_full_tiles(full, len(shares))
    shown = counted(len(shares), "tile shows", "tiles show")
    logger.info("%s more of particles than the whole micrograph; wanted: %d", shown, num_tiles)
    if len(shares) > MANY_TILES * num_tiles:
        logger.warning(
            "that is %.1f times NUM_SIMULATED_MASKS, which is the least number: step 2 makes as "
            "many masks, and steps 2 to 6a take that much longer. To save time, train on a "
            "selection of the micrographs (and segment all after: python StartProcess.py 6b 7), "
            "or on larger tiles.",
            len(shares) / max(num_tiles, 1),
        )
    number, rng = max(num_tiles - len(shares), 0), numbers_of_stream(seed, len(paths))
    chosen = choose_crops(np.concatenate([one.crops for one in micrographs]), number, rng)
    shares |= write_crops(chosen, paths, image_crop, micrograph_scale, tile_size, train_dir)
    write_shares(shares_file, shares)
    names = list(shares)
    for name in numbers_of_stream(seed, len(paths) + 1).permutation(names)[:NUMBER_OF_TEST_TILES]:
        copy_whole(train_dir / name, test_dir / name)


def _warn_of_full_tiles(full: dict[str, int], tiles: int) -> None:
    """Warn where a few micrographs give many of the ``tiles`` that are covered altogether.

    ``full``: how many these are of each micrograph, by its name.
    """
    names = [name for name, number in full.items() if number]
    if sum(full.values()) > MATTERS * tiles and 2 * len(names) < len(full):
        logger.warning(
            "%d of %d tiles are covered altogether, all of them in %d of %d micrographs (%s). If "
            "that is a bar of the grid, dirt or a charged patch, the networks learn it as "
            "particles: crop or remove these micrographs, and run again",
            *(sum(full.values()), tiles, len(names), len(full), first_names(names)),
        )


class _Cut(NamedTuple):
    """What step 0 takes from a micrograph besides its tiles.

    Shares of its tiles that are covered, by name; random crops; single particles; whether spikes
    were clipped, and whether bright and dark seem to be confused.
    """

    shares: dict[str, float]
    crops: np.ndarray
    singles: Singles
    has_spikes: bool
    is_confused: bool


def _cut(
    index: int,
    *,
    paths: list[Path],
    tile_size: tuple[int, int],
    min_overlap: int,
    dark_background: bool,
    image_crop: str | int | None,
    micrograph_scale: float,
    tries: int,
    seed: int,
    folder: Path,
) -> _Cut:
    """Write the tiles of one of the micrographs, and return what else it shows."""
    path = paths[index]
    as_read = read_micrograph(path, image_crop)
    image = clip_spikes(as_read)
    has_spikes = image is not as_read
    image = at_scale(image, micrograph_scale)
    _check_tile_fits(image, tile_size, path, paths, image_crop, micrograph_scale)
    covered = foreground_by_parts(image, dark_background, *tile_size)
    grid = (tile_size, min_overlap, dark_background)
    return _Cut(
        write_grid_tiles(image, covered, *grid, folder, path.stem),
        try_crops(image, covered, index, tile_size, dark_background, tries, seed),
        find_singles_in_parts(covered),
        has_spikes,
        _seems_confused(covered, image, dark_background, tile_size),
    )


def _seems_confused(covered, image, dark_background, tile_size) -> bool:
    """Return whether particles seem to be darker where they are said to be brighter, or brighter.

    ``covered`` is where the micrograph shows particles as it is said, bool (h, w).
    """
    if covered.mean() < NEARLY_ALL:
        return False
    return foreground_by_parts(image, not dark_background, *tile_size).mean() < HALF


def _check_tile_fits(image, tile_size, path, paths, image_crop, scale) -> None:
    (height, width), (tile_height, tile_width) = image.shape, tile_size
    if height >= tile_height and width >= tile_width:
        return
    own_sizes = [read_micrograph(other, image_crop).shape for other in paths]
    rows, columns = np.min([scaled_size(size, scale) for size in own_sizes], axis=0)
    raise ValueError(
        f"{path} has {height} x {width} pixels (height x width, without the info "
        f"bar{words_of(scale)}), less "
        f"than a tile of {tile_height} x {tile_width}. The largest tile that fits all images is "
        f"{rows} x {columns}: lower TILE_SIZE_H and TILE_SIZE_W, or remove the small images."
    )

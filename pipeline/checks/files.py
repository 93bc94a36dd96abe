"""The input files: every image is read once, one at a time, before a run starts."""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.checks.options import SMALLEST_TILE
from pipeline.files.decoders import MAX_PIXELS, coloured_share
from pipeline.files.info_bar import describe_missed_bars, edges_with_margins, find_info_bar
from pipeline.image_files import (
    IMAGE_ENDINGS,
    image_size,
    list_images,
    read_micrograph,
    stem_of,
)
from pipeline.micrographs.micrograph_scale import words_of
from pipeline.micrographs.resampling import scaled_size
from pipeline.progress import progress
from pipeline.tiles import number_of_tiles
from pipeline.wording import as_text, counted, first_names

logger = logging.getLogger(__name__)

FEWEST_IMAGES, FEW_IMAGES = 1, 3
# Endings of files that stand beside images without being meant for images.
OTHERS_EXPECTED = (".db", ".ini", ".txt", ".md", ".json", ".xml", ".csv", ".hdr")
SMALL_IMAGES_SHOWN = 5
MANY_TILES = 20_000  # of which it is said before step 0 has counted them, which takes long then
MUCH_COLOUR = 0.05  # share of the pixels; a scale bar or writing has less
# File systems take names of 255 bytes; the steps add "-aug_00000", "_raw", ".part" and the like.
LONGEST_NAME_BYTES = 225

Size = tuple[int, int]


def check_images(
    option: str,
    folder: Path,
    image_crop: str | int | None,
    tile: Size | None,
    scale: float = 1.0,
    to_train: bool = True,
) -> tuple[list[str], dict[Path, Size]]:
    """Read every micrograph and return the problems and the sizes without the info bar.

    Parameters
    ----------
    option : name of the option that gives ``folder``, for the messages.
    image_crop : as in `read_micrograph`.
    tile : (height, width) in pixels that each image must hold; None if no tiles are cut.
    scale : MICROGRAPH_SCALE, by which the images are resized before.
    to_train : whether networks will be trained on them, for which a few are warned of.
    """
    paths, problems = list_and_check_names(option, folder, FEWEST_IMAGES, "micrographs")
    sizes, with_bars, bars_kept, margins, coloured, empty = {}, [], [], {}, [], 0
    for path in progress(paths, "micrographs checked"):
        try:
            image = read_micrograph(path, image_crop)
            whole = image_size(path)
        except (ValueError, OSError) as error:
            problems.append(in_one_line(error))
            continue
        sizes[path] = image.shape
        with_bars.append((path.name, whole, whole[0] - image.shape[0]))
        coloured += [path.name] if coloured_share(path) > MUCH_COLOUR else []
        is_number = isinstance(image_crop, int)
        if is_number and whole == image.shape and find_info_bar(image) < whole[0]:
            bars_kept.append(path.name)
        for edge in edges_with_margins(image) if image_crop is not None else []:
            margins.setdefault(edge, []).append(path.name)
        if image.min() == image.max():
            empty += 1
            logger.warning("%s is the same value everywhere: there is nothing to see in it.", path)
    if sizes and empty == len(sizes):
        problems.append(
            f"{option}: there is nothing to see in any of the {empty} micrographs in {folder}: "
            "each is the same value everywhere. Export them again, with their grey values."
        )
    if coloured:
        logger.warning(
            "%s of false colours or with coloured overlays (%s). Of a pixel the mean of red, green "
            "and blue counts, which may be the same for different ones: export greys instead.",
            counted(len(coloured), "micrograph is", "micrographs are"),
            first_names(coloured),
        )
    if sizes and image_crop is not None:
        cut = sum(rows > 0 for *_, rows in with_bars)
        logger.info("info bar left out of %d of %d micrographs (IMAGE_CROP)", cut, len(sizes))
        if bars_kept:
            logger.warning(
                "%s no more rows than IMAGE_CROP (%d), but what looks like an info bar, which is "
                'taken for a part of the image: %s. Lower IMAGE_CROP, or set it to "auto".',
                counted(len(bars_kept), "micrograph has", "micrographs have"),
                image_crop,
                first_names(bars_kept),
            )
        for words in describe_missed_bars(with_bars):
            logger.warning("%s", words)
        for edge, names in margins.items():
            logger.warning(
                "%s a bar or a margin of one value at the %s edge (%s). It counts as a part of the "
                "image, and may be taken for particles: crop the images, as IMAGE_CROP cuts off "
                "the lowest rows only.",
                counted(len(names), "micrograph has", "micrographs have"),
                edge,
                first_names(names),
            )
    if to_train and 0 < len(sizes) < FEW_IMAGES:
        logger.warning(
            "%s: %s few to train on; results get better from about %d on.",
            *(folder, counted(len(sizes), "micrograph is", "micrographs are"), FEW_IMAGES),
        )
    problems += _check_sizes(sizes, scale)
    return problems + (_check_tiles(sizes, tile, scale) if tile else []), sizes


def _check_sizes(sizes: dict[Path, Size], scale: float) -> list[str]:
    seen = {path: scaled_size(size, scale) for path, size in sizes.items()}
    return [
        f"{path} has {height} x {width} pixels{words_of(scale)}. Allowed are {MAX_PIXELS} in all: "
        "lower MICROGRAPH_SCALE, or cut the image into parts."
        for path, (height, width) in seen.items()
        if height * width > MAX_PIXELS
    ]


def _check_tiles(sizes: dict[Path, Size], tile: Size, scale: float) -> list[str]:
    sizes = {path: scaled_size(size, scale) for path, size in sizes.items()}
    at = words_of(scale)
    small = {path: size for path, size in sizes.items() if size[0] < tile[0] or size[1] < tile[1]}
    usable = [size for size in small.values() if min(size) >= SMALLEST_TILE]
    height, width = (min(side) for side in zip(tile, *usable, strict=True))
    shown = dict(list(small.items())[:SMALL_IMAGES_SHOWN])
    problems = [
        f"{path} has {size[0]} x {size[1]} pixels (height x width, without the info bar{at}), "
        f"less than a tile of {tile[0]} x {tile[1]}. "
        + (
            f"The largest tile that fits every image is {height} x {width}: set TILE_SIZE_H to at "
            f"most {height} and TILE_SIZE_W to at most {width}, or remove the image."
            if size in usable
            else f"No tile fits, the smallest is {SMALLEST_TILE} x {SMALLEST_TILE}: remove it."
        )
        for path, size in shown.items()
    ]
    if more := len(small) - len(shown):
        problems.append(f"... and {more} more images are smaller than a tile.")
    return problems


def warn_of_many_tiles(sizes: Iterable[Size], tile: Size, scale: float, wanted: int) -> None:
    """Log a warning where step 0 may cut `MANY_TILES` and more than ``wanted``, to train on all.

    ``sizes`` of the micrographs, ``tile`` as they are cut at ``scale``, (height, width) each.
    """
    number = sum(number_of_tiles(scaled_size(size, scale), tile) for size in sizes)
    if number >= max(MANY_TILES, wanted + 1):
        logger.warning(
            "the micrographs hold up to %s tiles of %d x %d, %.0f times NUM_SIMULATED_MASKS (%d), "
            "which is the least number: steps 2 to 6a take so much longer for each that shows "
            "particles. A few dozen micrographs are enough to train on: put them in a folder of "
            "their own, and segment all after (python StartProcess.py 6b 7)",
            *(f"{number:,}", *tile, number / wanted, wanted),
        )


def in_one_line(error: Exception) -> str:
    """Return the words of an error without line breaks; decoders put some in."""
    return " ".join(str(error).split())


def list_and_check_names(
    option: str,
    folder: Path,
    fewest: int,
    what: str,
    list_files: Callable[[Path], list[Path]] = list_images,
    names_results: bool = True,
) -> tuple[list[Path], list[str]]:
    """Return the images in a folder, and the problems that their number and names tell.

    ``option`` gives the folder, ``fewest`` are needed of ``what``; both for the messages.
    ``list_files`` tells which files of the folder are read, ``names_results`` whether results are
    named after them.
    """
    folder = Path(folder)
    try:
        paths = list_files(folder)
    except FileNotFoundError as error:
        where = f" (looked for as {os.path.abspath(folder)})" if not folder.is_absolute() else ""
        return [], [f"{option}: {error}{where}"]
    except OSError as error:
        return [], [
            f"{option}: the folder {folder} cannot be read ({error.strerror}). Allowed is a folder "
            "you may read: change its permission or the option."
        ]
    named = [path for path in paths if _is_text(path.name) or not names_results]
    problems = [
        f"{folder} holds a file named {path.name!a}, which is not UTF-8, so that no result can be "
        "named after it. Rename the file."
        for path in paths
        if path not in named
    ]
    problems += _check_links(folder)
    problems += _check_names(named) if names_results else []
    others = Counter(
        path.suffix.lower() or "no ending"
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
        if path.suffix.lower() not in (*IMAGE_ENDINGS, *OTHERS_EXPECTED)
    )
    found = [f"{count} with {ending}" for ending, count in sorted(others.items())]
    found += [
        f"{counted(count, 'image')} in the folder {name}"
        for name, count in _images_in_folders(folder)
    ]
    seen = as_text(", ".join(found))
    if found and len(paths) >= fewest:
        logger.warning("%s: other files there are not read: %s", folder, seen)
    if len(paths) < fewest:
        problems.append(
            f"{option}: {folder} holds too few {what}: {len(paths)}, of at least {fewest}. Add "
            f"files ending in {', '.join(IMAGE_ENDINGS)}"
            + (f"; other files there are not read: {seen}." if found else ".")
        )
    return named, problems


def _images_in_folders(folder: Path) -> list[tuple[str, int]]:
    """Return the folders in a folder that hold images, which are not read, and how many."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    with contextlib.suppress(OSError):
        counts = [(path.name, len(list_images(path))) for path in inner]
        return [(name, count) for name, count in counts if count]
    return []


def _check_links(folder: Path) -> list[str]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    return [
        f"{path} is a link to {os.readlink(path)}, which does not exist. Correct the link, or "
        "remove it."
        for path in images
        if path.is_symlink() and not path.exists() and not path.name.startswith(".")
    ]


def _is_text(name: str) -> bool:
    """Return whether a file's name can be written; Python keeps bytes that no text has."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_names(paths: Iterable[Path]) -> list[str]:
    by_stem: dict[str, list[Path]] = {}
    for path in paths:  # on Windows and macOS, upper and lower case are one
        by_stem.setdefault(stem_of(path).casefold(), []).append(path)
    problems = [
        f"{' and '.join(map(str, same))} have the same name but for the ending (or upper and lower "
        "case), so their results would overwrite each other. Rename all but one."
        for same in by_stem.values()
        if len(same) > 1
    ]
    for stem, same in by_stem.items():
        if f"{stem}_raw" in by_stem:
            problems.append(
                f"{by_stem[f'{stem}_raw'][0]} has the name of a result of {same[0]}: the "
                "probabilities of the one and the mask of the other would be "
                f"{same[0].stem}_raw.tif. Rename one."
            )
        length = len(os.fsencode(same[0].name))
        if length > LONGEST_NAME_BYTES:
            problems.append(
                f"{same[0]} has a name of {length} bytes; allowed are {LONGEST_NAME_BYTES}, since "
                "the steps make longer names from it. Rename the file."
            )
    return problems

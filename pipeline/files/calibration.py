"""Whether the images of a run have pixel sizes that go together, and which unit follows."""

import logging
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.files.pixel_size import (
    MAX_RELATIVE_DIFFERENCE,
    read_oblong_sides,
    read_pixel_size,
    read_stored_width,
    texts_beside,
)
from pipeline.image_files import image_size
from pipeline.wording import first_names

logger = logging.getLogger(__name__)

# The largest pixel size over the smallest, up to which particles look alike to the networks.
ONE_MAGNIFICATION = 1.2


def calibrate(
    paths: list[Path], pixel_size_nm: float | None
) -> tuple[list[tuple[float | None, str]], str, list[str]]:
    """Return each image's pixel size in nm (None without) and its source, the unit, and warnings.

    ``pixel_size_nm``: used for all images where given. The unit is "nm" where every image has a
    pixel size, else "px": sizes in different units cannot stand in one distribution.

    Raises
    ------
    ValueError
        As `mixed_scales` says.
    """
    if pixel_size_nm is not None:
        found = [(float(pixel_size_nm), "option pixel_size_nm")] * len(paths)
        warnings = _contradictions(paths, pixel_size_nm)
    else:
        found = [read_pixel_size(path) or (None, "none") for path in paths]
        warnings = _resized(path for path, (size, _) in zip(paths, found, strict=True) if size)
    warnings += _oblong(paths)
    by_name = {path.name: size for path, (size, _) in zip(paths, found, strict=True)}
    problems = mixed_scales(by_name)
    if problems:
        raise ValueError("\n".join(problems))
    sizes = [size for size in by_name.values() if size is not None]
    if sizes:
        sources = sorted({source for size, source in found if size is not None})
        logger.info("pixel size %s nm, from: %s", _range(sizes), ", ".join(sources))
    if differ(sizes):
        warnings.append(
            f"The images' pixel sizes differ ({_range(sizes)} nm). Each image is measured with "
            f"its own; small particles are missed where pixels are large."
        )
    without = [name for name, size in by_name.items() if size is None]
    if without:
        warnings.append(
            f"{len(without)} of {len(paths)} images carry no pixel size "
            f"({first_names(without)}), so all sizes are in pixels. If all have the same, set "
            "PIXEL_SIZE_NM to have nm."
        )
    return found, "px" if without else "nm", warnings


def read_pixel_sizes(paths: Iterable[Path]) -> dict[str, float | None]:
    """Return the pixel sizes of image files in nm, by their names, None where there is none."""
    found = {path.name: read_pixel_size(path, logging.DEBUG) for path in paths}
    return {name: one and one[0] for name, one in found.items()}


def check_pixel_sizes(paths: Iterable[Path]) -> list[str]:
    """Return the problem of `mixed_scales`, from the metadata of image files.

    Where all are known, and differ much, pixels are not square, or a text file beside an image is
    not understood, a warning is logged.
    """
    paths = list(paths)
    for warning in _oblong(paths):
        logger.warning("%s", warning)
    sizes = read_pixel_sizes(paths)
    problems = mixed_scales(sizes)
    known = [size for size in sizes.values() if size is not None]
    unread = [path for path in paths if sizes[path.name] is None and texts_beside(path)]
    unread = [path.name for path in unread if read_oblong_sides(path) is None]
    if unread and not problems:
        logger.warning(
            "No pixel size is found in the text files beside %s, so that sizes will be in pixels. "
            "PIXEL_SIZE_NM sets one for all; else put a <name>.txt beside each image that holds "
            "the two lines of Hitachi's: [SemImageFile], and PixelSize= with the size in nm.",
            first_names(unread),
        )
    if known and max(known) > ONE_MAGNIFICATION * min(known) and not problems:
        logger.warning(
            "The micrographs' pixel sizes differ (%s nm; the largest: %s). The networks see all in "
            "their own pixels, so that particles of one size in nm are not: take micrographs of "
            "one magnification, or run each magnification in a folder of its own.",
            _range(known),
            first_names([name for name, size in sizes.items() if size == max(known)]),
        )
    return problems


def typical_pixel_size(paths: Iterable[Path]) -> float | None:
    """Return the median pixel size of image files in nm, None where none has one."""
    sizes = [size for size in read_pixel_sizes(paths).values() if size is not None]
    return statistics.median(sizes) if sizes else None


def warn_of_other_magnification(trained_with: float | None, paths: Iterable[Path]) -> None:
    """Warn where micrographs are of another magnification than those a UNet was trained with.

    ``trained_with``: their pixel size in nm, None where it is not known.
    """
    now = typical_pixel_size(paths) if trained_with else None
    if now and not 1 / ONE_MAGNIFICATION <= now / trained_with <= ONE_MAGNIFICATION:
        logger.warning(
            "The pixel size is %.3g nm, but %.3g nm in the micrographs that the UNet was trained "
            "with: it sees particles of one size in nm as others, and may miss or merge them. "
            "Train a network for this magnification, in a folder of its own.",
            now,
            trained_with,
        )


def mixed_scales(pixel_sizes: Mapping[str, float | None]) -> list[str]:
    """Return the problem of images without a pixel size beside others whose sizes differ.

    All would have to be measured in pixels, and one distribution would hold particles of
    different scales.

    ``pixel_sizes``: each image's, by its name, in nm; None where it is not known.
    """
    known = [size for size in pixel_sizes.values() if size is not None]
    without = [name for name, size in pixel_sizes.items() if size is None]
    if not without or not differ(known):
        return []
    return [
        f"{len(without)} of {len(pixel_sizes)} images carry no pixel size "
        f"({first_names(without)}), and those of the others differ ({_range(known)} nm), so nm and "
        f"pixels of different scales would stand in one distribution. Give these images their "
        f"pixel size (in ImageJ: Analyze > Set Scale, then save as TIFF), or measure them apart "
        f"from the others."
    ]


def _contradictions(paths: Iterable[Path], pixel_size_nm: float) -> list[str]:
    """Return a warning where the metadata of files say another pixel size than the option."""
    read = {path.name: read_pixel_size(path, logging.DEBUG) for path in paths}
    others = [
        f"{name}: {found[0]:g} nm"
        for name, found in read.items()
        if found and differ([found[0], pixel_size_nm])
    ]
    if not others:
        return []
    return [
        f"PIXEL_SIZE_NM is {pixel_size_nm:g}, but the metadata of {len(others)} of {len(read)} "
        f"images say otherwise ({first_names(others)}). {pixel_size_nm:g} nm is used for all: set "
        f"PIXEL_SIZE_NM to None if the files are right."
    ]


def _resized(paths: Iterable[Path]) -> list[str]:
    """Return a warning where images are not as wide as the microscope says it stored them."""
    widths = {path: (read_stored_width(path), image_size(path)[1]) for path in paths}
    others = [
        f"{path.name}: {width} pixels, stored with {stored}"
        for path, (stored, width) in widths.items()
        if stored not in (None, width)
    ]
    if not others:
        return []
    return [
        f"{len(others)} of {len(widths)} images are not as wide as the microscope stored them "
        f"({first_names(others)}). If they were cropped, their pixel size is right; if they were "
        f"enlarged or reduced, it is not: set PIXEL_SIZE_NM."
    ]


def _oblong(paths: Iterable[Path]) -> list[str]:
    """Return a warning where pixels are not square: PIXEL_SIZE_NM alone would make it no better."""
    sides = {path.name: read_oblong_sides(path) for path in paths}
    oblong = [f"{name}: {one[0]:g} x {one[1]:g} nm" for name, one in sides.items() if one]
    if not oblong:
        return []
    return [
        f"The pixels of {len(oblong)} of {len(sides)} images are not square, as their metadata say "
        f"({first_names(oblong)}): areas, lengths and shapes are wrong. Scale these images so that "
        f"their pixels are square (in ImageJ: Image > Scale), and save them as TIFF."
    ]


def differ(sizes: list[float]) -> bool:
    """Return whether pixel sizes in nm are not all one, but for their last digits."""
    return bool(sizes) and max(sizes) > min(sizes) * (1 + MAX_RELATIVE_DIFFERENCE)


def _range(sizes: list[float]) -> str:
    return " to ".join(f"{size:g}" for size in dict.fromkeys([min(sizes), max(sizes)]))

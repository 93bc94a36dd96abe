"""The size of a pixel, from what the microscope or a program wrote into the image or beside it."""

import contextlib
import logging
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import tifffile

logger = logging.getLogger(__name__)

HITACHI = "[SemImageFile]"  # in Hitachi's text files

# By the unit's name in lower case, in the singular.
NM_PER_UNIT = {
    "pm": 1e-3,
    "picometer": 1e-3,
    "angstrom": 0.1,
    "ångström": 0.1,
    "å": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "µm": 1e3,  # micro sign
    "μm": 1e3,  # Greek mu
    "um": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
}

# What damaged or unusual metadata raise while they are read; then the next source is tried.
METADATA_ERRORS = (
    ValueError,
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    ElementTree.ParseError,
    tifffile.TiffFileError,
)

# Sides of a pixel that differ by less than this are taken as equal.
MAX_RELATIVE_DIFFERENCE = 0.005
# 72 dots per inch is what programs write that know nothing: such pixels of 0.35 mm are for
# printing. No micrograph has pixels above 0.01 mm.
MAX_PIXEL_SIZE_NM = 1e4
# Of a text file beside an image; those of microscopes have a few.
MAX_TEXT_BYTES = 100_000


def read_pixel_size(path: Path, level: int = logging.WARNING) -> tuple[float, str] | None:
    """Return the side of a pixel in nm and where it was found; None where the file does not say.

    The sources in order: Zeiss (tag 34118), FEI and Thermo Fisher (34680, 34682), Olympus and
    JEOL (33560), Gatan (65003 to 65010), ImageJ, OME, and the TIFF resolution in centimetres; then,
    of any image, the text files beside it of Hitachi and JEOL (``<name>.txt``) and TESCAN
    (``<name>.hdr`` or ``<name>-<ending>.hdr``). Metadata that cannot be read, a size that is not
    above 0 and pixels that are not square are passed over, with a message of the logging ``level``.
    Cutting rows off an image does not change the size of its pixels.
    """
    for sides, source, name in _found_sides(Path(path), level):
        if _is_square(sides):
            # Back to the digits that were written: 7.34375e-09 m is 7.34375 nm.
            return float(f"{sides[0]:.12g}"), source
        logger.log(
            level,
            "%s: %s: the pixels are not square (%g x %g nm): ignored. Scale the image to square "
            "pixels.",
            *(name, source, *sides),
        )
    return None


def read_oblong_sides(path: Path) -> tuple[float, float] | None:
    """Return a pixel's width and height in nm where the file says that they differ, else None."""
    found = [sides for sides, _, _ in _found_sides(Path(path), logging.DEBUG)]
    return None if not found or any(map(_is_square, found)) else found[0]


def _is_square(sides: tuple[float, float]) -> bool:
    width, height = sides
    return abs(width - height) <= MAX_RELATIVE_DIFFERENCE * width


def _found_sides(path: Path, level: int) -> Iterator[tuple[tuple[float, float], str, str]]:
    """Yield a pixel's width and height in nm, their source, and the name of the file that has it.

    A size that cannot be read or makes no sense is passed over, with a message of a logging level.
    """
    for source, name, read_sides in _sources(path, level):
        try:
            sides = read_sides()
        except METADATA_ERRORS as error:
            logger.log(
                level, "%s: %s: the pixel size there cannot be read (%s).", name, source, error
            )
            continue
        if sides is None:
            continue
        if all(0 < side <= MAX_PIXEL_SIZE_NM for side in sides):
            yield sides, source, name
        else:
            what = f"{name}: {source}"
            logger.log(level, "%s: no micrograph has pixels of %g x %g nm: ignored.", what, *sides)


def _sources(path: Path, level: int) -> Iterator[tuple[str, str, Callable]]:
    """Yield each source that is there, the file it is in, and the function that reads it."""
    if path.suffix.lower() in (".tif", ".tiff"):
        try:
            with tifffile.TiffFile(path) as tiff:
                for source, read_sides in SOURCES.items():
                    yield source, path.name, partial(read_sides, tiff)
        except METADATA_ERRORS as error:
            logger.log(level, "%s: the metadata cannot be read (%s).", path.name, error)
    for text_path in texts_beside(path):
        text = _text_of(text_path)
        for source, read_sides in TEXT_SOURCES[text_path.suffix.lower()].items():
            yield source, text_path.name, partial(read_sides, text)


def texts_beside(path: Path) -> list[Path]:
    """Return the text files beside an image that may tell its pixel size, where there are any."""
    stems = {".txt": (path.stem,), ".hdr": (path.stem, f"{path.stem}-{path.suffix[1:]}")}
    names = [
        f"{stem}{form(ending)}"
        for ending in TEXT_SOURCES
        for stem in stems[ending]
        for form in (str.lower, str.upper)
    ]
    # Not Path.is_file, which raises an error where a name is too long.
    there = [text for text in map(path.with_name, names) if os.path.isfile(text)]
    # Systems that take no notice of case find one by both names.
    return [text for text in there if not any(map(text.samefile, there[: there.index(text)]))]


def read_stored_width(path: Path) -> int | None:
    """Return how many pixels wide the microscope says it stored the image; None if it does not say.

    Zeiss, FEI and Thermo Fisher do, and Hitachi and JEOL in the text beside it. If the image has
    another width, it was cropped, or it was resized: then the pixel size that is still named is
    wrong.
    """
    path = Path(path)
    with contextlib.suppress(*METADATA_ERRORS):
        if path.suffix.lower() in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as tiff:
                tags = tiff.pages.first.tags
                if isinstance(zeiss := tags.valueof(34118), dict) and "dp_image_store" in zeiss:
                    return int(zeiss["dp_image_store"][1].split("*")[0])
                for tag in (34680, 34682):
                    if isinstance(fei := tags.valueof(tag), dict) and "Image" in fei:
                        return int(fei["Image"]["ResolutionX"])
    for text_path in texts_beside(path):
        text = _text_of(text_path)
        stored = re.search(r"^DataSize=(\d+)x", text, re.MULTILINE) if HITACHI in text else None
        if stored := stored or re.search(r"^\$CM_FULL_SIZE +(\d+)", text, re.MULTILINE):
            return int(stored[1])
    return None


def _text_of(path: Path) -> str:
    """Return the beginning of a text file, "" where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_TEXT_BYTES).decode("latin-1")
    except OSError:
        return ""


def _to_nm(value: float, unit: str) -> float:
    return float(value) * NM_PER_UNIT[_singular(unit)]


def _singular(unit: str) -> str:
    """Return a unit's name in lower case, American, singular: nanometer for Nanometres."""
    return unit.strip().lower().replace("metre", "meter").removesuffix("s")


def _zeiss(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    entries = tiff.pages.first.tags.valueof(34118)
    if not isinstance(entries, dict) or "ap_image_pixel_size" not in entries:
        return None
    _, value, unit = entries["ap_image_pixel_size"]
    size = _to_nm(value, unit)
    # The named entry is rounded to four digits; the unnamed list holds the same in full, in m.
    for exact in entries.get("", ()):
        if isinstance(exact, float) and abs(exact * 1e9 - size) < 5e-4 * size:
            return (exact * 1e9,) * 2
    return size, size


def _fei(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    for tag in (34680, 34682):
        sections = tiff.pages.first.tags.valueof(tag)
        if not isinstance(sections, dict):
            continue
        for name in ("Scan", "EScan", "IScan"):
            section = sections.get(name, {})
            if "PixelWidth" in section:
                width = float(section["PixelWidth"]) * 1e9
                return width, float(section.get("PixelHeight", section["PixelWidth"])) * 1e9
    return None


def _olympus(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    entries = tiff.pages.first.tags.valueof(33560)
    if not isinstance(entries, dict) or "pixelsizex" not in entries:
        return None
    return entries["pixelsizex"] * 1e9, entries["pixelsizey"] * 1e9


def _gatan(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    tags = tiff.pages.first.tags
    found = [tags.valueof(code) for code in (65003, 65004, 65009, 65010)]  # units, sides; x, y
    if None in found:
        return None
    units = [_decoded(text) for text in found[:2]]
    if all(unit == "" or "1/" in unit for unit in units):
        return None  # not calibrated, or a diffraction pattern
    return tuple(_to_nm(side, unit) for side, unit in zip(found[2:], units, strict=True))


def _decoded(text: str | bytes | tuple[int, ...]) -> str:
    """Return a tag's text, of which a program may have written bytes, of any of three encodings."""
    if isinstance(text, str):
        return text.strip("\0 ")
    text = bytes(text)
    if len(text) % 2 == 0 and all(byte <= 3 for byte in text[1::2]):  # Latin and Greek
        return text.decode("utf-16-le").strip("\0 ")
    try:
        return text.decode("utf-8").strip("\0 ")
    except UnicodeDecodeError:
        return text.decode("latin-1").strip("\0 ")


def _imagej(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    metadata = tiff.imagej_metadata or {}
    # ImageJ escapes what is not ASCII: \u00B5m.
    unit = re.sub(
        r"\\u([0-9A-Fa-f]{4})",
        lambda found: chr(int(found.group(1), 16)),
        str(metadata.get("unit", "")),
    )
    if _singular(unit) not in NM_PER_UNIT:
        return None  # "pixel" or "inch": not calibrated
    per_unit = _resolution(tiff)
    return None if per_unit is None else tuple(_to_nm(1 / one, unit) for one in per_unit)


def _ome(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    if not tiff.ome_metadata:
        return None
    for element in ElementTree.fromstring(tiff.ome_metadata).iter():
        if element.tag.rpartition("}")[2] == "Pixels" and "PhysicalSizeX" in element.attrib:
            given = element.attrib
            width = _to_nm(given["PhysicalSizeX"], given.get("PhysicalSizeXUnit", "µm"))
            if "PhysicalSizeY" not in given:
                return width, width
            return width, _to_nm(given["PhysicalSizeY"], given.get("PhysicalSizeYUnit", "µm"))
    return None


def _centimetres(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    if tiff.pages.first.tags.valueof(296) != tifffile.RESUNIT.CENTIMETER:
        return None
    per_centimetre = _resolution(tiff)
    if per_centimetre is None:
        return None
    width, height = (_to_nm(1 / one, "cm") for one in per_centimetre)
    return None if min(width, height) > MAX_PIXEL_SIZE_NM else (width, height)


def _hitachi(text: str) -> tuple[float, float] | None:
    size = re.search(r"^PixelSize=(\S+)", text, re.MULTILINE)  # in nm
    if size is None or HITACHI not in text:
        return None
    return float(size[1]), float(size[1])


def _jeol(text: str) -> tuple[float, float] | None:
    """By the scale bar's length: "$$SM_MICRON_BAR 111", in pixels, "$$SM_MICRON_MARKER 100nm"."""
    bar = re.search(r"^\$\$SM_MICRON_BAR +([\d.]+)", text, re.MULTILINE)
    marker = re.search(r"^\$\$SM_MICRON_MARKER +([\d.]+) *(\S+)", text, re.MULTILINE)
    if bar is None or marker is None:
        return None
    side = _to_nm(float(marker[1]), marker[2]) / float(bar[1])
    return side, side


def _tescan(text: str) -> tuple[float, float] | None:
    sides = [re.search(rf"^PixelSize{axis}=(\S+)", text, re.MULTILINE) for axis in "XY"]  # in m
    return None if None in sides else tuple(float(side[1]) * 1e9 for side in sides)


def _resolution(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """Return the pixels per unit in x and y of the tags 282 and 283."""
    values = [tiff.pages.first.tags.valueof(tag) for tag in (282, 283)]
    if None in values:
        return None
    return tuple(numerator / denominator for numerator, denominator in values)


TEXT_SOURCES: dict[str, dict[str, Callable]] = {
    ".txt": {"Hitachi text file": _hitachi, "JEOL text file": _jeol},
    ".hdr": {"TESCAN header file": _tescan},
}
SOURCES: dict[str, Callable] = {
    "Zeiss metadata": _zeiss,
    "FEI or Thermo Fisher metadata": _fei,
    "Olympus or JEOL metadata": _olympus,
    "Gatan metadata": _gatan,
    "ImageJ calibration": _imagej,
    "OME metadata": _ome,
    "TIFF resolution": _centimetres,
}

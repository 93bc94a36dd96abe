"""Outlines from ImageJ's ROI Manager, or of a label map, one file each, for Input_Masks.

``python -m pipeline.import_outlines FILE [FILE ...] [--invert] [--into FOLDER]``
"""

import argparse
import glob
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import roifile
from skimage.draw import polygon2mask
from skimage.measure import regionprops

from pipeline.checks.outlines import LARGEST_OUTLINE, ROI_ENDINGS, describe_outline
from pipeline.files.mask_pairs import describe_colours
from pipeline.image_files import list_images, read_image, write_image
from pipeline.micrographs.micrograph_scale import ALLOWED_SCALES
from pipeline.particles.label_maps import is_label_map, surrounds_all
from pipeline.wording import counted, first_names

logger = logging.getLogger(__name__)

NO_OUTLINE = (roifile.ROI_SUBTYPE.TEXT, roifile.ROI_SUBTYPE.IMAGE)
NO_AREA = ("LINE", "FREELINE", "POLYLINE", "ANGLE", "POINT", "NOROI")
MARGIN = 3  # pixels of background around a particle
LARGEST_SIDE = round(LARGEST_OUTLINE / ALLOWED_SCALES[0])  # more is no outline at any scale


def import_outlines(files: list[Path], folder: Path, invert: bool = False) -> list[Path]:
    """Write an outline mask for every particle in files, and return the new files.

    Each is a PNG, white on black, named after its file and number. What is no outline of a single
    whole particle (lines and points; particles cut off by the edge of a label map) is left out,
    and said.

    Parameters
    ----------
    files : ROI sets (.zip) or single regions (.roi) of ImageJ; or label maps and masks, in which
        each number, or each white part, is a particle. They must have the micrographs' scale.
    folder : gets the outlines; what is there stays.
    invert : whether in masks each black part is a particle.

    Raises
    ------
    OSError, ValueError
        If a file cannot be read or holds no outline, or an outline is there already; then nothing
        is written.
    """
    if Path(folder).is_file():
        raise FileExistsError(f"{folder} is a file; give a folder (--into). Nothing was written.")
    outlines: dict[Path, np.ndarray] = {}
    for file in map(Path, files):
        found, left_out = _outlines_in(file, invert)
        named = {
            Path(folder) / f"{file.stem}_{number:03d}.png": outline
            for number, outline in enumerate(found, start=1)
        }
        # On Windows and macOS, upper and lower case are one.
        there = {str(path).casefold() for path in outlines}
        if twice := [path for path in named if str(path).casefold() in there]:
            raise ValueError(
                f"Two of the files would make {min(twice)}. Rename one. Nothing was written."
            )
        outlines |= named
        logger.info("%s: %s", file, counted(len(found), "outline"))
        if left_out:
            logger.warning("%s: left out are %s", file, "; ".join(left_out))
        if not found:
            raise ValueError(f"{file} holds no outline of a whole particle. Nothing was written.")
    if there := [path.name for path in outlines if path.exists()]:
        raise FileExistsError(
            f"{folder} holds {first_names(there)} already. Move or rename what is there, or write "
            "into another folder (--into). Nothing was written."
        )
    Path(folder).mkdir(parents=True, exist_ok=True)
    if others := list_images(folder):
        names = first_names([path.name for path in others])
        logger.warning("%s: what was there is used too: %s", folder, names)
    for path, outline in outlines.items():
        write_image(path, outline)
    return list(outlines)


def _outlines_in(file: Path, invert: bool) -> tuple[list[np.ndarray], list[str]]:
    """Return the outlines in a file, uint8 (h, w), and the words on what else it holds."""
    is_of_imagej = file.suffix.lower() in ROI_ENDINGS
    by_name = _masks_of_rois(file) if is_of_imagej else _masks_of_image(file, invert)
    found, left_out = [], []
    for name, mask in by_name:
        problem = mask if isinstance(mask, str) else describe_outline(mask)
        if problem:
            left_out.append(f"{name}, which {problem}")
        else:
            found.append(np.where(mask, np.uint8(255), np.uint8(0)))
    return found, left_out


def _masks_of_rois(file: Path) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield the name of each region, and its mask, bool, or the words on why it has none."""
    try:
        rois = roifile.roiread(file)
        rois = rois if isinstance(rois, list) else [rois]
        by_name = [
            (roi.name or f"{number:04d}", _describe_roi(roi), roi.coordinates(multi=True))
            for number, roi in enumerate(rois, start=1)
        ]
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged files make the readers raise errors of many kinds
        raise ValueError(
            f"{file} cannot be read as a region, or a set of them, of ImageJ: {error}. Save it "
            "again in the ROI Manager (More > Save)."
        ) from error
    for name, problem, polygons in by_name:
        polygons = [polygon for polygon in polygons if len(polygon) > 2]
        yield name, problem or (_fill(polygons) if polygons else "is no area")


def _describe_roi(roi: roifile.ImagejRoi) -> str | None:
    """Return the words on why a region is no outline as it stands in its file."""
    if roi.roitype.name in NO_AREA or roi.subtype in NO_OUTLINE:
        return "is no area"
    if roi.options & roifile.ROI_OPTIONS.SPLINE_FIT:
        return (
            "is fitted by a spline, of which the file has the knots alone (in ImageJ: Edit > "
            "Selection > Interpolate, then Update in the ROI Manager)"
        )
    return None


def _fill(polygons: list[np.ndarray]) -> np.ndarray | str:
    """Return the pixels whose middle lies in an odd number of polygons (n, 2) of (x, y)."""
    # The corner of a pixel is a whole number to ImageJ, its middle to scikit-image.
    corners = [np.asarray(polygon, np.float64)[:, ::-1] - 0.5 for polygon in polygons]
    everything = np.concatenate(corners)
    if not np.isfinite(everything).all() or np.ptp(everything, axis=0).max() > LARGEST_SIDE:
        return f"is more than {LARGEST_SIDE} pixels long"
    origin = np.floor(everything.min(axis=0)) - MARGIN
    shape = tuple((np.ceil(everything.max(axis=0)) - origin + MARGIN + 1).astype(int))
    inside = np.zeros(shape, bool)
    for polygon in corners:
        inside ^= polygon2mask(shape, polygon - origin)
    return inside


def _masks_of_image(file: Path, invert: bool) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield the number of each particle of a label map or a mask, as `_masks_of_rois` does."""
    image = read_image(file)
    if problem := describe_colours(file):
        raise ValueError(f"{file} {problem}")
    if is_label_map(image):
        labels = image.astype(np.int64)
    elif len(np.unique(image)) <= 2:
        _, labels = cv2.connectedComponents(((image > image.min()) ^ invert).astype(np.uint8))
        if surrounds_all(labels):
            raise ValueError(
                f"{file} is {'white on black' if invert else 'black on white'}: run it "
                f"{'without' if invert else 'with'} --invert. Nothing was written."
            )
    else:
        raise ValueError(
            f"{file} is neither a label map, of whole numbers from 0, nor a mask of two values. "
            "Allowed are these, and sets of regions of ImageJ (.zip, .roi)."
        )
    height, width = labels.shape
    for region in regionprops(labels):
        top, left, bottom, right = region.bbox
        name = f"particle {region.label}"
        if top == 0 or left == 0 or bottom == height or right == width:
            yield name, "is cut off by the edge"
        else:
            yield name, np.pad(region.image, MARGIN)


def _expanded(name: str) -> list[Path]:
    """Return the file of a name, or those of a pattern such as masks/*.tif, which shells of Windows
    do not expand."""
    found = [] if Path(name).exists() else sorted(glob.glob(name))
    return [Path(one) for one in found or [name]]


def main() -> None:
    """Read the command line and write the outlines."""
    parser = argparse.ArgumentParser(
        description="Write the regions of ImageJ's ROI Manager, or the particles of label maps, as "
        "outline masks, a file each.",
    )
    parser.add_argument(
        "files", nargs="+", help="RoiSet.zip, a .roi, or an image: a label map, a mask"
    )
    parser.add_argument("--invert", action="store_true", help="masks are black on white")
    parser.add_argument(
        "--into", type=Path, default="Input_Masks", metavar="FOLDER", help="default: Input_Masks"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        files = [file for name in options.files for file in _expanded(name)]
        written = import_outlines(files, options.into, options.invert)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    logger.info("wrote %s into %s", counted(len(written), "outline"), options.into)


if __name__ == "__main__":
    main()

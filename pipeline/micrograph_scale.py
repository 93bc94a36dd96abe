"""The scale at which the networks see micrographs: those of small particles are enlarged.

What is counted in pixels (the gap between simulated particles, the smoothing of their outlines, the
kernels of the networks) is made for particles of 15 pixels and more; smaller ones are merged with
their neighbours. So micrographs and outlines are resized for whatever is simulated, trained or
translated, and masks are brought back to the pixels of the micrograph.
"""

import math
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from pipeline.checks.values import folder_name
from pipeline.image_files import list_images, read_mask
from pipeline.particle_masks import (
    label_particles,
    set_apart,
    to_four_connected,
    without_specks,
)
from pipeline.run_folders import MADE_WITH, read_record

AUTO = "auto"
OF_STEPS = "micrograph_scale"  # as the steps' keywords and records name it
# Pixels, of the equivalent circle: of particles of 12, in agglomerates, a third were found, of
# those of 18, side by side, nearly all.
SMALL_DIAMETER = 15
WANTED_DIAMETER = 20  # of small ones, enlarged
LARGEST_SCALE = 4  # of "auto": no detail appears by enlarging a micrograph further
ON_OUTLINE = 1e-3  # pixels from it
ALLOWED_SCALES = (0.1, 10)  # from, to


def with_scale(options: dict, calls: list[tuple] | None) -> tuple[dict, list[tuple] | None]:
    """Return options and step calls with a number wherever MICROGRAPH_SCALE is "auto".

    Parameters
    ----------
    options : the options of StartProcess.py by name; some may be missing or wrong.
    calls : (number, step name, keywords) of the steps that will run; None for all steps.

    It is the scale that the outlines want (`scale_for_outlines`). Where step 0 is not to run, or no
    outline can be read, it is that of the tiles step 0 made before, so that a step that runs alone
    goes on as the others began. Without either it is 1.
    """
    asked = [options.get("MICROGRAPH_SCALE")]
    asked += [keywords.get("micrograph_scale") for *_, keywords in calls or []]
    if AUTO not in asked:
        return options, calls
    cuts_tiles = calls is None or any(number == "0" for number, *_ in calls)
    of_tiles = scale_of_tiles(options.get("CYCLEGAN_DIR"))
    scale = None if of_tiles and not cuts_tiles else _scale_of_outlines(options)
    scale = scale or of_tiles or 1.0
    if calls is not None:
        calls = [
            (*call, {k: scale if (k, v) == (OF_STEPS, AUTO) else v for k, v in keywords.items()})
            for *call, keywords in calls
        ]
    if options.get("MICROGRAPH_SCALE") == AUTO:
        options = options | {"MICROGRAPH_SCALE": scale}
    return options, calls


def scale_of_tiles(cyclegan_dir) -> float | None:
    """Return the scale at which step 0 cut the tiles that are there, None where it is not known."""
    if cyclegan_dir is None or folder_name(cyclegan_dir):
        return None
    record = read_record(Path(cyclegan_dir) / "data" / "trainA" / MADE_WITH)
    return record.get(OF_STEPS, 1.0) if record else None  # there was no such option before


def _scale_of_outlines(options):
    masks_dir = options.get("INPUT_DIR_MASKS")
    if masks_dir is None or folder_name(masks_dir):
        return None
    return scale_for_outlines(masks_dir, options.get("INVERT_INPUT_MASKS") is True)


def scale_for_outlines(masks_dir: Path, invert: bool = False) -> float | None:
    """Return the scale that particles as large as the outlines in a folder want: 1, 2, 3 or 4.

    It is 1 unless half of the outlines are below `SMALL_DIAMETER`; None where none can be read.
    ``invert`` is for outlines that are black on white.
    """
    diameters = []
    try:
        files = list_images(masks_dir)
    except OSError:
        return None
    for file in files:
        with suppress(OSError, ValueError):  # of which the checks tell
            area = np.count_nonzero(read_mask(file, invert))
            diameters += [2 * math.sqrt(area / math.pi)] if area else []
    if not diameters:
        return None
    diameter = np.median(diameters)
    if diameter >= SMALL_DIAMETER:
        return 1.0
    return float(min(math.ceil(WANTED_DIAMETER / diameter), LARGEST_SCALE))


def words_of(scale: float) -> str:
    """Return what to say after a size in pixels of enlarged images; nothing at 1."""
    return "" if scale == 1 else f", at MICROGRAPH_SCALE = {scale:g}"


def in_own_pixels(distance: int, scale: float) -> int:
    """Return a distance in pixels of enlarged micrographs in the micrographs' own, at least 1."""
    return max(1, round(distance / scale))


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return (height, width) in pixels of an image of ``size`` at a scale."""
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (h, w) at another size, (height, width), with no grey outside its range.

    uint8, uint16 and float32 stay what they are, other types become float64. An image that has the
    size already is returned as it is.
    """
    if image.shape == tuple(size):
        return image
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float64)
    smaller = size[0] * size[1] < image.size
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    resized = cv2.resize(image, size[::-1], interpolation=interpolation)
    return np.clip(resized, image.min(), image.max(), out=resized)


def at_scale(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image (h, w) enlarged, or reduced, by a factor; see `resize`."""
    return resize(image, scaled_size(image.shape, scale))


def mask_at_size(mask: np.ndarray, size: tuple[int, int], smallest: int = 1) -> np.ndarray:
    """Return a mask of separate particles, (h, w), at another size: uint8, 0 or 255.

    Outlines stay where they were, to a fraction of a pixel. Particles stay separate: where two
    would touch, a line of one pixel is left between them. Those of less than ``smallest`` pixels,
    at the new size, are left out. A mask that has the size already is returned as it is.
    """
    if mask.shape == tuple(size):
        return mask
    particle = (mask > 0).astype(np.uint8)
    inner, outer = (
        cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (particle, 1 - particle)
    )
    depth = cv2.resize(inner - outer, size[::-1], interpolation=cv2.INTER_LINEAR)
    # The nearest pixel of such a place is a particle's, or beside one.
    labels = label_particles(mask)
    beside = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    labels = np.where(labels > 0, labels, beside)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    labels = labels[rows][:, columns]
    # Outlines may go right through the middles of pixels, half of them where the scale is 2: these
    # are every second particle's, so that sizes are right in the mean.
    labels[depth < np.where(labels % 2, -ON_OUTLINE, ON_OUTLINE)] = 0
    set_apart(labels)
    return without_specks(to_four_connected(labels), smallest)

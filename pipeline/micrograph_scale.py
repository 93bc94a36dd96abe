"""The scale at which the networks see micrographs: those of small particles are enlarged.

What is counted in pixels (the gap between simulated particles, the smoothing of their outlines, the
kernels of the networks) is made for particles of 15 pixels and more; smaller ones are merged with
their neighbours. So micrographs and outlines are resized for whatever is simulated, trained or
translated, and masks are brought back to the pixels of the micrograph.
"""

import logging
import math
from pathlib import Path

import cv2
import numpy as np

from pipeline.checks.values import folder_name
from pipeline.image_files import list_images, read_mask
from pipeline.particle_masks import label_particles, to_four_connected

logger = logging.getLogger(__name__)

AUTO = "auto"
# Pixels, of the equivalent circle: of particles of 12, in agglomerates, a third were found, of
# those of 18, side by side, nearly all.
SMALL_DIAMETER = 15
WANTED_DIAMETER = 20  # of small ones, enlarged
LARGEST_SCALE = 4  # nothing that is not in the micrograph appears by enlarging it further


def scale_of(options: dict[str, object]) -> float:
    """Return the scale that the options of StartProcess.py say, 1 where they do not tell.

    For "auto" it is what the outlines want (`choose_scale`).
    """
    scale = options.get("MICROGRAPH_SCALE", 1.0)
    if scale != AUTO:
        return scale
    masks_dir = options.get("INPUT_DIR_MASKS")
    if masks_dir is None or folder_name(masks_dir):
        return 1.0
    return choose_scale(masks_dir, options.get("INVERT_INPUT_MASKS") is True)


def choose_scale(masks_dir: Path, invert: bool = False) -> float:
    """Return the scale that particles as large as the outlines in a folder want: 1, 2, 3 or 4.

    It is 1 unless half of the outlines are below `SMALL_DIAMETER`, and where there are none that
    can be read. ``invert`` is for outlines that are black on white.
    """
    diameter = _median_diameter(Path(masks_dir), invert)
    if not 0 < diameter < SMALL_DIAMETER:
        return 1.0
    scale = min(math.ceil(WANTED_DIAMETER / diameter), LARGEST_SCALE)
    logger.info(
        "your outlines are %.1f pixels across in the median, so the networks see them, and the "
        "micrographs, enlarged %d times (MICROGRAPH_SCALE)",
        diameter,
        scale,
    )
    return float(scale)


def _median_diameter(masks_dir, invert):
    """Return the median of the outlines' equivalent diameters in pixels, NaN where none is."""
    diameters = []
    try:
        for path in list_images(masks_dir):
            area = np.count_nonzero(read_mask(path, invert))
            diameters.append(2 * math.sqrt(area / math.pi))
    except (OSError, ValueError):  # of which the checks tell
        return math.nan
    return float(np.median(diameters)) if diameters else math.nan


def words_of(scale: float) -> str:
    """Return what to say after a size in pixels of enlarged images; nothing at 1."""
    return "" if scale == 1 else f", at MICROGRAPH_SCALE = {scale:g}"


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

    Particles stay separate: where two would touch, a line of one pixel is left between them. Those
    of less than ``smallest`` pixels, at the new size, are left out. A mask that has the size
    already is returned as it is.
    """
    if mask.shape == tuple(size):
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    labels = label_particles(mask)[rows][:, columns]
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        labels[one][(labels[one] != labels[other]) & (labels[other] > 0)] = 0
    particles = label_particles(to_four_connected(labels))
    is_particle = np.bincount(particles.ravel()) >= smallest
    is_particle[0] = False
    return is_particle[particles].astype(np.uint8) * 255

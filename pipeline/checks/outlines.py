"""The outline masks: each must show one whole particle, white on black."""

import logging
import math
import os
import shlex
from pathlib import Path

import cv2
import numpy as np
from skimage.segmentation import clear_border

from pipeline.checks.files import Size, in_one_line, list_and_check_names
from pipeline.checks.step_options import wrong_keywords
from pipeline.image_files import read_image
from pipeline.intensities import above_half
from pipeline.micrographs.micrograph_scale import LEAST_KEPT, words_of
from pipeline.micrographs.resampling import scaled_size
from pipeline.particles.label_maps import is_label_map
from pipeline.progress import progress
from pipeline.running.step_table import AUGMENTED, Call
from pipeline.wording import counted, first_names
from simulate.outlines import (
    DEFAULT_SMOOTHING,
    NARROWEST,
    SCALING,
    SMOOTHINGS,
    prepare_particle,
    scale_limits,
    share_kept,
)

logger = logging.getLogger(__name__)

# The WGAN learns a variety of outlines, so one is none; the published work used 40.
FEWEST_OUTLINES, FEW_OUTLINES = 2, 20
# Pixels of a side: the WGAN's memory grows with the area, to many gigabytes for a whole micrograph.
LARGEST_OUTLINE = 512
# Of the range of grey values: what differs more from the background is no trace of compression.
VISIBLE = 0.1
ROI_ENDINGS = (".zip", ".roi")  # of ImageJ's regions, which `import_outlines` reads
# Edges that fade out over fewer pixels, and specks, are no particles of another grey.
FADING = np.ones((5, 5), np.uint8)


def check_masks(
    option: str,
    folder: Path,
    tile: Size | None,
    invert: bool = False,
    scale: float = 1.0,
    micrograph_scale: float = 1.0,
    smoothing: str = DEFAULT_SMOOTHING,
    are_augmented: bool = False,
) -> tuple[list[str], Size]:
    """Read every outline mask and return the problems and the largest (height, width).

    Parameters
    ----------
    option : name of the option that gives ``folder``, for the messages.
    tile : (height, width) of the tiles in pixels, None if unknown; larger outlines are warned of.
    invert : INVERT_INPUT_MASKS, True where the outlines are black on white.
    scale : the largest at which step 2 uses the outlines. Those of which nothing is left then are
        warned of; where none is left, they are problems.
    micrograph_scale : by which all of them are resized before.
    smoothing : by which step 2 smooths them.
    are_augmented : whether step 2 deforms them (OUTLINE_SOURCE) and none are drawn by the WGAN.
    """
    paths, problems = list_and_check_names(
        option, folder, FEWEST_OUTLINES, "outlines of single particles", names_results=False
    )
    if sets := _sets_of_regions(folder):
        logger.warning(
            "%s: %s of ImageJ, not an image: python -m pipeline.import_outlines %s --into %s makes "
            "outlines of it.",
            *(folder, counted(len(sets), "set of regions", "sets of regions")),
            *(_quoted(path) for path in (sets[0], folder)),
        )
    largest, usable, too_small, too_thin = (0, 0), 0, [], []
    at = scale * micrograph_scale
    for path in progress(paths, "outlines checked"):
        try:
            image = read_image(path)
        except (ValueError, OSError) as error:
            problems.append(in_one_line(error))
            continue
        mask = above_half(image) != invert
        found = (
            _describe_size(mask.shape, micrograph_scale)
            or describe_outline(mask, invert)
            or _describe_greys(image, mask, invert)
        )
        if found:
            problems.append(f"{path} {found}")
            continue
        usable += 1
        largest = max(largest[0], mask.shape[0]), max(largest[1], mask.shape[1])
        outline = np.where(mask, 255, 0).astype(np.uint8)
        if not prepare_particle(outline, at, 0.0, smoothing).area:
            too_small.append(f"{path} {describe_too_small(at, micrograph_scale, smoothing)}")
        elif share_kept(outline, micrograph_scale, smoothing) < LEAST_KEPT:
            too_thin.append(path.name)
    if usable and len(too_small) == usable:
        problems += too_small
    else:
        for line in too_small:
            logger.warning("%s", line)
    if len(too_thin) > usable / 10:
        logger.warning(
            "%s: step 2 smooths away what is narrower than %d pixels, and with it more than "
            "%.0f %% of %d of %d outlines%s (such as %s): simulated particles will lack these thin "
            "parts. If they matter, raise MICROGRAPH_SCALE (it is %g)",
            *(folder, NARROWEST, 100 * (1 - LEAST_KEPT), len(too_thin), usable),
            *(words_of(micrograph_scale), too_thin[0], micrograph_scale),
        )
    largest = scaled_size(largest, micrograph_scale) if usable else largest
    _warn_of_few_and_large(folder, usable, largest, tile, micrograph_scale, are_augmented)
    return problems, largest


def _quoted(path: Path) -> str:
    """Return a path for a command line."""
    return shlex.quote(str(path)) if os.name == "posix" else f'"{path}"'


def _sets_of_regions(folder: Path) -> list[Path]:
    if not Path(folder).is_dir():
        return []
    visible = (path for path in Path(folder).iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in ROI_ENDINGS)


def _warn_of_few_and_large(
    folder: Path,
    usable: int,
    largest: Size,
    tile: Size | None,
    scale: float,
    are_augmented: bool,
) -> None:
    if FEWEST_OUTLINES <= usable < FEW_OUTLINES:
        why = (
            f", and simulated particles as much alike as they are. Trace {FEW_OUTLINES} or more."
            if are_augmented
            else f" to learn from; the WGAN gets better from about {FEW_OUTLINES} on. Trace more, "
            f'or set OUTLINE_SOURCE = "{AUGMENTED}", which deforms those that are there.'
        )
        logger.warning("%s: %d outlines are few%s", folder, usable, why)
    if tile and (largest[0] > tile[0] or largest[1] > tile[1]):
        logger.warning(
            "%s: an outline of %d x %d pixels%s is larger than a tile (%d x %d). Outlines must "
            "have the micrographs' scale: crop them to the particle, or take larger tiles.",
            *(folder, *largest, words_of(scale), *tile),
        )


def largest_scale(options: dict[str, object], calls: list[Call]) -> float:
    """Return the largest scale at which outlines are used, as far as options and calls tell.

    The outlines that the WGAN draws must be large enough as they are, unless step 1 only warns.
    """
    only_warned_of = options.get("WHEN_A_NETWORK_FAILS") == "warn"
    if options.get("OUTLINE_SOURCE") != AUGMENTED and not only_warned_of:
        return 1.0
    for _, step_name, keywords in calls:
        scaling = {name: keywords[name] for name in SCALING if name in keywords}
        if len(scaling) == len(SCALING) and not wrong_keywords(step_name, scaling):
            return max(1.0, scale_limits(**scaling)[1])
    return 1.0


def smoothing_of(calls: list[Call]) -> str:
    """Return by which of `SMOOTHINGS` step 2 smooths outlines, as far as its calls tell."""
    found = (keywords.get("smoothing") for _, step, keywords in calls if step == "simulate_masks")
    return next((one for one in found if one in list(SMOOTHINGS)), DEFAULT_SMOOTHING)


def describe_too_small(
    scale: float, micrograph_scale: float = 1.0, smoothing: str = DEFAULT_SMOOTHING
) -> str:
    """Return the words for an outline of which nothing is left at the largest scale in use.

    ``micrograph_scale`` is the part of it that is MICROGRAPH_SCALE.
    """
    side = math.ceil(NARROWEST / scale)
    return (
        "shows a particle of which step 2 has nothing left after smoothing. Allowed is one into "
        f"which a {smoothing.lower()} {side} pixels wide fits: raise MICROGRAPH_SCALE (it is "
        f"{micrograph_scale:g}), or remove the file."
    )


def describe_outline(mask: np.ndarray, inverted: bool = False) -> str | None:
    """Return what is wrong with the outline mask of a single particle, None if it is right.

    ``mask``: bool (height, width), True on the particle. ``inverted``: whether it was inverted
    when it was read.
    """
    if mask.all() or not mask.any():
        return (
            "has the same value everywhere, so it shows no particle (transparency is not looked "
            "at). Allowed is one white particle on black: draw it, or remove the file."
        )
    frame = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    inversion = ""
    if frame.mean() > 0.5:
        colours = ["white", "black"]
        ground, particle = colours[::-1] if inverted else colours
        inversion = (
            f"is inverted: a {particle} particle on {ground}. Allowed is {ground} on {particle}, "
            f"as INVERT_INPUT_MASKS is {inverted}: set INVERT_INPUT_MASKS = {not inverted} if all "
            "outlines are like that, or invert this file (in ImageJ: Edit > Invert)."
        )
        if clear_border(~mask).any():  # a part that lies free inside the frame
            return inversion
        # Both parts touch the frame, so either may be meant.
        inversion = f" Or it {inversion}"
    # 8-connected, as one looks at it: pixels that meet at a corner belong together.
    count, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = sorted(statistics[1:, cv2.CC_STAT_AREA].tolist(), reverse=True)
    if count > 2:
        shown = first_names([str(area) for area in areas])
        return (
            f"shows {count - 1} separate particles (of {shown} pixels). Allowed is one: give each "
            "a file of its own (python -m pipeline.import_outlines does), and erase specks."
            f"{inversion}"
        )
    if frame.any():
        pixels = counted(np.count_nonzero(frame), "pixel")
        return (
            f"shows a particle that touches the frame with {pixels}, so that its outline is cut "
            "off. Allowed is a whole particle with black all round: "
            f"enlarge the canvas if the particle is whole, else remove the file.{inversion}"
        )
    return None


def _describe_size(shape: Size, scale: float) -> str | None:
    largest = math.floor(LARGEST_OUTLINE / scale)
    if max(shape) <= largest:
        return None
    at = words_of(scale)
    return (
        f"has {shape[0]} x {shape[1]} pixels. Allowed are up to {largest} x {largest}{at}: crop it "
        "to the particle, with some pixels of background all round (in ImageJ: Image > Crop; or by "
        "python -m pipeline.import_outlines, into another folder); if the particle itself is "
        "larger, lower MICROGRAPH_SCALE."
    )


def _describe_greys(image: np.ndarray, mask: np.ndarray, inverted: bool) -> str | None:
    """Return what is wrong if an outline shows more than its mask, such as another grey particle.

    ``image`` (height, width), of which ``mask`` is the half away from the background.
    """
    grey = image.astype(np.float64)
    from_ground = grey.max() - grey if inverted else grey - grey.min()
    besides = (from_ground > VISIBLE * np.ptp(grey)) & ~mask
    besides = cv2.morphologyEx(besides.astype(np.uint8), cv2.MORPH_OPEN, FADING)
    if not besides.any() and not is_label_map(image):
        return None
    return (
        f"shows more than one particle, in different greys ({len(np.unique(image))} values in "
        "all). Allowed is one particle in white, all else black: give each particle of a label map "
        "a file of its own (python -m pipeline.import_outlines does), and trace particles in "
        "micrographs instead of cutting them out."
    )

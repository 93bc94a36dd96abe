"""The scale at which the networks see micrographs: small particles enlarged, large ones reduced.

What is counted in pixels (the gap between simulated particles, the smoothing of their outlines,
the kernels of the networks, the tiles) is made for particles of 15 to 40 pixels. Smaller ones are
merged with their neighbours; of larger ones a tile shows only a few, and all takes longer. So
micrographs and outlines are resized for whatever is simulated, trained or translated, and masks
are brought back to the pixels of the micrograph.
"""

import logging
import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipeline.checks.values import folder_name
from pipeline.files.records import read_record
from pipeline.image_files import list_images, read_mask, read_micrograph
from pipeline.micrographs.resampling import scaled_size
from pipeline.particles.components import distance_to_background
from pipeline.progress import progress
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import NETWORKS, named

logger = logging.getLogger(__name__)

AUTO = "auto"
OF_STEPS = "micrograph_scale"  # as the steps' keywords and records name it
# Of a compact particle's, its width over the diameter of the circle of equal area. (It is 0.78 of
# a triangle, 0.63 of a rectangle twice as long as wide.)
COMPACT = 0.7
# Pixels, of the equivalent circle: of particles of 12, in agglomerates, a third were found, of
# those of 18, side by side, nearly all.
SMALL_DIAMETER = 15
WANTED_DIAMETER = 20  # of small ones, enlarged; at least, of nine in ten large ones, reduced
LARGEST_SCALE = 4  # of "auto": no detail appears by enlarging a micrograph further
MOST_REDUCED = 10  # times, by "auto"
DECIMALS = 2  # of a scale below 1, so that it can be written down: a third is 0.33
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


def scale_of_network(run_folder: Path) -> float | None:
    """Return the scale at which a network's run learned, None where its options do not say."""
    options = read_record(Path(run_folder) / "options.json").get("options")
    return options.get(OF_STEPS) if isinstance(options, dict) else None


def check_scale_of_network(network: str, run_folder: Path, scale: float) -> None:
    """Raise a ValueError if a run of "wgan" or "cyclegan" learned at another scale than this."""
    learned = scale_of_network(run_folder)
    if learned not in (None, scale):
        raise ValueError(
            f"The {NETWORKS[network].title} in {run_folder} learned at MICROGRAPH_SCALE = "
            f"{learned:g}, but it is {scale:g} now. Run {named(NETWORKS[network].step)} again, or "
            "set it as it was."
        )


def check_scale_of_tiles(cyclegan_dir: Path, scale: float) -> None:
    """Raise a ValueError if step 0 cut the tiles that are there at another scale than this."""
    cut_at = scale_of_tiles(cyclegan_dir)
    if cut_at not in (None, scale):
        raise ValueError(
            f"The tiles in {cyclegan_dir} were cut at MICROGRAPH_SCALE = {cut_at:g}, but it is "
            f"{scale:g} now. Run {named('0')} and the steps after it again, or set it as it was."
        )


def _scale_of_outlines(options):
    """Return the scale that the outlines want and at which a tile fits every micrograph, or None.

    Where none fits as they are the scale is 1; of that the checks tell.
    """
    masks_dir = options.get("INPUT_DIR_MASKS")
    if masks_dir is None or folder_name(masks_dir):
        return None
    wanted = scale_for_outlines(masks_dir, options.get("INVERT_INPUT_MASKS") is True)
    tile = options.get("TILE_SIZE_H"), options.get("TILE_SIZE_W")
    if wanted is None or wanted >= 1 or not all(isinstance(side, int) for side in tile):
        return wanted
    sizes = _sizes_of_micrographs(options)
    times = round(1 / wanted)
    while times > 1 and not _fits(tile, sizes, _reduced(times)):
        times -= 1
    if (scale := _reduced(times)) != wanted:
        logger.warning(
            'MICROGRAPH_SCALE = "auto": your outlines are so large that the networks should see '
            "them at %g, but then a tile of %d x %d does not fit every micrograph, so they see "
            "them at %g. Few whole particles are in a tile then: smaller tiles (TILE_SIZE_H, "
            "TILE_SIZE_W), or larger micrographs, allow more",
            *(wanted, *tile, scale),
        )
    return scale


def _fits(tile, sizes, scale):
    """Return whether a tile (height, width) fits images of these sizes, so resized."""
    seen = [scaled_size(size, scale) for size in sizes]
    return all(size[0] >= tile[0] and size[1] >= tile[1] for size in seen)


def _sizes_of_micrographs(options):
    """Return the different (height, width) of the readable micrographs, without info bar."""
    images_dir, image_crop = options.get("INPUT_DIR_IMAGES"), options.get("IMAGE_CROP", "auto")
    sizes = set()
    if images_dir is not None and not folder_name(images_dir):
        with suppress(OSError):
            for file in progress(list_images(images_dir), "micrographs measured"):
                with suppress(OSError, ValueError, TypeError):
                    sizes.add(read_micrograph(file, image_crop).shape)
    return sizes


def _reduced(times):
    return round(1 / times, DECIMALS)


def scale_for_outlines(masks_dir: Path, invert: bool = False) -> float | None:
    """Return the scale that particles as large as the outlines in a folder want.

    It is 2, 3 or 4 if half of the outlines are below `SMALL_DIAMETER`, and a half, a third ... a
    tenth if so reduced no more than one in ten is below `WANTED_DIAMETER`; else 1. Elongated ones
    count as the compact ones that are as wide. None where none can be read. ``invert`` is for
    outlines that are black on white.
    """
    sizes = []
    try:
        files = list_images(masks_dir)
    except OSError:
        return None
    for file in files:
        with suppress(OSError, ValueError):  # of which the checks tell
            sizes += filter(None, [_size_of(read_mask(file, invert))])
    if not sizes:
        return None
    small_one, median = np.percentile(sizes, [10, 50])
    if median < SMALL_DIAMETER:
        return float(min(math.ceil(WANTED_DIAMETER / median), LARGEST_SCALE))
    return _reduced(min(max(1, int(small_one / WANTED_DIAMETER)), MOST_REDUCED))


def _size_of(outline):
    """Return the diameter of the circle of equal area, of an elongated particle that of a compact
    one as wide: what is too thin is smoothed away, and merged, however long it is. 0 for none."""
    area = np.count_nonzero(outline)
    width = 2 * distance_to_background(np.pad(outline, 1)).max()
    return min(2 * math.sqrt(area / math.pi), width / COMPACT)


def words_of(scale: float) -> str:
    """Return what to say after a size in pixels of resized images; nothing at 1."""
    return "" if scale == 1 else f", at MICROGRAPH_SCALE = {scale:g}"


def in_own_pixels(distance: int, scale: float) -> int:
    """Return a distance in pixels of resized micrographs in the micrographs' own, at least 1."""
    return max(1, round(distance / scale))

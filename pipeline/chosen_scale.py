"""The scale at which the networks see micrographs and outlines, where it is "auto"."""

import logging
from contextlib import suppress

from pipeline.checks.values import is_folder_name
from pipeline.image_files import list_images, read_micrograph
from pipeline.micrographs.micrograph_scale import AUTO, reduced, scale_for_outlines
from pipeline.micrographs.resampling import scaled_size
from pipeline.progress import progress
from pipeline.running.recorded_scales import scale_of_tiles
from pipeline.running.step_table import Call

logger = logging.getLogger(__name__)


def with_scale(options: dict, calls: list[Call] | None) -> tuple[dict, list[Call] | None]:
    """Return options and step calls with a number wherever MICROGRAPH_SCALE is "auto".

    Parameters
    ----------
    options : the options of StartProcess.py by name; some may be missing or wrong.
    calls : of the steps that will run; None for all steps.

    It is the scale that the outlines want (`scale_for_outlines`). Where step 0 is not to run, or no
    outline can be read, it is that of the tiles step 0 made before, so that a step that runs alone
    goes on as the others began. Without either it is 1.
    """
    asked = [options.get("MICROGRAPH_SCALE")]
    asked += [keywords.get("micrograph_scale") for *_, keywords in calls or []]
    if AUTO not in asked:
        return options, calls
    cuts_tiles = calls is None or any(number == "0" for number, *_ in calls)
    cyclegan_dir = options.get("CYCLEGAN_DIR")
    of_tiles = scale_of_tiles(cyclegan_dir) if is_folder_name(cyclegan_dir) else None
    scale = None if of_tiles and not cuts_tiles else _scale_of_outlines(options)
    scale = scale or of_tiles or 1.0
    if calls is not None:
        calls = [
            call._replace(keywords=call.keywords | {"micrograph_scale": scale})
            if call.keywords.get("micrograph_scale") == AUTO
            else call
            for call in map(Call._make, calls)
        ]
    if options.get("MICROGRAPH_SCALE") == AUTO:
        options = options | {"MICROGRAPH_SCALE": scale}
    return options, calls


def _scale_of_outlines(options):
    """Return the scale that the outlines want and at which a tile fits every micrograph, or None.

    Where none fits as they are the scale is 1; of that the checks tell.
    """
    masks_dir = options.get("INPUT_DIR_MASKS")
    if not is_folder_name(masks_dir):
        return None
    wanted = scale_for_outlines(masks_dir, options.get("INVERT_INPUT_MASKS") is True)
    tile = options.get("TILE_SIZE_H"), options.get("TILE_SIZE_W")
    if wanted is None or wanted >= 1 or not all(isinstance(side, int) for side in tile):
        return wanted
    sizes = _sizes_of_micrographs(options)
    times = round(1 / wanted)
    while times > 1 and not _fits(tile, sizes, reduced(times)):
        times -= 1
    if (scale := reduced(times)) != wanted:
        logger.warning(
            'MICROGRAPH_SCALE = "auto": your outlines are so large that the networks should see '
            "them at %g, but then a tile of %d x %d does not fit every micrograph, so they see "
            "them at %g. Fewer whole particles are in a tile then: smaller tiles (TILE_SIZE_H, "
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
    if is_folder_name(images_dir):
        with suppress(OSError):
            for file in progress(list_images(images_dir), "micrographs measured"):
                with suppress(OSError, ValueError, TypeError):
                    sizes.add(read_micrograph(file, image_crop).shape)
    return sizes

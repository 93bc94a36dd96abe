"""The true masks: each must be a mask or a label map, and belong to a micrograph."""

import contextlib
import logging
from pathlib import Path

from pipeline.checks.files import in_one_line, list_and_check_names
from pipeline.files.mask_pairs import list_masks, read_mask_or_labels
from pipeline.image_files import image_size, list_images, stem_of
from pipeline.particle_shapes import to_label_map
from pipeline.particles.label_maps import describe_inverted, surrounds_all
from pipeline.progress import progress
from pipeline.wording import counted, first_names

logger = logging.getLogger(__name__)


def check_true_masks(option: str, folder: Path, images_dir: Path | None = None) -> list[str]:
    """Read every true mask and return the problems; without the folder nothing is scored.

    ``images_dir`` holds the micrographs whose masks will be scored, None if that is not known.
    """
    with contextlib.suppress(PermissionError):  # which is told below
        if not Path(folder).exists():
            return []
    paths, problems = list_and_check_names(option, folder, 0, "true masks", list_masks)
    widths, inverted = {}, []
    for path in progress(paths, "true masks checked"):
        try:
            mask = read_mask_or_labels(path)
        except (ValueError, OSError) as error:
            problems.append(in_one_line(error))
            continue
        widths[path] = mask.shape[1]
        inverted += [path.name] if surrounds_all(to_label_map(mask)) else []
    if inverted:  # or particles that form a layer all over the image
        logger.warning("%s: %s", option, describe_inverted(inverted, len(widths), "true masks"))
    if images_dir:
        problems += _check_partners(option, folder, images_dir) + _check_widths(widths, images_dir)
    return problems


def _check_partners(option: str, folder: Path, images_dir: Path) -> list[str]:
    """Return the problem if true masks have no micrograph: step 8 would find no mask of it."""
    try:
        true_masks, micrographs = list_masks(folder), list_images(images_dir)
    except OSError:  # which is told of each folder by itself
        return []
    stems = {stem_of(path) for path in micrographs}
    lonely = [path.name for path in true_masks if stem_of(path) not in stems]
    if not lonely or not stems:
        return []
    shown = first_names(lonely)
    return [
        f"{option}: {counted(len(lonely), 'true mask')} in {folder} without a micrograph of the "
        f"same name (the ending may differ) in {images_dir}, so that step 8 would have nothing to "
        f"compare with: {shown}. Add the micrographs, rename the true masks, or remove them."
    ]


def _check_widths(widths: dict[Path, int], images_dir: Path) -> list[str]:
    """Return which true masks, by path and width, are not as wide as their micrographs."""
    try:
        micrographs = {stem_of(path): path for path in list_images(images_dir)}
    except OSError:  # which is told of the folder by itself
        return []
    problems = []
    for path, width in widths.items():
        micrograph = micrographs.get(stem_of(path))
        if micrograph is None:  # which is told by itself
            continue
        with contextlib.suppress(ValueError, OSError):  # of the micrograph it is told elsewhere
            if (expected := image_size(micrograph)[1]) != width:
                problems.append(
                    f"{path} is {width} pixels wide, {micrograph} {expected}; "
                    "allowed is the same width (rows may be missing at the bottom, where the info "
                    "bar is). Make the true mask from this micrograph, or remove it."
                )
    return problems

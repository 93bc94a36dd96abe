"""The true masks: each must be a mask or a label map, and belong to a micrograph or a mask."""

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


def check_true_masks(
    option: str, folder: Path, partners_dir: Path | None = None, partner: str = "micrograph"
) -> list[str]:
    """Read every true mask and return the problems; without the folder nothing is scored.

    ``partners_dir`` holds what the true masks belong to, None if that is not known: the micrographs
    whose masks will be made, or, where ``partner`` is "mask", the masks that are there.
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
    if partners_dir:
        with contextlib.suppress(OSError):  # which is told of each folder by itself
            true_masks = list_masks(folder)
            list_partners = list_masks if partner == "mask" else list_images
            partners = {stem_of(path): path for path in list_partners(partners_dir)}
            problems += _check_partners(option, folder, true_masks, partners, partners_dir, partner)
            problems += _check_widths(widths, partners)
    return problems


def _check_partners(option, folder, true_masks, partners, partners_dir, partner) -> list[str]:
    """Return the problem if true masks have no partner, by stem: step 8 would find no mask."""
    lonely = [path.name for path in true_masks if stem_of(path) not in partners]
    if not lonely or not partners:
        return []
    add = {"micrograph": "Add the micrographs", "mask": "Run step 6b on their micrographs"}
    return [
        f"{option}: {counted(len(lonely), 'true mask')} in {folder} without a {partner} of the "
        f"same name (the ending may differ) in {partners_dir}, so that step 8 would have nothing "
        f"to compare with: {first_names(lonely)}. {add[partner]}, rename the true masks, or remove "
        "them."
    ]


def _check_widths(widths, partners) -> list[str]:
    """Return which true masks, by path and width, are not as wide as their partners, by stem."""
    problems = []
    for path, width in widths.items():
        other = partners.get(stem_of(path))
        if other is None:  # which is told by itself
            continue
        with contextlib.suppress(ValueError, OSError):  # of the partner it is told elsewhere
            if (expected := image_size(other)[1]) != width:
                problems.append(
                    f"{path} is {width} pixels wide, {other} {expected}; "
                    "allowed is the same width (rows may be missing at the bottom, where the info "
                    "bar is). Make the true mask from the same micrograph, or remove it."
                )
    return problems

"""Where a mask is from: what step 6b made, and of what, stands in the file of its probabilities.

So it survives that folders are copied, and a run that is killed, and needs no file of its own.
"""

from pathlib import Path

import numpy as np
import tifffile

from pipeline.files.pixel_size import METADATA_ERRORS
from pipeline.files.written_images import digest_of
from pipeline.image_files import read_image
from pipeline.particles.label_maps import is_label_map

AS_SEGMENTED, CHANGED, UNKNOWN = "step 6b", "step 6b, changed since", "unknown"
OF_ANOTHER = "step 6b, of another micrograph"
PREFIX, OF = "probabilities of the mask ", " of the micrograph "


def raw_path_of(mask_path: Path) -> Path:
    """Return where the probabilities are that a mask was made from: ``<name>_raw.tif``."""
    return mask_path.with_name(f"{mask_path.stem}_raw.tif")


def description_of(mask: np.ndarray, micrograph: np.ndarray) -> str:
    """Return what to write into the file of the probabilities that a mask was made from.

    Of the mask, (h, w), counts which pixels are particle, so another white is no change; of the
    micrograph, the same rows, counts every value.
    """
    return PREFIX + digest_of(np.asarray(mask) > 0) + OF + digest_of(micrograph)


def origin_of(mask_path: Path, image_path: Path) -> str:
    """Return where a mask is from: `AS_SEGMENTED`, `CHANGED`, `OF_ANOTHER` or `UNKNOWN`.

    ``image_path`` is the micrograph that it is measured on. It is unknown where there are no
    probabilities, or none of this version's.
    """
    of_mask, of_micrograph, rows = _described(mask_path)
    if not of_mask:
        return UNKNOWN
    if digest_of(read_image(image_path)[:rows]) != of_micrograph:
        return OF_ANOTHER
    return AS_SEGMENTED if _is_same(mask_path, of_mask) else CHANGED


def is_changed(mask_path: Path) -> bool:
    """Return whether a mask was changed since step 6b made it, as far as that is known.

    One that cannot be read any more was.
    """
    of_mask, *_ = _described(mask_path)
    try:
        return bool(of_mask) and not _is_same(mask_path, of_mask)
    except (OSError, ValueError):
        return True


def _described(mask_path):
    """Return the digests of a mask as it was made and of its micrograph, "" where there is no
    description, and how many rows the mask has."""
    try:
        with tifffile.TiffFile(raw_path_of(mask_path)) as raw:
            description, rows = raw.pages.first.description, raw.pages.first.shape[0]
    except METADATA_ERRORS:
        return "", "", 0
    of_mask, _, of_micrograph = description.removeprefix(PREFIX).partition(OF)
    is_whole = description.startswith(PREFIX) and of_micrograph
    return (of_mask, of_micrograph, rows) if is_whole else ("", "", 0)


def _is_same(mask_path, of_mask):
    mask = read_image(mask_path)
    # Step 6b writes no label maps, in which particles may be cut by their numbers alone.
    return not is_label_map(mask) and digest_of(mask > 0) == of_mask

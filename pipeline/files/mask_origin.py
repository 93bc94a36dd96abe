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
    try:
        with tifffile.TiffFile(raw_path_of(mask_path)) as raw:
            description, rows = raw.pages.first.description, raw.pages.first.shape[0]
    except METADATA_ERRORS:
        return UNKNOWN
    of_mask, _, of_micrograph = description.removeprefix(PREFIX).partition(OF)
    if not (description.startswith(PREFIX) and of_micrograph):
        return UNKNOWN
    if digest_of(read_image(image_path)[:rows]) != of_micrograph:
        return OF_ANOTHER
    mask = read_image(mask_path)
    # Step 6b writes no label maps, in which particles may be cut by their numbers alone.
    is_same = not is_label_map(mask) and digest_of(mask > 0) == of_mask
    return AS_SEGMENTED if is_same else CHANGED

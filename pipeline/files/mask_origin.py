"""Whether a mask is still as step 6b made it: what it was stands in the file of its probabilities.

So it survives that folders are copied, and a run that is killed, and needs no file of its own.
"""

import hashlib
from pathlib import Path

import numpy as np
import tifffile

from pipeline.files.pixel_size import METADATA_ERRORS
from pipeline.image_files import read_image
from pipeline.particles.label_maps import is_label_map

AS_SEGMENTED, CHANGED, UNKNOWN = "step 6b", "step 6b, changed since", "unknown"
PREFIX = "probabilities of the mask "


def raw_path_of(mask_path: Path) -> Path:
    """Return where the probabilities are that a mask was made from: ``<name>_raw.tif``."""
    return mask_path.with_name(f"{mask_path.stem}_raw.tif")


def description_of(mask: np.ndarray) -> str:
    """Return what to write into the file of the probabilities that a mask, (h, w), was made from.

    Of the mask counts which pixels are particle, so another white is no change.
    """
    particle = np.asarray(mask) > 0
    digest = hashlib.blake2b(repr(particle.shape).encode(), digest_size=16)
    digest.update(np.packbits(particle).tobytes())
    return PREFIX + digest.hexdigest()


def origin_of(mask_path: Path) -> str:
    """Return where a mask is from: `AS_SEGMENTED`, `CHANGED` or `UNKNOWN`.

    It is unknown where there are no probabilities, or none of this version's.
    """
    try:
        with tifffile.TiffFile(raw_path_of(mask_path)) as raw:
            description = raw.pages.first.description
    except METADATA_ERRORS:
        return UNKNOWN
    if not description.startswith(PREFIX):
        return UNKNOWN
    mask = read_image(mask_path)
    # Step 6b writes no label maps, in which particles may be cut by their numbers alone.
    is_same = not is_label_map(mask) and description == description_of(mask)
    return AS_SEGMENTED if is_same else CHANGED

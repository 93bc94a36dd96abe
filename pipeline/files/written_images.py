"""Whether an image is still as this program wrote it: a digest of its pixels stands in its file.

So it is known of folders without records too: copied ones, and those of steps that were stopped.
"""

import hashlib
from pathlib import Path

import numpy as np
import tifffile

PREFIX = "pixels "


def digest_of(image: np.ndarray) -> str:
    """Return a digest of an image's shape, type and values."""
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    kind = f"{image.shape} {image.dtype.kind}{image.dtype.itemsize}"
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    digest.update(image.data)
    return digest.hexdigest()


def mark_of(image: np.ndarray) -> str:
    """Return the description that says of a TIFF which pixels it was written with."""
    return PREFIX + digest_of(image)


def is_as_written(path: Path) -> bool:
    """Return whether a file is a TIFF with a mark (`mark_of`), and has the pixels it was for.

    One that is compressed, or says that it holds more than it does, is not even decoded.
    """
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            is_ours = page.description.startswith(PREFIX) and len(file.pages) == 1
            is_plain = page.compression == tifffile.COMPRESSION.NONE
            if not (is_ours and is_plain and page.nbytes <= path.stat().st_size):
                return False
            return page.description == mark_of(page.asarray())
    except Exception:  # decoders raise whatever they run into in a damaged file
        return False

"""How uneven the backgrounds of real micrographs are, for fakes to be shown before them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.image_files import read_micrograph
from pipeline.micrographs.usual_contrast import UsualContrast

MICROGRAPHS_MEASURED = 100  # from all over the folder, if there are more
BACKGROUND = 5  # percentile: what is darker than particles, however many there are
WINDOW = 5  # pixels along each side, over which noise is averaged before


def backgrounds_of(
    micrographs: Sequence[Path],
    tile_shape: tuple[int, int],
    contrast_range: tuple[float, float] | None,
    dark_background: bool,
    image_crop: str | int | None,
    scale: float,
) -> np.ndarray:
    """Return the backgrounds all over the micrographs, as step 6b shows them to the UNet.

    Parameters
    ----------
    micrographs : their files, which are read one at a time, and resized by ``scale``.
    tile_shape : (height, width) of a training tile.
    contrast_range, dark_background : see `as_unet_sees`; ``image_crop``: see `read_micrograph`.

    Returns
    -------
    float32 (n, 2, 2, 2), see `measure_backgrounds`.
    """
    files = micrographs[:: -(-len(micrographs) // MICROGRAPHS_MEASURED)]
    contrast = UsualContrast(files, image_crop, contrast_range, dark_background, tile_shape, scale)
    backgrounds = []
    for file in files:
        seen = contrast.as_unet_sees(file, read_micrograph(file, image_crop))
        backgrounds.append(measure_backgrounds(seen, *tile_shape, dark_background))
    return np.concatenate(backgrounds)


def measure_backgrounds(
    micrograph: np.ndarray, height: int, width: int, dark_background: bool
) -> np.ndarray:
    """Return how bright the background of a micrograph is, place by place, and what is above it.

    A tile is stretched to its own range of grey, a micrograph as a whole: where its background is
    uneven, a network that has learned from tiles meets backgrounds it has never seen.

    Parameters
    ----------
    micrograph : (h, w), float32 in [0, 1], as the UNet is shown it: particles are bright.
    height, width : of a training tile, in pixels.
    dark_background : True if what makes a background brighter is added to the particles too, and
        uses up the range of grey for the whole micrograph (charge, stray electrons). False if it
        is light they take away (transmission), negated, which is less at that place alone.

    Returns
    -------
    float32 (n, 2, 2, 2): of each place, in four neighbouring windows, each one to two tiles wide
    and high, the background's level, and the range that is left for particles above it. An image of
    one window has one place, of four equal ones.
    """
    number = [
        max(size // side, 1) for size, side in zip(micrograph.shape, (height, width), strict=True)
    ]
    levels = np.array(
        [
            [background_level(window) for window in np.array_split(row, number[1], axis=1)]
            for row in np.array_split(micrograph, number[0])
        ]
    )
    levels = np.pad(levels, [(0, max(2 - count, 0)) for count in levels.shape], mode="edge")
    ranges = np.full_like(levels, 1 - levels.max()) if dark_background else 1 - levels
    windows = (np.lib.stride_tricks.sliding_window_view(a, (2, 2)) for a in (levels, ranges))
    return np.stack([of_places.reshape(-1, 2, 2) for of_places in windows], axis=-1)


def background_level(image: np.ndarray) -> np.float32:
    """Return how bright the background of an image (h, w) is."""
    return np.float32(np.percentile(cv2.blur(image, (WINDOW, WINDOW)), BACKGROUND))

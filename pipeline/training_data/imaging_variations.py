"""How the same particles look on another day: what a UNet must not learn from fake micrographs.

A generator draws all its micrographs with one sharpness, one noise and one way of shading, and it
hides traces of the masks in them that no real micrograph has (Chu et al., arXiv 1712.02950). A
network that is shown each of them blurred, noisy and shaded otherwise every time has to go by the
particles. Source: domain randomisation, Tobin et al., arXiv 1703.06907.
"""

import cv2
import numpy as np

LARGEST_BLUR = 1.5  # sigma in pixels
LEAST_BLUR = 0.3  # below it the kernel is one pixel
LARGEST_NOISE = 0.05  # standard deviation, as a share of the grey range
LARGEST_SHADE = 0.5  # share by which the brightness of a place may change
SHADE_CELLS = (2, 12)  # random places along each side, smoothly joined
BACKGROUND = 5  # percentile: what is darker than particles, however many there are
GRAIN = 5  # pixels along each side, over which noise is averaged before


def vary_imaging(images: np.ndarray, levels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return micrographs, float32 (b, h, w, 1) in [0, 1], each as if imaged otherwise.

    Each is multiplied by a smooth random field around 1, given the background of a random place in
    the real micrographs, blurred with a Gaussian, and given white noise. Field, blur and noise are
    of a strength drawn between none and its largest. Particles are bright, or negated to be.

    Parameters
    ----------
    levels : of the background in the real micrographs, see `background_levels`.
    """
    return np.stack([_vary_one(image[..., 0], levels, random) for image in images])[..., None]


def _vary_one(image, levels, random):
    own_level = _background_level(image)
    image = image * _shade(image.shape, random)
    image = _set_background(image, own_level, levels[random.integers(len(levels))])
    sigma = random.uniform(0, LARGEST_BLUR)
    if sigma > LEAST_BLUR:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = random.standard_normal(image.shape, np.float32)
    image = image + np.float32(random.uniform(0, LARGEST_NOISE)) * noise
    return np.clip(image, 0, 1)


def background_levels(micrograph: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return how bright the background of a micrograph is, place by place.

    A tile is stretched to its own range of grey, a micrograph as a whole: where its background is
    uneven, a network that has learned from tiles meets backgrounds it has never seen.

    Parameters
    ----------
    micrograph : (h, w), float32 in [0, 1], as the UNet is shown it.
    height, width : of a training tile, in pixels.

    Returns
    -------
    float32 (n, 2, 2): of each place the levels of four neighbouring windows, about as large as a
    tile. An image of one window has one place, of four equal levels.
    """
    number = [
        max(size // side, 1) for size, side in zip(micrograph.shape, (height, width), strict=True)
    ]
    levels = np.array(
        [
            [_background_level(window) for window in np.array_split(row, number[1], axis=1)]
            for row in np.array_split(micrograph, number[0])
        ]
    )
    levels = np.pad(levels, [(0, max(2 - count, 0)) for count in levels.shape], mode="edge")
    return np.lib.stride_tricks.sliding_window_view(levels, (2, 2)).reshape(-1, 2, 2)


def _background_level(image):
    return np.float32(np.percentile(cv2.blur(image, (GRAIN, GRAIN)), BACKGROUND))


def _set_background(image, own_level, levels):
    """Bring the background from one level to others, (2, 2), smoothly joined; white stays white.

    So a bright background, negated, is lit less, and a dark one has more behind it.
    """
    wanted = cv2.resize(levels, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return 1 - (1 - image) * ((1 - wanted) / max(1 - own_level, np.float32(0.1)))


def _shade(shape, random):
    """Return a smooth field around 1, float32, of random grain and strength."""
    cells = random.integers(*SHADE_CELLS, endpoint=True)
    coarse = random.uniform(-1, 1, (cells, cells)).astype(np.float32)
    field = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return 1 + np.float32(random.uniform(0, LARGEST_SHADE)) * field

"""How the same particles look on another day: what a UNet must not learn from fake micrographs.

A generator draws all its micrographs with one sharpness, one noise and one way of shading, and it
hides traces of the masks in them that no real micrograph has (Chu et al., arXiv 1712.02950). A
network that is shown each of them blurred, noisy and shaded otherwise every time has to go by the
particles. Source: domain randomisation, Tobin et al., arXiv 1703.06907.
"""

import cv2
import numpy as np

from pipeline.training_data.real_backgrounds import background_level

LARGEST_BLUR = 1.5  # sigma in pixels
LARGEST_GRAIN = 1.5  # sigma in pixels of the blur of the noise
LEAST_BLUR = 0.3  # below it the kernel is one pixel
LARGEST_NOISE = 0.05  # standard deviation, as a share of the grey range
LARGEST_SHADE = 0.5  # share by which the brightness of a place may change
SHADE_CELLS = (2, 12)  # random places along each side, smoothly joined


def vary_imaging(images: np.ndarray, places: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return micrographs, float32 (b, h, w, 1) in [0, 1], each as if imaged otherwise.

    Each is multiplied by a smooth random field around 1, given the background of a random place in
    the real micrographs, blurred with a Gaussian, and given noise, white or with a grain of more
    than a pixel, as detectors, slow scans and image compression leave it. Field, blur, grain and
    noise are of a strength drawn between none and its largest. Particles are bright, or negated to
    be.

    Parameters
    ----------
    places : backgrounds in the real micrographs, see `measure_backgrounds`.
    """
    return np.stack([_vary_one(image[..., 0], places, random) for image in images])[..., None]


def _vary_one(image, places, random):
    own_level = background_level(image)
    image = image * _shade(image.shape, random)
    place = places[random.integers(len(places))]
    image = _set_background(image, own_level, place, np.float32(random.uniform()))
    image = _blur(image, random.uniform(0, LARGEST_BLUR))
    noise = random.standard_normal(image.shape, np.float32)
    noise = _blur(noise, random.uniform(0, LARGEST_GRAIN))
    noise *= np.float32(random.uniform(0, LARGEST_NOISE)) / noise.std()
    image = image + noise
    return np.clip(image, 0, 1)


def _set_background(image, own_level, place, share):
    """Bring the background from one level to those of a place, (2, 2, 2), smoothly joined.

    Two windows differ by as much within half a tile, so it is steeper than in the micrograph. What
    is above it is scaled to the range that is left there, by ``share``; else so that white
    stays white.
    """
    place = cv2.resize(place, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    level, range_left = place[..., 0], place[..., 1]
    range_above = share * range_left + (1 - share) * (1 - level)
    return level + (image - own_level) * (range_above / max(1 - own_level, np.float32(0.1)))


def _blur(image, sigma):
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > LEAST_BLUR else image


def _shade(shape, random):
    """Return a smooth field around 1, float32, of random grain and strength."""
    cells = random.integers(*SHADE_CELLS, endpoint=True)
    coarse = random.uniform(-1, 1, (cells, cells)).astype(np.float32)
    field = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return 1 + np.float32(random.uniform(0, LARGEST_SHADE)) * field

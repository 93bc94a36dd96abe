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


def vary_imaging(
    images: np.ndarray, random: np.random.Generator, dark_background: bool
) -> np.ndarray:
    """Return micrographs, float32 (b, h, w, 1) in [0, 1], each as if imaged otherwise.

    Each is multiplied by a smooth random field around 1, blurred with a Gaussian, and given white
    noise, each of a strength drawn between none and its largest. Particles are bright in them:
    where they are not in the microscope (``dark_background`` False), the images are negatives, and
    what is multiplied is the original, whose bright background the illumination shades.
    """
    vary = [_vary_one(image[..., 0], random, dark_background) for image in images]
    return np.stack(vary)[..., None]


def _vary_one(image, random, dark_background):
    shade = _shade(image.shape, random)
    # A background near white has no room to become brighter, only what is around it darker.
    image = image * shade if dark_background else 1 - (1 - image) * (shade / shade.max())
    sigma = random.uniform(0, LARGEST_BLUR)
    if sigma > LEAST_BLUR:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = random.standard_normal(image.shape, np.float32)
    image = image + np.float32(random.uniform(0, LARGEST_NOISE)) * noise
    return np.clip(image, 0, 1)


def _shade(shape, random):
    """Return a smooth field around 1, float32, of random grain and strength."""
    cells = random.integers(*SHADE_CELLS, endpoint=True)
    coarse = random.uniform(-1, 1, (cells, cells)).astype(np.float32)
    field = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return 1 + np.float32(random.uniform(0, LARGEST_SHADE)) * field

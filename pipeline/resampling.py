"""Images and masks at another size: micrographs as the networks see them, masks on the way back."""

import cv2
import numpy as np

from pipeline.particle_masks import (
    label_particles,
    set_apart,
    to_four_connected,
    without_specks,
)

ON_OUTLINE = 1e-3  # pixels from it
# Sigma, in pixels of before, of the blur of outlines that are enlarged: without it the corners of
# pixels stay to be seen, and perimeters are 5 % too long.
SMOOTHING = 0.8


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return (height, width) in pixels of an image of ``size`` at a scale."""
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (h, w) at another size, (height, width), with no grey outside its range.

    uint8, uint16 and float32 stay what they are, other types become float64. An image that has the
    size already is returned as it is.
    """
    if image.shape == tuple(size):
        return image
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float64)
    smaller = size[0] * size[1] < image.size
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    resized = cv2.resize(image, size[::-1], interpolation=interpolation)
    return np.clip(resized, image.min(), image.max(), out=resized)


def at_scale(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image (h, w) enlarged, or reduced, by a factor; see `resize`."""
    return resize(image, scaled_size(image.shape, scale))


def mask_at_size(mask: np.ndarray, size: tuple[int, int], smallest: int = 1) -> np.ndarray:
    """Return a mask of separate particles, (h, w), at another size: uint8, 0 or 255.

    Outlines stay where they were, to a fraction of a pixel. Particles stay separate: where two
    would touch, a line of one pixel is left between them. Those of less than ``smallest`` pixels,
    at the new size, are left out. A mask that has the size already is returned as it is.
    """
    if mask.shape == tuple(size):
        return mask
    particle = (mask > 0).astype(np.uint8)
    inner, outer = (
        cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (particle, 1 - particle)
    )
    depth = inner - outer
    if size[0] * size[1] > mask.size:
        depth = _smooth(depth)
    depth = cv2.resize(depth, size[::-1], interpolation=cv2.INTER_LINEAR)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    labels = nearest_particles(label_particles(mask)[rows][:, columns])
    # Outlines may go right through the middles of pixels, half of them where the scale is 2: these
    # are every second particle's, so that sizes are right in the mean.
    labels[depth < np.where(labels % 2, -ON_OUTLINE, ON_OUTLINE)] = 0
    set_apart(labels)
    return without_specks(to_four_connected(labels), smallest)


def nearest_particles(labels: np.ndarray) -> np.ndarray:
    """Return of each pixel of a label map, int32 (h, w), the particle that is nearest to it."""
    background = (labels == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        background, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    particle_of = np.zeros(nearest.max() + 1, np.int32)
    particle_of[nearest[labels > 0]] = labels[labels > 0]
    return particle_of[nearest]


def _smooth(depth):
    """Return a blur of a map that keeps curved outlines in their place: twicing (Tukey, 1977)."""
    blurred = cv2.GaussianBlur(depth, (0, 0), SMOOTHING)
    return 2 * blurred - cv2.GaussianBlur(blurred, (0, 0), SMOOTHING)

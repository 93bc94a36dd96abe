"""Masks at another size: on the way back from what the networks see to the micrographs' pixels."""

import math

import cv2
import numpy as np

from pipeline.particle_masks import (
    as_mask,
    label_particles,
    set_apart,
    to_four_connected,
)
from pipeline.particles.contacts import particles_and_lines

# By how much a map changes a hundredth of a pixel to the right and seven thousandths below.
STEP_ASIDE = np.array([[0, -0.0035, 0], [-0.005, 0, 0.005], [0, 0.0035, 0]])
# Sigma, in pixels of before, of the blur of outlines that are enlarged: without it the corners of
# pixels stay to be seen, and perimeters are 5 % too long.
SMOOTHING = 0.8
CRUMB = 9  # pixels, of what is cut off a particle where lines are drawn anew


def mask_at_size(mask: np.ndarray, size: tuple[int, int], smallest: float = 1) -> np.ndarray:
    """Return a mask of separate particles, (h, w), at another size: uint8, 0 or 255.

    Outlines stay where they were, to a fraction of a pixel, and are smooth. Particles stay
    separate: where two would touch, or a line of one pixel was between them before they were
    enlarged, one of one pixel is left, and crumbs that it cuts off go with it. Those of less than
    ``smallest`` pixels, at the new size, are left out, and such as are smaller than a pixel was. A
    mask that has the size already is returned as it is.
    """
    if mask.shape == tuple(size):
        return mask
    labels = label_particles(mask)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    resized = nearest_particles(labels[rows][:, columns])
    _clear_outside(resized, labels > 0)
    if math.prod(size) > mask.size:
        is_left = np.bincount(resized.ravel(), minlength=labels.max() + 1) > 0
        labels[~is_left[labels]] = 0
        resized = nearest_particles(resized)
        _clear_outside(resized, particles_and_lines(labels))
    set_apart(resized)
    pixel_of_before = math.prod(size) // mask.size
    return _without_crumbs(to_four_connected(resized), max(smallest, pixel_of_before))


def _without_crumbs(labels, smallest):
    """Return the mask of a label map, without particles of less than ``smallest`` pixels, and
    without parts of less than `CRUMB` that are not the largest of their particle."""
    parts = label_particles(labels)
    areas = np.bincount(parts.ravel())
    particle_of = np.zeros(len(areas), int)
    particle_of[parts[labels > 0]] = labels[labels > 0]
    largest = np.zeros(particle_of.max() + 1, int)
    np.maximum.at(largest, particle_of[1:], areas[1:])
    is_largest = areas == largest[particle_of]
    stays = areas >= np.where(is_largest, smallest, max(CRUMB, smallest))
    stays[0] = False
    return as_mask(stays[parts])


def nearest_particles(labels: np.ndarray) -> np.ndarray:
    """Return, for each pixel of a label map, int32 (h, w), the particle that is nearest to it."""
    background = (labels == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        background, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    particle_of = np.zeros(nearest.max() + 1, np.int32)
    particle_of[nearest[labels > 0]] = labels[labels > 0]
    return particle_of[nearest]


def _clear_outside(resized, particle):
    """Clear, in place, what of a resized label map is outside a mask, bool of the size before."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (particle, ~particle)
    )
    depth = inside - outside
    if resized.size > particle.size:
        depth = _smooth(depth)
    depth = cv2.resize(depth, resized.shape[::-1], interpolation=cv2.INTER_LINEAR)
    # Outlines may go right through the middles of pixels, half of them where the scale is 2. Looked
    # at a little aside, to the right and below, pixels on an outline are a particle's at its left
    # and upper edge alone, as in computer graphics, so that its size is right; of every second
    # particle it is the other way round, so that places are right in the mean.
    aside = cv2.filter2D(depth, -1, STEP_ASIDE, borderType=cv2.BORDER_REPLICATE)
    np.negative(aside, out=aside, where=resized % 2 == 0)
    resized[depth + aside < 0] = 0


def _smooth(depth):
    """Return a blur of a map that keeps curved outlines in their place: twicing (Tukey, 1977)."""
    blurred = cv2.GaussianBlur(depth, (0, 0), SMOOTHING)
    return 2 * blurred - cv2.GaussianBlur(blurred, (0, 0), SMOOTHING)

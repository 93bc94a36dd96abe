"""Where particles are close to each other: what the UNet's loss can weigh, so that they stay apart.

Gaps are few of the pixels, so a network that paints them over loses little; but each makes two
particles one. Source: the border weight of Ronneberger et al., "U-Net", MICCAI 2015, arXiv
1505.04597, equation 2.
"""

import numpy as np
from scipy.ndimage import find_objects

from pipeline.particles.components import distance_to_background, widened

SIGMA = 5.0  # pixels, as published
REACH = 15  # pixels, three sigma: the widest gap that counts


def closeness_of_particles(labels: np.ndarray) -> np.ndarray:
    """Return exp(-(d1 + d2)² / (2 `SIGMA`²)) of each pixel: float32 (h, w) in [0, 1].

    d1 and d2 are its distances, in pixels, to the nearest and to the second nearest particle; in a
    particle d1 is 0. Where d1 + d2 is more than `REACH` it is 0. ``labels`` is a label map,
    integers (h, w), 0 the background.
    """
    nearest, second = np.full((2, *labels.shape), np.inf, np.float32)
    for label, box in enumerate(find_objects(labels.astype(np.int32)), start=1):
        if box is None:
            continue
        window = widened(box, REACH)
        distance = distance_to_background(labels[window] != label)
        second[window] = np.maximum(nearest[window], np.minimum(second[window], distance))
        nearest[window] = np.minimum(nearest[window], distance)
    both = nearest + second
    return np.where(both <= REACH, np.exp(-(both**2) / (2 * SIGMA**2)), 0).astype(np.float32)

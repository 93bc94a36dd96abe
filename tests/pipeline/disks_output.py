"""What a UNet would say of three known disks, and how alike a mask is to them."""

import numpy as np

SHAPE = (60, 120)
RADIUS = 14
TOUCHING, ALONE = ((30, 20), (30, 46)), (30, 104)  # the first two overlap by two pixels
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def distance_to(centre):
    return np.hypot(Y - centre[0], X - centre[1])


def network_output(radii=(RADIUS, RADIUS, 8), halo=3):
    """Return the (h, w, 2) output for three disks: probability, with a halo, and centrality."""
    probability = np.full(SHAPE, 0.2, np.float32)
    central = np.zeros(SHAPE, np.float32)
    for centre, radius in zip((*TOUCHING, ALONE), radii, strict=True):
        probability[distance_to(centre) <= radius + halo] = 0.35
    for centre, radius in zip((*TOUCHING, ALONE), radii, strict=True):
        probability[distance_to(centre) <= radius] = 0.7
        central = np.maximum(central, 1 - distance_to(centre) / radius)
    return np.stack([probability, central.astype(np.float32)], -1)


def disks(*pairs):
    return np.any([distance_to(centre) <= radius for centre, radius in pairs], axis=0)


def alike(mask, expected):
    """Return the IoU of two masks."""
    return np.count_nonzero((mask > 0) & expected) / np.count_nonzero((mask > 0) | expected)

"""Particles side by side in one layer: their thickness and their labels."""

import math
from collections.abc import Callable

import numpy as np

from pipeline.particle_masks import set_apart
from simulate.mask_image import number_consecutively
from simulate.particle_pile import MARGIN, draw_width, make_particle

SIDE = 512  # pixels, of the field of view
WIDTH = 18.0  # pixels, the median of particles that are spread
LARGEST_OVERLAP = 0.04  # share of a particle's outline


def spread_particles(rng: np.random.Generator, particles: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the thickness (float64, 1 takes 63 % of the electrons) and the labels of particles.

    Most lie in a few loose groups. They touch, but hardly overlap; in ``labels`` (uint16) those
    that touch are a pixel apart.
    """
    layer = _empty_layer()
    side = len(layer[0])
    groups = rng.integers(4, 9)
    middles = rng.uniform(2 * MARGIN, side - 2 * MARGIN, (groups, 2))
    spreads = rng.uniform(25, 60, groups)
    for number in range(1, 6 * particles):
        group = rng.integers(groups)
        middle = middles[group] + spreads[group] * rng.standard_normal(2)
        if rng.random() < 0.12:
            middle = rng.uniform(0, side, 2)
        height = make_particle(rng, draw_width(rng, WIDTH), rng.uniform(0.1, 0.4))
        darkness = np.exp(rng.normal(0, 0.3)) / (WIDTH / 2)
        particles -= _lay_beside(layer, number, middle, height, darkness)
        if not particles:
            break
    return _field_of_view(*layer)


def grow_rafts(
    rng: np.random.Generator, make: Callable, particles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness and labels as `spread_particles` does, of particles set against each other.

    ``make(rng)`` returns the heights of one; each starts a raft, one of a few, or is set beside
    a random one of it.
    """
    layer = _empty_layer()
    side = len(layer[0])
    rafts = [[] for _ in range(rng.integers(5, 12))]
    for number in range(1, 30 * particles):
        raft = rafts[rng.integers(len(rafts))]
        height = make(rng)
        if raft:
            middle, beside = raft[rng.integers(len(raft))]
            # From where it overlaps to where it leaves a gap: what touches is found by trying.
            reach = rng.uniform(0.4, 1.05) * (_extent(height) + _extent(beside)) / 2
            angle = rng.uniform(0, 2 * np.pi)
            middle = middle + reach * np.array([np.sin(angle), np.cos(angle)])
        else:
            middle = rng.uniform(MARGIN, side - MARGIN, 2)
        darkness = np.exp(rng.normal(0, 0.2)) / height.max()
        if _lay_beside(layer, number, middle, height, darkness):
            raft.append((middle, height))
            particles -= 1
        if not particles:
            break
    return _field_of_view(*layer)


def make_sphere(rng: np.random.Generator) -> np.ndarray:
    """Return the heights (float64) of a sphere 20 pixels across, with a deviation of 7 %."""
    return _capsule(rng.normal(20, 1.4), 0.0, 0.0)


def make_rod(rng: np.random.Generator) -> np.ndarray:
    """Return the heights (float64) of a rod with round ends, 9 to 13 pixels wide."""
    width = rng.uniform(9, 13)
    return _capsule(width, (rng.uniform(2.5, 5) - 1) * width, rng.uniform(0, np.pi))


def _capsule(width: float, straight: float, angle: float) -> np.ndarray:
    """Return twice the heights of a half cylinder with half spheres at both ends."""
    half = math.ceil((width + straight) / 2) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    along = np.maximum(np.abs(along) - straight / 2, 0)
    return 2 * np.sqrt(np.maximum((width / 2) ** 2 - along**2 - across**2, 0))


def _extent(height: np.ndarray) -> float:
    return np.sqrt(np.count_nonzero(height))


def _empty_layer() -> tuple[np.ndarray, np.ndarray]:
    """Return the thickness and the labels of a field without particles, with its margins."""
    side = SIDE + 2 * MARGIN
    return np.zeros((side, side)), np.zeros((side, side), np.int32)


def _lay_beside(
    layer: tuple[np.ndarray, np.ndarray],
    number: int,
    middle: np.ndarray,
    height: np.ndarray,
    darkness: float,
) -> bool:
    """Lay a particle into ``layer``, if it hardly overlaps others; return whether it was laid."""
    thickness, labels = layer
    top, left = np.rint(middle - len(height) / 2).astype(int)
    if min(top, left) < 0 or max(top, left) > len(labels) - len(height):
        return False
    place = np.s_[top : top + len(height), left : left + len(height)]
    inside = height > 0
    if np.mean(labels[place][inside] > 0) > LARGEST_OVERLAP:
        return False
    thickness[place] += darkness * height
    labels[place][inside & (labels[place] == 0)] = number
    return True


def _field_of_view(thickness: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    set_apart(labels)
    field = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return thickness[field], number_consecutively(labels[field])

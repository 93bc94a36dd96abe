"""From outlines, drawn by the WGAN or by hand, to particles that are ready to be placed."""

import math
from collections import namedtuple

import cv2
import numpy as np

ROTATIONS = ("DISABLE", "RANDOM", "PERLIN")

# Particles prepared once per set of masks. Scale and angle do not depend on the place, so each
# position draws from a library: ten times more particles than one image shows, and more outlines
# than a reader could tell apart. Only PERLIN rotation depends on the place: it has a library of
# its own for every second degree, finer than a pixel at the rim of a 64 pixel outline.
LIBRARY_SIZE = 4096
PERLIN_DIRECTIONS = np.linspace(-180, 180, 181)
PARTICLES_PER_DIRECTION = 32

# An opening with one of these smooths the rim and removes specks; two erosions then leave the core,
# so that a particle and those it touches stay two pixels apart: in the examples' labels too. The
# published square makes round particles angular, and leaves none of rods on the slant that are as
# wide as others that stay. (A disk for the erosions too, which takes more of slanted rims, was
# tried: see "A disk instead of a square" in benchmarks/notebook/masks_of_examples.md.)
NARROWEST = 9  # pixels; what is narrower is smoothed away
_FROM_CENTRE = np.arange(NARROWEST) - NARROWEST // 2
_DISTANCE = np.hypot(_FROM_CENTRE[:, None], _FROM_CENTRE)
SMOOTHINGS = {
    "DISK": (_DISTANCE <= NARROWEST / 2).astype(np.uint8),
    "SQUARE": np.ones((NARROWEST, NARROWEST), np.uint8),
}
DEFAULT_SMOOTHING = "DISK"
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
GAP = 2  # pixels, and erosions

# core, footprint: bool (height, width), the particle and what it clears around itself;
# top, left: where that window begins, relative to the particle's centre; area: pixels of the core.
Particle = namedtuple("Particle", "core footprint top left area")


# The options that `scale_limits` takes.
SCALING = (
    "use_normal_distribution",
    "scaling_mu",
    "scaling_sigma",
    "min_scaling",
    "max_scaling",
)


def scale_limits(
    *,
    use_normal_distribution: bool,
    scaling_mu: float,
    scaling_sigma: float,
    min_scaling: float,
    max_scaling: float,
) -> tuple[float, float]:
    """Return the smallest and the largest scale of particles."""
    if use_normal_distribution:
        return scaling_mu - 3 * scaling_sigma, scaling_mu + 3 * scaling_sigma
    return min_scaling, max_scaling


def scaling_of(options: dict) -> dict:
    """Return those of the options that `scale_limits` takes."""
    return {name: options[name] for name in SCALING}


def draw_scales(rng: np.random.Generator, number: int, **scaling) -> np.ndarray:
    """Return ``number`` scales, float64, normal or uniform, clipped to ``scale_limits``.

    ``scaling`` are the options that ``scale_limits`` takes.
    """
    low, high = scale_limits(**scaling)
    if not scaling["use_normal_distribution"]:
        return rng.uniform(low, high, number)
    scales = rng.normal(scaling["scaling_mu"], scaling["scaling_sigma"], number)
    return np.clip(scales, low, high)


def prepare_library(
    rng: np.random.Generator,
    outlines: np.ndarray,
    use_random_rotation: str,
    smoothing: str = DEFAULT_SMOOTHING,
    **scaling,
) -> list[list[Particle]]:
    """Return particles to draw from, every outline used equally often.

    Parameters
    ----------
    rng : source of scales and angles.
    outlines : uint8 (n, height, width), particles white on black.
    use_random_rotation : "DISABLE", "RANDOM" (one angle from 0 to 359 degrees per particle), or
        "PERLIN".
    smoothing : of `SMOOTHINGS`.
    scaling : the options that ``scale_limits`` takes.

    Returns
    -------
    One list of particles; for "PERLIN" one for each of ``PERLIN_DIRECTIONS``. Particles whose
    core is empty are among them: they stand for positions that stay free.

    Raises
    ------
    ValueError
        If there is no such rotation.
    """
    if use_random_rotation not in ROTATIONS:
        raise ValueError(
            f"use_random_rotation is {use_random_rotation!r}; it must be one of {ROTATIONS}."
        )
    if use_random_rotation == "PERLIN":
        angles = np.repeat(PERLIN_DIRECTIONS, PARTICLES_PER_DIRECTION)
    elif use_random_rotation == "RANDOM":
        angles = rng.integers(0, 360, LIBRARY_SIZE)
    else:
        angles = np.zeros(LIBRARY_SIZE)
    scales = draw_scales(rng, len(angles), **scaling)
    chosen = rng.permutation(np.arange(len(angles)) % len(outlines))
    particles = [
        prepare_particle(outlines[index], float(scale), float(angle), smoothing)
        for index, scale, angle in zip(chosen, scales, angles, strict=True)
    ]
    size = PARTICLES_PER_DIRECTION if use_random_rotation == "PERLIN" else LIBRARY_SIZE
    return [particles[start : start + size] for start in range(0, len(particles), size)]


def prepare_particle(
    outline: np.ndarray, scale: float, angle: float, smoothing: str = DEFAULT_SMOOTHING
) -> Particle:
    """Return the particle that an outline makes at a scale and an angle (degrees).

    ``outline`` is uint8 (height, width); ``smoothing`` one of `SMOOTHINGS`. The window of the
    result holds the footprint exactly; it is (0, 0) where no core is left.
    """
    grey = transform_outline(outline, scale, angle)
    core, footprint = carve_core(grey, smoothing)
    area = cv2.countNonZero(core)
    if area == 0:
        nothing = np.zeros((0, 0), bool)
        return Particle(nothing, nothing, 0, 0, 0)
    left, top, width, height = cv2.boundingRect(footprint)
    window = np.s_[top : top + height, left : left + width]
    return Particle(
        core[window].astype(bool),
        footprint[window].astype(bool),
        top - grey.shape[0] // 2,
        left - grey.shape[1] // 2,
        area,
    )


def reach_of(library: list[list[Particle]]) -> int:
    """Return how far the particles of a library reach from their centres, at most, in pixels."""
    edges = (
        (-top, -left, top + core.shape[0], left + core.shape[1])
        for group in library
        for core, _, top, left, _ in group
    )
    return max(map(max, edges), default=0)


def typical_core_diameter(
    outlines: list[np.ndarray], scale: float, smoothing: str = DEFAULT_SMOOTHING
) -> float:
    """Return the median diameter, pixels, of circles as large as the cores that outlines, uint8
    (height, width), leave at a scale; 0 where most leave none, or there is no outline."""
    areas = [prepare_particle(outline, scale, 0.0, smoothing).area for outline in outlines]
    return 2 * math.sqrt(np.median(areas or [0]) / math.pi)


def share_kept(outline: np.ndarray, scale: float, smoothing: str = DEFAULT_SMOOTHING) -> float:
    """Return which share of an outline's area, uint8 (height, width), smoothing leaves at a scale.

    Parts narrower than `NARROWEST` go, such as the arms of a star. 0 of an outline without area.
    """
    grey = transform_outline(outline, scale, 0.0)
    whole = np.count_nonzero(fill_from_corner((grey > 127).astype(np.uint8)))
    return np.count_nonzero(carve_core(grey, smoothing)[1]) / whole if whole else 0.0


def transform_outline(outline: np.ndarray, scale: float, angle: float) -> np.ndarray:
    """Return an outline scaled and rotated (degrees, counterclockwise) about its centre.

    The result, uint8, is grown to hold the whole outline inside a rim of background wide enough
    for the opening. Its sides keep the parity of the outline's, so that scale 1 and angle 0 give
    the outline's pixels back.
    """
    height, width = outline.shape
    cosine = abs(math.cos(math.radians(angle)))
    sine = abs(math.sin(math.radians(angle)))
    rim = NARROWEST // 2 + 1
    more_rows = math.ceil((scale * (height * cosine + width * sine) - height) / 2) + rim
    more_columns = math.ceil((scale * (height * sine + width * cosine) - width) / 2) + rim
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += more_columns, more_rows
    grown = (width + 2 * more_columns, height + 2 * more_rows)
    return cv2.warpAffine(outline, matrix, grown, flags=cv2.INTER_LINEAR)


def fill_from_corner(mask: np.ndarray) -> np.ndarray:
    """Return a mask, uint8 0 or 1, with its holes filled.

    A hole is what a flood from the upper left corner, which must be background, does not reach.
    """
    flooded = mask.copy()
    cv2.floodFill(flooded, None, (0, 0), 2)
    return (flooded != 2).astype(np.uint8)


def carve_core(
    grey: np.ndarray, smoothing: str = DEFAULT_SMOOTHING
) -> tuple[np.ndarray, np.ndarray]:
    """Return a particle's core and its footprint, uint8 0 or 1, from a grey outline.

    The footprint is the outline (grey > 127) with its holes filled, opened; the core is the
    footprint less two pixels. ``grey`` is uint8 (height, width) with a rim of background.
    """
    filled = fill_from_corner((grey > 127).astype(np.uint8))
    footprint = cv2.morphologyEx(filled, cv2.MORPH_OPEN, SMOOTHINGS[smoothing])
    return cv2.erode(footprint, CROSS, iterations=GAP), footprint

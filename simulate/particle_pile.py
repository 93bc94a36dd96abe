"""Irregular particles and their piles: heights and true labels for synthetic micrographs."""

import math

import cv2
import numpy as np

from simulate.micrograph import contact_shadow, make_emission
from simulate.outlines import CROSS, GAP

MARGIN = 48  # pixels around the field of view, so that the frame cuts particles as it does in life
WIDTH_RANGE = (15, 38)  # pixels, of single particles
PLACES_TRIED = 6  # for a particle, until it hides none

LEAST_VISIBLE_SHARE = 0.45  # of a particle; with less to be seen nobody could outline it
LARGEST_SLIVER = 16  # pixels of a particle that one on top of it may cut off


def draw_width(rng: np.random.Generator, median: float) -> float:
    """Return a particle's width in pixels, log-normal within `WIDTH_RANGE`."""
    return float(np.clip(median * np.exp(rng.normal(0, 0.25)), *WIDTH_RANGE))


def make_particle(rng: np.random.Generator, width: float, angularity: float) -> np.ndarray:
    """Return the height above its base of one irregular, faceted, mostly convex particle.

    The silhouette is a rounded polygon (the p-norm over its sides), the top a dome cut by
    tilted facets, both softened.

    Parameters
    ----------
    rng : source of the shape.
    width : geometric mean of its largest and smallest diameter, about, in pixels.
    angularity : 0 (pebbles) to 1 (sharp crystals).

    Returns
    -------
    float64 (size, size), heights in pixels, 0 outside the particle, which is centred.
    """
    half = math.ceil(0.9 * width) + 1 + GAP
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / (width / 2)
    angle, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.6) ** 0.5
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    x, y = x / aspect, y * aspect
    # A low-order wobble of the radius takes the strict convexity away.
    orders = np.arange(2, 7)[:, None, None]
    phases = rng.uniform(0, 2 * np.pi, orders.shape)
    amounts = rng.normal(0, 0.032, orders.shape) / orders**0.5
    radius = 1 + (amounts * np.cos(orders * np.arctan2(y, x) + phases)).sum(axis=0)
    x, y = x / radius, y / radius

    sides = rng.integers(6, 10)
    directions = 2 * np.pi * (np.arange(sides) + rng.uniform(-0.3, 0.3, sides)) / sides
    distances = rng.uniform(0.84, 1.04, sides)[:, None, None]
    outward = np.cos(directions)[:, None, None] * x + np.sin(directions)[:, None, None] * y
    power = rng.uniform(4, 6) + 14 * angularity
    gauge = (np.maximum(outward / distances, 0) ** power).sum(axis=0) ** (1 / power)  # 1: its edge

    dome_power = rng.uniform(1.8, 2.6) + angularity
    tops = [np.maximum(1 - gauge**dome_power, 0) ** (1 / dome_power)]
    for _ in range(rng.integers(2, 5)):
        tilt, direction = rng.uniform(0.15, 0.9), rng.uniform(0, 2 * np.pi)
        slope = tilt * (np.cos(direction) * x + np.sin(direction) * y)
        tops.append(np.maximum(rng.uniform(0.6, 1.0) - slope, 0.05))
    softness = 0.09 - 0.06 * angularity
    top = softness - softness * np.log(np.exp(-np.array(tops) / softness).sum(axis=0))
    return np.where(gauge < 1, rng.uniform(0.3, 0.5) * width * np.maximum(top, 0.02), 0.0)


def pile_up(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    particles: int,
    particle_width: float,
    agglomerates: int,
    isolated: int,
    compactness: float,
    angularity: float,
    edge_effect: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pile up particles: some stand apart, the others grow agglomerates, one by one.

    A particle is set against a random earlier one of its agglomerate, one in three is pushed
    below the others. Where that would hide one, another place is tried, at most `PLACES_TRIED`.

    Parameters
    ----------
    rng, shape : source of all that is random; (height, width), the margins included.
    others : see `simulate.examples.make_example`.

    Returns
    -------
    labels : int32 (height, width), 0 the background; touching particles stand apart.
    surface : float64, height in pixels.
    emission : float64, secondary electrons; 0 where there is no particle.
    """
    pile = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
    earlier = [None]  # (box, area) of every particle, by label
    groups = [[(start, 0.0)] for start in spread_out(rng, shape, agglomerates + isolated)]
    for index in range(particles):
        group = groups[index if index < len(groups) else rng.integers(agglomerates)]
        width = draw_width(rng, particle_width)
        height = make_particle(rng, width, angularity)
        emission = make_emission(rng, height, edge_effect)
        for _ in range(PLACES_TRIED):
            centre = place_beside(rng, group, width, compactness)
            if lay_down(pile, earlier, height, emission, centre, below=rng.random() < 1 / 3):
                group.append((centre, width))
                break
    return pile


def spread_out(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """Return ``count`` positions (y, x) apart from each other, none in the margin."""
    inner = np.array(shape) - MARGIN
    chosen = rng.uniform(MARGIN, inner, (1, 2))
    for _ in range(count - 1):
        places = rng.uniform(MARGIN, inner, (5, 2))
        away = np.linalg.norm(places[:, None] - chosen, axis=2).min(axis=1)
        chosen = np.vstack([chosen, places[away.argmax()]])
    return chosen


def place_beside(
    rng: np.random.Generator,
    group: list[tuple[np.ndarray, float]],
    width: float,
    compactness: float,
) -> np.ndarray:
    """Return a place (y, x) for a particle that touches or overlaps one of its agglomerate.

    ``group`` is the agglomerate's seed, then (centre, width) of its particles. Of a few places
    the nearest to the seed is taken, so ``compactness`` 1 gives heaps, 0 branched chains.
    """
    seed = group[0][0]
    if len(group) == 1:
        return seed
    tries = 1 + round(4 * compactness)
    members = [group[index] for index in rng.integers(1, len(group), tries)]
    angles = rng.uniform(0, 2 * np.pi, tries)
    reach = rng.uniform(0.68, 1.0, tries) * [(other + width) / 2 for _, other in members]
    places = reach[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    places += [centre for centre, _ in members]
    return places[np.linalg.norm(places - seed, axis=1).argmin()]


def lay_down(
    pile: tuple[np.ndarray, np.ndarray, np.ndarray],
    earlier: list,
    height: np.ndarray,
    shine: np.ndarray,
    centre: np.ndarray,
    below: bool,
) -> bool:
    """Lay one particle on top of the others, or below them, if all stay recognisable.

    ``pile`` (see `pile_up`) and ``earlier`` ((box, area) of the whole particles, by label) are
    changed in place. Returns whether the particle was laid down.
    """
    labels, surface, emission = pile
    half, (y, x) = len(height) // 2, np.rint(centre).astype(int)
    if min(y, x) < half or y + half >= labels.shape[0] or x + half >= labels.shape[1]:
        return False
    box = np.s_[y - half : y + half + 1, x - half : x + half + 1]
    inside, occupied = height > 0, emission[box] > 0
    shown = inside & ~widen(occupied) if below else inside
    covered = np.zeros(labels.shape, bool)
    covered[box] = False if below else widen(inside)

    hidden = np.unique(labels[box][covered[box]])
    visible = [(shown, int(inside.sum()))]
    for label in hidden[hidden > 0]:
        place, area = earlier[label]
        visible.append(((labels[place] == label) & ~covered[place], area))
    if not all(is_recognisable(part, area) for part, area in visible):
        return False
    labels[covered] = 0
    labels[box][shown] = len(earlier)
    earlier.append((box, int(inside.sum())))
    paint(surface[box], emission[box], height, shine, below)
    return True


def paint(
    surface: np.ndarray, emission: np.ndarray, height: np.ndarray, shine: np.ndarray, below: bool
) -> None:
    """Add one particle to the pile's ``surface`` and ``emission`` in its box, in place.

    On top it rests on the others, catches more electrons, and they shine through a little.
    Whatever lies above throws its shadow on what it touches.
    """
    inside, occupied = height > 0, emission > 0
    if below:
        painted = inside & ~occupied
        surface[painted] = height[painted]
        emission[painted] = (contact_shadow(occupied) * shine)[painted]
        return
    rest = 0.6 * surface[inside].mean()
    raised = np.maximum(surface, rest + height)
    through = np.where(occupied, 0.14, 0.0)
    shine = (1 - through) * (1 + 0.012 * min(rest, 12)) * shine + through * emission
    surface[:] = np.where(inside, raised, surface)
    emission[:] = np.where(inside, shine, contact_shadow(inside) * emission)


def is_recognisable(part: np.ndarray, area: int) -> bool:
    """Tell whether the visible part (bool) of a particle shows what it is.

    Its largest 4-connected region must have `LEAST_VISIBLE_SHARE` of the area, all others
    together no more than `LARGEST_SLIVER` pixels.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(part.astype(np.uint8), connectivity=4)
    regions = stats[1:, cv2.CC_STAT_AREA]
    if len(regions) == 0 or regions.max() < LEAST_VISIBLE_SHARE * area:
        return False
    return bool(regions.sum() - regions.max() <= LARGEST_SLIVER)


def widen(mask: np.ndarray) -> np.ndarray:
    """Return a mask with the gap that separates touching particles added around it."""
    return cv2.dilate(mask.astype(np.uint8), CROSS, iterations=GAP) > 0

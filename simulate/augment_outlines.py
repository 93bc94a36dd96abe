"""New outlines from given ones, without learning: stretched, turned a little, and bent smoothly.

Source of the elastic deformation: Simard, Steinkraus and Platt, ICDAR 2003 (a smoothed random
displacement field).
"""

import cv2
import numpy as np

TURN = 15.0  # degrees at most; particles of micrographs may have a preferred direction
STRETCH = 0.08  # standard deviations of the logarithm: along one direction, and of the size
SIZE = 0.05
BEND = 0.03  # root mean square of the displacement along each axis, and
BEND_LENGTH = 0.2  # its length of correlation, both in diameters of the particle
SMOOTH = 1.0  # pixels, so that a turned rim has no steps
ROOM = 0.15  # of a particle's extent, on each side, to grow into
TRIES = 10  # for a version that stays one piece, inside the frame


def augment_outlines(rng: np.random.Generator, outlines: np.ndarray, number: int) -> np.ndarray:
    """Return ``number`` new outlines, uint8 (number, h, w), every given one used equally often
    (or once at most, if they are more).

    ``outlines`` is uint8 (n, h, w), one particle each, white on black. Where one leaves too little
    room in its frame to grow, all frames are enlarged, so that the new ones may be too. A version
    that falls apart or leaves the frame is drawn again; where that fails too often, the outline is
    only mirrored.
    """
    outlines = _with_room(outlines)
    if number < len(outlines):
        chosen = rng.choice(len(outlines), number, replace=False)
    else:
        chosen = rng.permutation(np.arange(number) % len(outlines))
    return np.stack([_augment(rng, outlines[index]) for index in chosen])


def _with_room(outlines):
    """Return outlines (n, h, w) in frames in which each has `ROOM` on all sides."""
    missing = 0.0
    for outline in outlines:
        for axis in (0, 1):
            places = np.flatnonzero((outline > 127).any(axis=1 - axis))
            if len(places):
                margin = min(places[0], outline.shape[axis] - 1 - places[-1])
                missing = max(missing, ROOM * (places[-1] + 1 - places[0]) - margin)
    pad = int(np.ceil(missing))
    return np.pad(outlines, [(0, 0), (pad, pad), (pad, pad)]) if pad else outlines


def _augment(rng: np.random.Generator, outline: np.ndarray) -> np.ndarray:
    mirrored = np.ascontiguousarray(outline[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))])
    for _ in range(TRIES):
        deformed = deform(rng, mirrored)
        if is_one_particle(deformed > 127):
            return deformed
    return mirrored


def deform(rng: np.random.Generator, outline: np.ndarray) -> np.ndarray:
    """Return an outline, uint8 (h, w), under a random affine and elastic deformation.

    It stays about its own centre of mass; where that comes from beyond the frame is background.
    """
    inside = outline > 127
    rows, columns = np.nonzero(inside)
    centre = np.array([columns.mean(), rows.mean()])
    diameter = np.sqrt(4 * len(rows) / np.pi)
    # Where each pixel comes from: the inverse of what happens to the particle.
    size, stretch = np.exp(rng.normal(0, (SIZE, STRETCH)))
    along = _rotation(rng.uniform(0, 180))
    turn = _rotation(rng.uniform(-TURN, TURN))
    inverse = along.T @ np.diag([stretch, 1 / stretch]) @ along @ turn / size
    place = np.stack(np.meshgrid(*map(np.arange, inside.shape[::-1])), -1) - centre
    source = place @ inverse.T + centre
    bend = rng.standard_normal((*inside.shape, 2), dtype=np.float32)
    bend = cv2.GaussianBlur(bend, (0, 0), max(BEND_LENGTH * diameter, 1.0))
    source += bend * (BEND * diameter / max(bend.std(), 1e-6))
    soft = cv2.GaussianBlur(outline, (0, 0), SMOOTH)
    return cv2.remap(soft, *np.moveaxis(source.astype(np.float32), -1, 0), cv2.INTER_LINEAR)


def _rotation(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def is_one_particle(mask: np.ndarray) -> bool:
    """Return whether a mask, bool (h, w), shows one particle that does not touch the frame."""
    frame = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    if any(side.any() for side in frame):
        return False
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2

"""The shipped examples: synthetic micrographs with their true label maps, and outlines."""

from collections.abc import Callable

import cv2
import numpy as np

from simulate.micrograph import expose
from simulate.particle_pile import MARGIN, draw_width, make_particle, pile_up, widen

SEED = 2021
OUTLINE_SIZE = 64  # pixels
INFO_BAR_HEIGHT = 44  # pixels
SMALLEST_VISIBLE_AREA = 60  # pixels; less of a particle, cut by the frame, is in no label map

# What tells the examples apart, in the words of `make_example`; the rest follows from the seed.
EXAMPLES = {
    "example_1.png": {"particles": 170},
    "example_2.tif": {
        "bits": 16,
        "particles": 170,
        "particle_width": 27,
        "agglomerates": 9,
        "compactness": 0.9,
        "angularity": 0.8,
        "background": 0.45,
    },
    "example_3.png": {
        "height": 400,
        "width": 560,
        "particles": 140,
        "agglomerates": 12,
        "isolated": 8,
        "compactness": 0.2,
        "angularity": 0.2,
    },
    "example_4.png": {
        "info_bar": True,
        "height": 428,
        "particles": 160,
        "particle_width": 25,
        "agglomerates": 11,
        "gradient": 0.35,
    },
    "example_5.tif": {
        "height": 360,
        "width": 480,
        "particles": 185,
        "particle_width": 20,
        "agglomerates": 14,
        "angularity": 0.6,
        "texture": 1.3,
    },
    "example_6.png": {
        "particles": 150,
        "particle_width": 30,
        "agglomerates": 8,
        "compactness": 0.7,
        "angularity": 0.3,
        "edge_effect": 1.2,
        "defocus": 1.2,
    },
    "example_7.tif": {
        "height": 420,
        "width": 520,
        "particles": 150,
        "agglomerates": 16,
        "isolated": 16,
        "background": 0.36,
        "dose": 55,
    },
    "example_8.png": {
        "width": 544,
        "particles": 175,
        "particle_width": 22,
        "agglomerates": 13,
        "angularity": 0.9,
        "gradient": 0.3,
    },
}


def make_example_particle(rng: np.random.Generator) -> np.ndarray:
    """Return the heights of one particle as the examples show them; see `make_particle`."""
    return make_particle(rng, draw_width(rng, 24.0), rng.uniform(0.2, 0.9))


def make_examples(seed: int = SEED) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (file name, micrograph, labels) of every shipped example; see `make_example`."""
    return [
        (name, *make_example(np.random.default_rng([seed, index]), **options))
        for index, (name, options) in enumerate(EXAMPLES.items())
    ]


def make_outlines(
    seed: int = SEED, count: int = 24, make: Callable = make_example_particle
) -> list[tuple[str, np.ndarray]]:
    """Return (file name, outline) pairs: one whole particle each, 255 on 0, uint8 (64, 64).

    They are drawn as by hand, along the outside of the bright edge: the gap that will stand
    between touching particles belongs to them. ``make(rng)`` returns a particle's heights.
    """
    outlines = []
    for index in range(count):
        rng = np.random.default_rng([seed, len(EXAMPLES), index])
        inside = widen(make(rng) > 0)
        rows, columns = np.nonzero(inside)
        top, left = rows.min(), columns.min()
        particle = inside[top : rows.max() + 1, left : columns.max() + 1]
        outline = np.zeros((OUTLINE_SIZE, OUTLINE_SIZE), np.uint8)
        top, left = (OUTLINE_SIZE - np.array(particle.shape)) // 2
        outline[top : top + particle.shape[0], left : left + particle.shape[1]] = (
            np.uint8(255) * particle
        )
        outlines.append((f"outline_{index + 1:02d}.png", outline))
    return outlines


def make_example(
    rng: np.random.Generator,
    *,
    height: int = 384,
    width: int = 512,
    particles: int = 170,
    particle_width: float = 24.0,
    agglomerates: int = 10,
    isolated: int = 5,
    compactness: float = 0.6,
    angularity: float = 0.5,
    edge_effect: float = 1.0,
    background: float = 0.4,
    texture: float = 1.0,
    gradient: float = 0.2,
    defocus: float = 0.8,
    dose: float = 90.0,
    bits: int = 8,
    info_bar: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a synthetic micrograph and its label map.

    Parameters
    ----------
    rng : source of all that is random.
    height, width : of the image in pixels, the info bar included.
    particles : how many are laid down, at most; a good half of them is in the field of view.
    particle_width : median in pixels; single ones have 15 to 38.
    agglomerates, isolated : number of agglomerates, and of particles on their own.
    compactness : of the agglomerates, 0 (branched chains) to 1 (heaps).
    angularity : 0 (pebbles) to 1 (sharp crystals).
    edge_effect : brightness of steep edges, 1 for the usual.
    background, texture, gradient, defocus, dose : see `simulate.micrograph.expose`.
    bits : 8 or 16.
    info_bar : whether the microscope's data stand in a dark bar at the bottom.

    Returns
    -------
    micrograph : uint8 or uint16 (height, width).
    labels : uint16 (height, width), 0 the background and the info bar; touching particles
        stand apart, so that in ``labels > 0`` each is a 4-connected region of its own.
    """
    field_height = height - INFO_BAR_HEIGHT * info_bar
    labels, surface, emission = pile_up(
        rng,
        (field_height + 2 * MARGIN, width + 2 * MARGIN),
        particles=particles,
        particle_width=particle_width,
        agglomerates=agglomerates,
        isolated=isolated,
        compactness=compactness,
        angularity=angularity,
        edge_effect=edge_effect,
    )
    signal = expose(
        rng,
        surface,
        emission,
        background=background,
        texture=texture,
        gradient=gradient,
        defocus=defocus,
        dose=dose,
    )
    inner = np.s_[MARGIN : MARGIN + field_height, MARGIN : MARGIN + width]
    micrograph, labels = signal[inner], number_particles(labels[inner])
    if info_bar:
        micrograph = np.vstack([micrograph, draw_info_bar(width) / 255])
        labels = np.pad(labels, [(0, INFO_BAR_HEIGHT), (0, 0)])
    return np.rint(micrograph * (2**bits - 1)).astype(f"uint{bits}"), labels


def number_particles(labels: np.ndarray) -> np.ndarray:
    """Return labels numbered 1 to n (uint16), each the largest 4-connected part of its particle.

    Parts below `SMALLEST_VISIBLE_AREA` are left out. Particles must stand apart in ``labels``.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(
        (labels > 0).astype(np.uint8), connectivity=4
    )
    label_of_part = np.zeros(len(stats), labels.dtype)
    label_of_part[parts] = labels
    largest_first = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable") + 1
    _, first = np.unique(label_of_part[largest_first], return_index=True)
    kept = np.sort(largest_first[first])
    kept = kept[stats[kept, cv2.CC_STAT_AREA] >= SMALLEST_VISIBLE_AREA]
    number_of_part = np.zeros(len(stats), np.uint16)
    number_of_part[kept] = np.arange(1, len(kept) + 1)
    return number_of_part[parts]


def draw_info_bar(width: int) -> np.ndarray:
    """Return a dark bar (uint8) with a scale bar and some lines as microscopes write them."""
    bar = np.zeros((INFO_BAR_HEIGHT, width), np.uint8)
    columns = {
        12: ("Synthetic", "example"),
        120: ("EHT = 10.00 kV", "WD = 4.1 mm"),
        262: ("Signal A = SE2", "Mag = 50.00 K X"),
        width - 88: ("200 nm",),
    }
    for x, lines in columns.items():
        for y, text in zip((17, 35), lines, strict=False):
            cv2.putText(bar, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 235, 1, cv2.LINE_AA)
    left, right = width - 88, width - 48
    for start, end in [
        ((left, 31), (right, 31)),
        ((left, 26), (left, 36)),
        ((right, 26), (right, 36)),
    ]:
        cv2.line(bar, start, end, 235, 2)
    return bar

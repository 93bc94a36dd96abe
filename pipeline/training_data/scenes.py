"""What a scene looks like, whether photographed or simulated: how much particles cover, in how
large agglomerates, and how large single ones are.

The same measures are taken of micrographs and of simulated masks, so that what biases them
(agglomerates cut by the tile's edge) biases both alike; for single particles see
``single_particles.py``.
"""

from collections import namedtuple

import numpy as np

from pipeline.training_data.single_particles import find_singles
from simulate.mask_image import foreground_of_labels

# coverage: share of the pixels; chord: mean length of the runs of foreground along rows and
# columns, pixels, NaN where there are none; singles: the single particles, `Singles`.
Scene = namedtuple("Scene", "coverage chord singles")


def measure_scene(foreground: np.ndarray, labels: np.ndarray | None = None) -> Scene:
    """Return the Scene of a foreground, bool (h, w), of ``labels``, (h, w), if they are known."""
    coverage = float(foreground.mean())
    # A run of foreground begins wherever the pixel before is background.
    runs = sum(
        np.count_nonzero(np.diff(foreground.astype(np.int8), axis=axis, prepend=0) == 1)
        for axis in (0, 1)
    )
    chord = 2 * np.count_nonzero(foreground) / runs if runs else float("nan")
    return Scene(coverage, chord, find_singles(foreground, labels))


def measure_labels(labels: np.ndarray) -> Scene:
    """Return the Scene of a simulated label map, (h, w)."""
    return measure_scene(foreground_of_labels(labels), labels)


def mean_chord(scenes: list[Scene]) -> float:
    """Return the mean of the chords; NaN where no scene has a foreground."""
    chords = [scene.chord for scene in scenes if np.isfinite(scene.chord)]
    return float(np.mean(chords)) if chords else float("nan")


def ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, 0 (same) to 1."""
    # Takes half a second, for which steps without it need not wait.
    from scipy.stats import ks_2samp

    return float(ks_2samp(first, second, method="asymp").statistic)

"""From what the UNet says of a micrograph to the mask of its particles."""

import numpy as np
from skimage.exposure import histogram
from skimage.filters import threshold_otsu

from pipeline.intensities import is_flat, stretch_to_uint8
from pipeline.particle_masks import segment_particles, to_four_connected, without_specks
from pipeline.particles.grow_particles import grow_particles

SMALLEST_PARTICLE = 9  # pixels; what is smaller is noise
# By how much of the range of probabilities particles are likelier than the background, at least.
LEAST_CONTRAST = 1 / 3
# The same where no cut of all has that much.
LEAST_OF_ALL = 1 / 4
# How central the darker of two parts is at least, over the brighter, if it shows particles, too.
LEAST_AS_CENTRAL = 1 / 2


def segment_output(
    output: np.ndarray, threshold: float, watershed_lines: bool, min_distance: int
) -> np.ndarray:
    """Return the mask (uint8, 0 or 255) of the network's output, float32 (h, w, 1) or (h, w, 2).

    A second channel is the centrality that particles are grown from; ``watershed_lines`` and
    ``min_distance`` are for networks without.
    The probability is stretched to 0..255 before it is thresholded, unless it shows no particle:
    stretched, that would be noise, so the mask is empty.
    """
    probability = output[..., 0]
    if shows_no_particle(probability, threshold):
        return np.zeros(probability.shape, np.uint8)
    stretched = stretch_to_uint8(probability)
    if threshold < 0:
        threshold = _otsu_or_half(output, stretched)
    if output.shape[-1] == 1:
        return segment_particles(stretched, threshold, watershed_lines, min_distance)
    labels = grow_particles(stretched, output[..., 1], threshold)
    # The lines between particles leave crumbs, which are none.
    return without_specks(to_four_connected(labels > 0), SMALLEST_PARTICLE)


def shows_no_particle(probability: np.ndarray, threshold: float) -> bool:
    """Return whether a probability image, float (h, w), tells no place from another.

    With Otsu's threshold (a negative one) also whether hardly a pixel is more likely particle than
    background: it would cut the background in two.
    """
    few = threshold < 0 and np.count_nonzero(probability > 0.5) < SMALLEST_PARTICLE
    return few or is_flat(probability)


def _otsu_or_half(output: np.ndarray, stretched: np.ndarray) -> float:
    """Return `otsu_of_few_particles` of the stretched probability, or where that is a half.

    It is a half where particles leave hardly any background: Otsu's threshold then cuts them in
    two, or has nothing above it. Both sides are then likely particles, nearly equally so, and, as
    far as the network tells (`segment_output`), hardly less inside of them: a background may be
    more likely than a half, too, where a training was short.
    """
    threshold = otsu_of_few_particles(stretched)
    above = stretched > threshold
    # Without a copy of either side, as images may be large.
    darker = output.mean(axis=(0, 1), where=~above[..., None], dtype=np.float64)
    brighter = darker
    if above.any():
        brighter = output.mean(axis=(0, 1), where=above[..., None], dtype=np.float64)
    as_central = (darker[1:] >= LEAST_AS_CENTRAL * brighter[1:]).all()
    if darker[0] <= 0.5 or brighter[0] - darker[0] >= LEAST_CONTRAST or not as_central:
        return threshold
    lowest, highest = float(output[..., 0].min()), float(output[..., 0].max())
    return max(255 * (0.5 - lowest) / (highest - lowest), 0.0)


def otsu_of_few_particles(probability: np.ndarray) -> float:
    """Return Otsu's threshold, of the brighter pixels alone where it cuts the background in two.

    A few particles in a large image weigh less than the background's noise does. But the means of
    the classes are then closer than `LEAST_CONTRAST` of the range of values; so what is above is
    cut again, until they are not. Where they never are, the cut of the largest difference counts,
    if it is `LEAST_OF_ALL` of the range; else nothing is above the threshold.

    Parameters
    ----------
    probability : any shape; integers, or floats, whose range is divided into 256 bins.

    Source: Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62.
    """
    lowest, highest = probability.min(), probability.max()
    if lowest == highest:
        return highest
    counts, values = histogram(probability, source_range="image")
    whole_range = float(highest) - float(lowest)
    best, most = values[-1], LEAST_OF_ALL * whole_range
    while len(values) > 1:
        threshold = threshold_otsu(hist=(counts, values))
        above = values > threshold
        darker, brighter = (
            np.average(values[part], weights=counts[part]) for part in (~above, above)
        )
        contrast = brighter - darker
        if contrast >= LEAST_CONTRAST * whole_range:
            return threshold
        if contrast >= most:
            best, most = threshold, contrast
        first = np.flatnonzero(above & (counts > 0))[0]
        counts, values = counts[first:], values[first:]
    return best

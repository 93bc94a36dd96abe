"""Intensities of images: normalise, clip the contrast, stretch to 8 bit. Arrays in, arrays out."""

import cv2
import numpy as np

# A spike is so many times farther out than the range of all that is larger than a spike is wide.
SPIKE_DISTANCE = 3
MOST_SPIKES = 1e-4  # share of an image's pixels; where more are that far out, they are no defects
FLAT = 0.05  # range of a smoothed probability image


def normalise(image: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Map an image's own range of values linearly to [low, high].

    Parameters
    ----------
    image : any shape, integers or floats, finite.
    low, high : the values that the minimum and the maximum become.

    Returns
    -------
    float32, the same shape; ``low`` everywhere where the image is constant.
    """
    image = np.asarray(image)
    if image.size == 0 or image.max() == image.min():
        return np.full(image.shape, low, np.float32)
    # float32 cannot tell neighbouring 32-bit integers apart: map first, then reduce.
    exact = np.result_type(image, np.float32).type
    scaled = image.astype(exact)
    smallest, largest = scaled.min(), scaled.max()
    if not largest / 2 - smallest / 2 < np.finfo(exact).max / 2:  # a range beyond the type's
        scaled, smallest, largest = scaled / 2, smallest / 2, largest / 2
    scaled -= smallest
    scaled /= largest - smallest
    scaled *= high - low
    scaled += low
    np.clip(scaled, min(low, high), max(low, high), out=scaled)
    return scaled.astype(np.float32, copy=False)


def above_half(image: np.ndarray) -> np.ndarray:
    """Return where a mask is above half of its own range of values, bool; a constant: above 0.

    So a mask that is all white is all particle, and one that is all black has none.
    """
    image = np.asarray(image)
    if image.size == 0 or image.max() == image.min():
        return image > 0
    return normalise(image) > 0.5


def clip_contrast(image: np.ndarray, contrast_range: tuple[float, float] | None) -> np.ndarray:
    """Clip an image to two of its percentiles.

    Parameters
    ----------
    image : any shape, integers or floats.
    contrast_range : (p, q) in percent; values below percentile p become that percentile, values
        above q likewise. Nothing is clipped unless p > 0 and q < 100, or where it is None.

    Returns
    -------
    The same shape; float32, or float64 for 32-bit integers and float64. Unclipped images are
    returned as they are.

    Raises
    ------
    ValueError
        If the percentiles are out of order or outside 0 to 100.
    """
    if contrast_range is None:
        return image
    low, high = contrast_range
    if not 0 <= low < high <= 100:
        raise ValueError(
            f"contrast range {tuple(contrast_range)}: expected two percentiles in increasing "
            f"order between 0 and 100, such as (0.5, 99.5)."
        )
    if not clips(contrast_range):
        return image
    image = np.asarray(image)
    return _clip(image, *np.percentile(image, (low, high)))


def _clip(image, low, high):
    exact = np.result_type(image, np.float32).type
    return np.clip(image.astype(exact), exact(low), exact(high))


def clips(contrast_range: tuple[float, float] | None) -> bool:
    """Return whether `clip_contrast` clips anything by a contrast range."""
    return contrast_range is not None and contrast_range[0] > 0 and contrast_range[1] < 100


def describe_unclipped(contrast_range: tuple[float, float] | None) -> str | None:
    """Return the words for a contrast range that clips nothing; None for one that clips, or
    where there is none."""
    if contrast_range is None or clips(contrast_range):
        return None
    return (
        f"the contrast range {tuple(contrast_range)} has no effect, as one end is 0 or 100: choose "
        f"both between them, such as (0.5, 99.5)"
    )


def clip_spikes(image: np.ndarray) -> np.ndarray:
    """Clip the few pixels far outside the range of all others: X-rays, a camera's hot pixels.

    The range is that after a median over 5 x 5 pixels, which leaves out what is smaller than 13
    pixels. Without its spikes an image can be stretched, of which one would leave it nearly
    constant.

    Parameters
    ----------
    image : (height, width), integers or floats, finite.

    Returns
    -------
    The image itself where it has no spike, or more than 1 in 10,000 pixels (and more than one)
    are that far out; else a copy, in which spikes have the largest or the smallest value of all
    other pixels.
    """
    # OpenCV's median does not take other integers, or float64.
    scaled = image if image.dtype in (np.uint8, np.uint16) else normalise(image)
    smooth = cv2.medianBlur(scaled, 5)
    low, high = float(smooth.min()), float(smooth.max())
    reach = SPIKE_DISTANCE * (high - low)
    if low - reach <= scaled.min() and scaled.max() <= high + reach:
        return image
    is_spike = (scaled < low - reach) | (scaled > high + reach)
    if np.count_nonzero(is_spike) > max(MOST_SPIKES * image.size, 1):
        return image
    others = image[~is_spike]
    return np.clip(image, others.min(), others.max())


def is_flat(probability: np.ndarray) -> bool:
    """Return whether a probability image, float in [0, 1], tells no place from another.

    Its range counts, not its spread: one small particle in a large image is worth telling. Noise
    of single pixels does not.
    """
    return float(np.ptp(cv2.blur(probability.astype(np.float32), (3, 3)))) < FLAT


def stretch_to_uint8(image: np.ndarray) -> np.ndarray:
    """Map an image's own range of values to 0..255, rounded, uint8; a constant image gives 0."""
    stretched = normalise(image, 0.0, 255.0)
    return np.rint(stretched, out=stretched).astype(np.uint8)


def as_unet_sees(
    micrograph: np.ndarray,
    contrast_range: tuple[float, float] | None,
    dark_background: bool,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return a micrograph as the UNet is shown it, in training and after.

    Parameters
    ----------
    micrograph : (height, width), integers or floats.
    contrast_range : see ``clip_contrast``, which raises the errors. Where it clips nothing, single
        pixels far outside the range of all others are clipped (``clip_spikes``).
    dark_background : whether particles are bright; if not, it is negated, so that they are.
    limits : the values that become the ends of the range, instead of the percentiles of
        ``contrast_range`` (see ``usual_contrast.py``).

    Returns
    -------
    float32 in [0, 1], the same shape; 0 where all is of one value, which shows no particle.
    """
    share = 1.0
    if limits is not None:
        clipped = _clip(micrograph, *limits)
        low, high = (clipped.dtype.type(limit) for limit in limits)
        # The limit on the particles' side may be farther out than any pixel.
        share = float(np.ptp(clipped) / (high - low)) if high > low else 0.0
    else:
        clipped = clip_contrast(micrograph, contrast_range)
        if not clips(contrast_range):
            clipped = clip_spikes(clipped)
    if clipped.min() == clipped.max():
        return np.zeros(clipped.shape, np.float32)
    return normalise(clipped, 0.0, share) if dark_background else normalise(clipped, share, 0.0)


def with_bright_particles(micrograph: np.ndarray, dark_background: bool) -> np.ndarray:
    """Return a micrograph as Li's threshold wants it: negated where particles are dark, for it is
    made for a dark background.

    ``micrograph`` is (h, w), integers or floats. uint8 and uint16 stay what they are, all others
    become float64: scikit-image counts integers in a histogram of all their values, too many at
    32 bit, and subtracts the minimum in their own type, too small for the range of signed ones.
    """
    if micrograph.dtype not in (np.uint8, np.uint16):
        greys = micrograph.astype(np.float64)
        return greys if dark_background else np.negative(greys, out=greys)
    return micrograph if dark_background else np.iinfo(micrograph.dtype).max - micrograph

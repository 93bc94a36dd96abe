"""Outlines of measured and of dropped particles, drawn on the micrograph."""

import cv2
import numpy as np

from pipeline.intensities import clip_contrast, stretch_to_uint8
from pipeline.particles.pixel_outlines import Outlines

# (red, green, blue): seen on black, grey and white, and told apart by colour-blind readers.
KEPT_COLOUR = (255, 120, 30)
BORDER_COLOUR = (70, 190, 250)
FILTERED_COLOUR = (225, 105, 215)
WHITE = (255, 255, 255)

# Small images are drawn twice as large, so that outlines do not hide the particles' edges.
ENLARGE_BELOW = 1600
# Outlines of large images are so much thicker that they are seen where the image is shown whole.
PIXELS_PER_THICKNESS = 1000
# Of OpenCV's font, which is illegible below.
SMALLEST_TEXT = 0.35
# Fractions of a pixel that OpenCV draws with: 2**-4.
SHIFT = 4


def draw_overlay(
    micrograph: np.ndarray, groups: list[tuple[Outlines, tuple]], pixel_size_nm: float | None
) -> np.ndarray:
    """Return the micrograph with outlines and a scale bar, uint8 RGB.

    Parameters
    ----------
    micrograph : (height, width), any numbers.
    groups : (outlines of particles, colour) each; later ones are drawn over earlier ones.
    pixel_size_nm : for the scale bar; None for none.
    """
    enlarge = enlargement(micrograph.shape)
    grey = stretch_to_uint8(clip_contrast(micrograph, (0.1, 99.9)))
    size = (grey.shape[1] * enlarge, grey.shape[0] * enlarge)
    picture = cv2.cvtColor(
        cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB
    )
    thickness = max(enlarge, round(max(picture.shape) / PIXELS_PER_THICKNESS))
    for outlines, colour in groups:
        for polygons in outlines.values():
            # Pixel corners; OpenCV counts from the centre of the first pixel.
            corners = [
                np.rint((polygon[:, ::-1] * enlarge - 0.5) * 2**SHIFT).astype(np.int32)
                for polygon in polygons
            ]
            cv2.polylines(picture, corners, True, colour, thickness, cv2.LINE_AA, SHIFT)
    if pixel_size_nm is not None:
        _draw_scale_bar(picture, pixel_size_nm / enlarge)
    return picture


def enlargement(shape: tuple[int, int]) -> int:
    """Return how many times larger than a micrograph (height, width) its overlay is drawn."""
    return 2 if max(shape) < ENLARGE_BELOW else 1


def scale_bar_length(width_nm: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the largest up to a fifth of the image's width."""
    # Pixel sizes are rounded: a fifth of 5,000 nm may be 999.9999999999999, and its logarithm 3.
    largest = width_nm / 5 * (1 + 1e-9)
    power = 10.0 ** np.floor(np.log10(largest))
    return float(power * max(step for step in (0.5, 1, 2, 5) if step * power <= largest))


def scale_bar_text(length_nm: float) -> str:
    """Return a length for a picture, in ASCII: "500 nm", "2 um", "5 mm"."""
    for unit, nm in (("mm", 1e6), ("um", 1e3)):
        if length_nm >= nm:
            return f"{length_nm / nm:g} {unit}"
    return f"{length_nm:g} nm"


def _draw_scale_bar(picture: np.ndarray, pixel_size_nm: float) -> None:
    height, width = picture.shape[:2]
    length = scale_bar_length(width * pixel_size_nm)
    text = scale_bar_text(length)
    side = min(height, width)
    bar, thick, margin = round(length / pixel_size_nm), max(side // 200, 2), max(side // 40, 4)
    left, bottom = width - margin - bar, height - margin
    scale = max(side / 1400, SMALLEST_TEXT)
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    middle = min(left + (bar - text_width) // 2, width - margin - text_width)
    origin = (middle, bottom - thick - margin // 2)
    box = picture[
        max(origin[1] - text_height - margin // 2, 0) : bottom + margin // 2,
        max(min(left, middle) - margin // 2, 0) : width - margin // 2,
    ]
    box //= 3  # readable on any background
    cv2.rectangle(picture, (left, bottom - thick), (left + bar - 1, bottom - 1), WHITE, -1)
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, WHITE, 2, cv2.LINE_AA)

"""Find and cut off the microscope's info bar below a micrograph. Arrays in, arrays out."""

import math
from collections.abc import Iterable

import numpy as np

from pipeline.wording import first_names

# What makes a bar; all are shares of the width unless said otherwise.
LARGEST_HEIGHT = 0.25  # of the image's height
SMALLEST_HEIGHT = 8  # pixels: less holds no text
ROWS_BELOW = 3  # pixels that may lie below it: a frame, or the micrograph (Zeiss)
UNIFORM = 0.95  # of one value, where a row of the bar has no text
BACKGROUND_BESIDE_TEXT = 0.35  # at least, in rows with text
BACKGROUND_ABOVE = 0.5  # at most, in the micrograph's last rows: the edge is sharp
ROWS_ABOVE = 5  # pixels
BACKGROUND_BETWEEN_TEXT = 0.5  # at least, of the whole bar and exactly one value
TEXT_ROWS = 3  # pixels
STROKE_EDGES = 8  # in each of these rows
TOLERANCES = (0.0, 0.02, 0.06)  # of the range of values: none, and what JPEG makes of one value


def find_info_bar(image: np.ndarray) -> int:
    """Return how many rows lie above the info bar; all rows where there is none.

    A bar spans the full width at the bottom, is uniform but for text, and begins with a sharp
    edge. In doubt there is none: a bar left in costs less than particles cut off.

    Parameters
    ----------
    image : (height, width), any dtype and range.
    """
    height, width = image.shape
    lowest_top = math.ceil(height * (1 - LARGEST_HEIGHT))
    if height - lowest_top < SMALLEST_HEIGHT or width < 2 * STROKE_EDGES:
        return height
    background = float(np.median(image[-SMALLEST_HEIGHT:]))
    bottom = image[lowest_top:]
    value_range = float(bottom.max()) - float(bottom.min())
    for tolerance in TOLERANCES:
        tolerance *= value_range
        top = _top_of_uniform_rows(image, background, tolerance, lowest_top)
        if height - top >= SMALLEST_HEIGHT and _is_bar(image, top, background, tolerance):
            return top
    return height


def _share_near(pixels: np.ndarray, value: float, tolerance: float) -> float:
    return float(np.mean(np.abs(pixels - value) <= tolerance))


def _top_of_uniform_rows(
    image: np.ndarray, background: float, tolerance: float, lowest_top: int
) -> int:
    """Return the first row of what may be a bar, or the image's height.

    Going up from a clear row near the bottom, every row must be clear, a line of a frame, or
    hold much of the background. The bar begins with the uppermost clear row or line.
    """
    top = height = image.shape[0]
    for row in range(height - 1 - ROWS_BELOW, lowest_top - 1, -1):
        pixels = image[row]
        share = _share_near(pixels, background, tolerance)
        if share >= UNIFORM or _share_near(pixels, float(np.median(pixels)), 0.0) >= UNIFORM:
            top = row
        elif top == height or share < BACKGROUND_BESIDE_TEXT:
            return top
    return height


def _is_bar(image: np.ndarray, top: int, background: float, tolerance: float) -> bool:
    """Tell whether the strip from row ``top`` has a sharp upper edge and text on one value."""
    above, strip = image[top - ROWS_ABOVE : top], image[top:-ROWS_BELOW]
    if _share_near(above, background, tolerance) > BACKGROUND_ABOVE:
        return False
    # Compression leaves areas without text exactly uniform; noise does not.
    if _share_near(strip, float(np.median(strip)), 0.0) < BACKGROUND_BETWEEN_TEXT:
        return False
    contrast = (float(strip.max()) - float(strip.min())) / 4
    text = np.abs(strip - background) > max(tolerance, contrast)
    stroke_edges = np.count_nonzero(text[:, 1:] != text[:, :-1], axis=1)
    return np.count_nonzero(stroke_edges >= STROKE_EDGES) >= TEXT_ROWS


def edges_with_margins(image: np.ndarray) -> list[str]:
    """Return at which edges of a micrograph, its info bar cut off, another bar or a margin lies.

    "top", "left", "right" or "bottom": there is an info bar (not at the bottom), or at least
    `SMALLEST_HEIGHT` pixels are of one value, end sharply, and are not as most of the image.
    """
    outward = {  # with that edge below
        "top": image[::-1],
        "left": np.rot90(image),
        "right": np.rot90(image, -1),
        "bottom": image,
    }
    return [
        edge
        for edge, turned in outward.items()
        if _has_margin(turned) or (edge != "bottom" and find_info_bar(turned) < len(turned))
    ]


def _has_margin(image: np.ndarray) -> bool:
    """Return whether the lowest rows are one value, up to a sharp edge."""
    value = float(np.median(image[-SMALLEST_HEIGHT:]))
    rows = 0
    while rows < len(image) and _share_near(image[-1 - rows], value, 0.0) >= UNIFORM:
        rows += 1
    # The edge itself may be blurred over some rows.
    above = image[max(len(image) - rows - ROWS_ABOVE, 0) : len(image) - rows][:1]
    return (
        rows >= SMALLEST_HEIGHT
        and above.size > 0
        and _share_near(above, value, 0.0) <= BACKGROUND_ABOVE
        and np.count_nonzero(image == value) <= BACKGROUND_ABOVE * image.size
    )


def crop_info_bar(image: np.ndarray, image_crop: str | int | None = "auto") -> np.ndarray:
    """Return the image's upper rows: "auto" finds the info bar, a number says how many, None all.

    An image of fewer rows than the number keeps them all: it was cut before.

    Raises
    ------
    ValueError
        If ``image_crop`` is something else.
    """
    if image_crop is None:
        return image
    if image_crop == "auto":
        return image[: find_info_bar(image)]
    is_number = isinstance(image_crop, int | np.integer) and not isinstance(image_crop, bool)
    if not is_number or image_crop < 1:
        raise ValueError(
            f'image crop {image_crop!r}: expected "auto", None, or the number of rows to keep.'
        )
    return image[:image_crop]


def describe_missed_bars(images: Iterable[tuple[str, tuple[int, int], int]]) -> list[str]:
    """Return the words on bars that may have been overlooked: in some images of one size alone.

    ``images`` are (name, (height, width) of the file, rows left out).
    """
    by_size: dict[tuple[int, int], dict[int, list[str]]] = {}
    for name, size, rows in images:
        by_size.setdefault(size, {}).setdefault(rows, []).append(name)
    found = []
    for (height, width), names in by_size.items():
        if len(names) > 1 and 0 in names:
            rows = " or ".join(str(number) for number in sorted(names) if number)
            found.append(
                f"Of images of {width} x {height} pixels some are used whole "
                f"({first_names(names[0])}), of others the lowest {rows} rows are left out. If "
                f"that is an info bar, and all have one, set IMAGE_CROP to the number of rows "
                f"above it, which are then kept of images of any size."
            )
    return found

"""Which measured particles stay: not cut by the image's edge, and within the ranges asked for."""

from collections.abc import Mapping

import numpy as np

from pipeline.particles.quantities import COLUMNS, column_name
from pipeline.wording import first_names


def check_unit_of_filters(
    filters: Mapping[str, tuple], pixel_sizes: Mapping[str, float | None]
) -> list[str]:
    """Check that filters of lengths and areas mean nm, or pixels, for all images.

    Returns a warning where they mean pixels.

    ``pixel_sizes``: each image's, by its name, in nm; None where it is not known.

    Raises
    ------
    ValueError
        If some images have a pixel size and others not, so that the sizes of all are in pixels,
        though the ranges were perhaps given in nm; names the images.
    """
    without = [image for image, size in pixel_sizes.items() if size is None]
    of_sizes = [name for name in filters if COLUMNS[name] in ("length", "area")]
    if of_sizes and 0 < len(without) < len(pixel_sizes):
        raise ValueError(
            f"filters: {', '.join(of_sizes)} would be in pixels, because {len(without)} of "
            f"{len(pixel_sizes)} images carry no pixel size ({first_names(without)}). Set "
            f"PIXEL_SIZE_NM, or remove these images."
        )
    if not (of_sizes and without):
        return []
    return [
        f"filters: the ranges of {', '.join(of_sizes)} are in pixels, as no pixel size is known."
    ]


def choose_particles(
    columns: dict[str, np.ndarray], exclude_border: bool, filters: Mapping[str, tuple], unit: str
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which particles stay (bool), and how many were dropped for what reason.

    ``filters``: quantity -> (smallest, largest), either may be None; in the units of the columns.
    A particle is counted for the first reason that applies: the border, then the filters in
    their order; ``unit``, "nm" or "px", stands in its name.
    """
    stays = np.ones(len(columns["label"]), bool)
    dropped = {}
    if exclude_border:
        dropped["dropped_at_border"] = int(columns["touches_border"].sum())
        stays &= ~columns["touches_border"]
    for quantity, (smallest, largest) in filters.items():
        passes = np.ones(len(stays), bool)
        if smallest is not None:
            passes &= columns[quantity] >= smallest
        if largest is not None:
            passes &= columns[quantity] <= largest
        dropped[f"dropped_by_{column_name(quantity, unit)}"] = int((stays & ~passes).sum())
        stays &= passes
    return stays, dropped

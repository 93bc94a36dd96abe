"""Which measured particles stay: not cut by the image's edge, and within the ranges asked for."""

from collections.abc import Mapping

import numpy as np

from pipeline.particle_shapes import COLUMNS


def check_filters(filters: Mapping[str, tuple]) -> None:
    """Check that every filter names a measured quantity and a range.

    Raises
    ------
    ValueError
        If one does not; lists what is allowed.
    """
    allowed = [name for name in COLUMNS if name != "label"]
    for quantity, limits in filters.items():
        if quantity not in allowed:
            raise ValueError(
                f"filters: {quantity!r} is not measured. Use one of: {', '.join(allowed)}."
            )
        if not _is_range(limits):
            raise ValueError(
                f"filters: {quantity} is {limits!r}; expected (smallest, largest), either of "
                f"which may be None, such as (50, None)."
            )


def _is_range(limits: object) -> bool:
    if not isinstance(limits, list | tuple) or len(limits) != 2:
        return False
    given = [one for one in limits if one is not None]
    return all(isinstance(one, int | float) for one in given) and sorted(given) == given


def filter_particles(
    columns: dict[str, np.ndarray], exclude_border: bool, filters: Mapping[str, tuple]
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which particles stay (bool), and how many were dropped for what reason.

    ``filters``: quantity -> (smallest, largest), either may be None; in the units of the columns.
    A particle is counted for the first reason that applies: the border, then the filters in
    their order.
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
        dropped[f"dropped_by_{quantity}"] = int((stays & ~passes).sum())
        stays &= passes
    return stays, dropped

"""The building blocks of the option tables: what a single value may be.

A check is a function of one value that returns None where the value is allowed, and otherwise the
words that say what is allowed. Most functions here make one.
"""

import math
import ntpath
import os
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from pipeline.particles.quantities import COLUMNS

LARGEST = 10**9  # of whole numbers without a limit of their own
REFUSED_BY_WINDOWS = {*'<>:"|?*'}

Check = Callable[[object], str | None]


class _Unknown:
    def __format__(self, how: str) -> str:
        raise TypeError("the value is not known")


# Stands for the value of a name that StartProcess.py does not define: no check looks at it.
UNKNOWN = _Unknown()


def as_plain(value):
    """Return a value with NumPy's numbers, alone or in lists and dicts, as Python's."""
    if type(value) is dict:
        return {key: as_plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(as_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _make_check(is_allowed: Callable[[object], bool], words: str) -> Check:
    return lambda value: None if is_allowed(value) else words


def _range_words(low: float, high: float | None, above: bool, below: bool) -> str:
    low_words = f"above {low:,}" if above else f"of at least {low:,}"
    if high is None:
        return low_words
    if below:
        return f"{low_words} and below {high:,}"
    return f"{low_words} and at most {high:,}" if above else f"from {low:,} to {high:,}"


def _as_float(value) -> float:
    """Return a real number as a float, NaN where it is none or too large to be one."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def whole_number(low: int, high: int | None = None) -> Check:
    """Return a check for an integer from ``low`` to ``high``; True and 2.0 are none.

    Without ``high`` it is up to ``LARGEST``, so that what is computed from it stays finite.
    """
    words = f"a whole number {_range_words(low, high, False, False)}"

    def check(value) -> str | None:
        if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
            return words
        if high is None and value > LARGEST:
            return f"a whole number {_range_words(low, LARGEST, False, False)}"
        return None if high is None or value <= high else words

    return check


def number(
    low: float, high: float | None = None, above: bool = False, below: bool = False
) -> Check:
    """Return a check for a finite number from ``low`` to ``high``.

    ``above`` and ``below`` leave ``low`` and ``high`` themselves out.
    """

    def is_allowed(value) -> bool:
        if not math.isfinite(_as_float(value)):
            return False
        if value < low or (above and value == low):
            return False
        return high is None or value < high or (value == high and not below)

    return _make_check(is_allowed, f"a number {_range_words(low, high, above, below)}")


def one_of(*allowed) -> Check:
    """Return a check for one of some values; 1 does not pass for True."""
    *first, last = [f'"{value}"' if isinstance(value, str) else str(value) for value in allowed]
    words = f"{', '.join(first)} or {last}" if first else last
    return _make_check(
        lambda value: any(type(value) is type(one) and value == one for one in allowed), words
    )


def either(*checks: Check) -> Check:
    """Return a check that is content when one of some checks is."""

    def check(value) -> str | None:
        words = [one(value) for one in checks]
        return None if None in words else ", or ".join(words)

    return check


def several(check: Check, what: str) -> Check:
    """Return a check for a list (or tuple) with at least one item, each of which passes."""
    return _make_check(
        lambda values: (
            isinstance(values, list | tuple)
            and len(values) > 0
            and all(check(value) is None for value in values)
        ),
        what,
    )


def pair(check: Check, increasing: bool = False) -> Check:
    """Return a check for two values that pass, the first the lower one if ``increasing``."""

    def is_allowed(values) -> bool:
        if not isinstance(values, list | tuple) or len(values) != 2:
            return False
        if any(check(value) is not None for value in values):
            return False
        return not increasing or values[0] < values[1]

    order = "the lower one first, " if increasing else ""
    # A value that no check allows makes it say its words.
    return _make_check(is_allowed, f"two values in brackets, {order}each {check(object())}")


def folder_name(value) -> str | None:
    """Check the name of a folder, which need not exist."""
    name = os.fsdecode(value) if isinstance(value, str | os.PathLike) else ""
    if not name or "\0" in name:
        return "the name of a folder, in quotes"
    if any(ord(character) < ord(" ") for character in name):  # "C:\new" has a line break
        return 'the name of a folder, with / or two backslashes between its parts ("C:/new")'
    if os.name == "nt" and set(ntpath.splitdrive(name)[1]) & REFUSED_BY_WINDOWS:
        return f"the name of a folder, without any of {' '.join(sorted(REFUSED_BY_WINDOWS))}"
    if name.startswith("~"):
        return "the name of a folder, in full: ~ does not stand for your home folder here"
    return None


def is_folder_name(value) -> bool:
    """Return whether a value is the name of a folder, which need not exist."""
    return folder_name(value) is None


def run_name(value) -> str | None:
    """Check the name of a run folder: a single name, no path; None is the newest run."""
    is_name = isinstance(value, str) and value not in ("", ".", "..") and not set(value) & {*"/\\"}
    is_allowed = value is None or is_name
    return None if is_allowed else 'None, or a run folder such as "2026-01-31_12-00-00"'


def measured_ranges(value) -> str | None:
    """Check a dict of (lowest, highest) by the name of a quantity that step 7 measures; None leaves
    a side open."""

    def is_range(limits) -> bool:
        if not isinstance(limits, list | tuple) or len(limits) != 2:
            return False
        given = [limit for limit in limits if limit is not None]
        return not any(math.isnan(_as_float(limit)) for limit in given) and given == sorted(given)

    is_dict = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if not is_dict or not all(map(is_range, value.values())):
        return (
            'ranges by the name of a quantity, such as {"area": (50, None)}: the lowest and the '
            "highest value, None for an open side"
        )
    # The weight follows from which particles stay.
    allowed = [name for name in COLUMNS if name not in ("label", "inclusion_weight")]
    is_known = value.keys() <= set(allowed)
    return None if is_known else f"ranges of what is measured: {', '.join(allowed)}"

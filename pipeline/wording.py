"""Durations, numbers and names, as messages say them."""

NAMES_SHOWN = 5


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: ``48 s``, ``3:20 min`` or ``2:05 h``."""
    minutes, seconds = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds} s"
    if minutes < 60:
        return f"{minutes}:{seconds:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its word: "1 file", "2 files"; ``several`` where an s is not enough."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def as_text(words: str) -> str:
    """Return words with names that are no text, such as of bytes that are no UTF-8, escaped."""
    return words.encode(errors="backslashreplace").decode()


def first_names(names: list[str]) -> str:
    """Return the first few names, for a message, and "..." where there are more."""
    return ", ".join(names[:NAMES_SHOWN]) + (" ..." if len(names) > NAMES_SHOWN else "")

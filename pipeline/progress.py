"""Progress with time left: a live line on a terminal, a few plain lines elsewhere."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Sized

from pipeline.wording import format_seconds

logger = logging.getLogger(__name__)

# Where the output is no terminal (a log file, a batch system), a line every so many seconds.
SECONDS_BETWEEN_LINES = 30.0


def live_line(text: str) -> None:
    """Show a line that the next one replaces; nothing where the output is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K  {text}" if text else "\r\033[K")
        sys.stderr.flush()


def progress(
    items: Iterable, what: str, total: int | None = None, *, only_if_long: bool = False
) -> Iterator:
    """Yield the items, saying how many of them are done and how long the rest will take.

    Parameters: ``what`` names the items ("masks simulated"); ``total`` is needed where ``items``
    has no length; ``only_if_long``: of what takes less than a while nothing is said. In one of
    several processes nothing is said either: the one that waits for them does.
    """
    if multiprocessing.parent_process():
        yield from items
        return
    total = len(items) if total is None and isinstance(items, Sized) else total
    live = sys.stderr.isatty()
    start = said = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - said >= (0.2 if live else SECONDS_BETWEEN_LINES) and done != total:
            said = now
            left = (
                f", {format_seconds((now - start) / done * (total - done))} left" if total else ""
            )
            line = f"{what}: {done} of {total or '?'}{left}"
            if live:
                live_line(line)
            else:
                logger.info("%s", line)
    live_line("")
    is_long = time.monotonic() - start >= SECONDS_BETWEEN_LINES
    if done and (is_long or not only_if_long):
        logger.info("%s: %d in %s", what, done, format_seconds(time.monotonic() - start))

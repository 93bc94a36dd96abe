"""What each step warned of when it last ran, kept for the report: the log is long."""

import contextlib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.files.records import read_record, write_json
from pipeline.running.step_table import LOG, STEPS, WARNINGS

CHECKS = "checks"  # in a step number's place: what was said before the first step
MOST = 20  # of a step


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Yield a list that gets every warning that is logged meanwhile, once each."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record):
            message = record.getMessage()
            if record.levelno == logging.WARNING and message not in messages:
                messages.append(message)

    collector = Collector(logging.WARNING)
    logging.getLogger().addHandler(collector)
    try:
        yield messages
    finally:
        logging.getLogger().removeHandler(collector)


def note_warnings(state_folder: Path, number: str, messages: list[str]) -> None:
    """Note the warnings of a step, or of the `CHECKS`, in place of those of its run before."""
    more = len(messages) - MOST
    if more > 0:
        messages = [
            *messages[:MOST],
            f"... and {more} more warnings, in {state_folder / LOG}",
        ]
    noted = read_record(state_folder / WARNINGS)
    write_json(state_folder / WARNINGS, noted | {number: messages})


def warnings_before(
    state_folder: Path, number: str, unused: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the warnings of the `CHECKS` and the steps before step ``number``, where there are.

    ``unused`` are steps of which nothing is used.
    """
    noted = read_record(state_folder / WARNINGS)
    before = [CHECKS, *list(STEPS)[: list(STEPS).index(number)]]
    before = [step for step in before if step not in unused]
    return {
        step: noted[step] for step in before if isinstance(noted.get(step), list) and noted[step]
    }

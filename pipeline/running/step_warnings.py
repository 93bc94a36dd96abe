"""What each step warned of when it last ran, kept for the report: the log is long."""

import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pipeline.files.records import read_record, write_json
from pipeline.running.step_table import LOG, STEPS, WARNINGS

# In a step number's place: what was said before the first step of a run of all. Of a run of steps
# that were named, the first one's number follows.
CHECKS = "checks"
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


def note_checks(state_folder: Path, numbers: Sequence[str], messages: list[str]) -> None:
    """Note what was said before the first step of a run; ``numbers``: of its steps, none for all.

    What was said before other steps stays: networks may have been trained with other micrographs.
    """
    noted = read_record(state_folder / WARNINGS)
    earlier = {_checks_before(number) for number in numbers or STEPS}
    left = {key: value for key, value in noted.items() if key not in earlier}
    write_json(state_folder / WARNINGS, left)
    note_warnings(state_folder, _checks_before(numbers[0]) if numbers else CHECKS, messages)


def _checks_before(number):
    return f"{CHECKS} {number}"


def place_of(key: str) -> str:
    """Return in words what the warnings under a key of `warnings_before` were said in."""
    if key in STEPS:
        return f"Step {key}, {STEPS[key].title}"
    number = key.removeprefix(CHECKS).strip()
    return f"Before step {number}, when it was named" if number else "Before the first step"


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
    """Return the warnings of the checks, and the steps, before step ``number``, where there are.

    ``unused`` are steps of which nothing is used. What was said twice is told where it was first.
    """
    noted = read_record(state_folder / WARNINGS)
    steps = list(STEPS)[: list(STEPS).index(number) + 1]
    steps = [step for step in steps if step not in unused]
    keys = [CHECKS, *(key for step in steps for key in (_checks_before(step), step))]
    told, before = set(), {}
    for key in keys[:-1]:  # the step itself is yet to run
        messages = noted.get(key) if isinstance(noted.get(key), list) else []
        if new := [message for message in messages if message not in told]:
            before[key] = new
        told.update(new)
    return before

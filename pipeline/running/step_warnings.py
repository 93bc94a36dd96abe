"""What each step warned of when it last ran, kept for the report: the log is long."""

import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pipeline.files.records import read_record, write_json
from pipeline.running.step_table import LOG, STEPS, WARNINGS
from pipeline.wording import as_text

CHECKS = "checks"  # and a step's number: what was said before a run that began with that step
MADE_WITH = "made with"  # by a step's number: what its warnings are of
MOST = 20  # of a step


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Yield a list that gets every warning that is logged meanwhile, once each."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record):
            message = as_text(record.getMessage())  # for the report
            if record.levelno == logging.WARNING and message not in messages:
                messages.append(message)

    collector = Collector(logging.WARNING)
    logging.getLogger().addHandler(collector)
    try:
        yield messages
    finally:
        logging.getLogger().removeHandler(collector)


def note_checks(state_folder: Path, numbers: Sequence[str], messages: list[str]) -> None:
    """Note what was said before a run of the steps with these ``numbers``.

    What was said before others stays: networks may have been trained with other micrographs.
    """
    if not numbers:
        return
    noted = read_record(state_folder / WARNINGS)
    earlier = set(map(_checks_before, numbers))
    left = {key: value for key, value in noted.items() if key not in earlier}
    write_json(state_folder / WARNINGS, left)
    note_warnings(state_folder, _checks_before(numbers[0]), messages)


def _checks_before(number):
    return f"{CHECKS} {number}"


def place_of(key: str) -> str:
    """Return in words what the warnings under a key of `warnings_before` were said in."""
    if key in STEPS:
        return f"Step {key}, {STEPS[key].title}"
    number = key.removeprefix(CHECKS).strip()
    first, *_ = STEPS
    return "Before the first step" if number == first else f"Before step {number}, run later"


def note_warnings(
    state_folder: Path, number: str, messages: list[str], made_with: str | None = None
) -> None:
    """Note the warnings of a step, or of checks, in place of those of its run before.

    Those stay where ``made_with``, a digest of what decides the step's output, is that of the run
    before: what is finished already is not looked at, and warned of, again.
    """
    noted = read_record(state_folder / WARNINGS)
    of_before = noted.get(MADE_WITH) if isinstance(noted.get(MADE_WITH), dict) else {}
    if made_with is not None and of_before.get(number) == made_with:
        messages = list(dict.fromkeys([*_noted_of(noted, number), *messages]))
    noted |= {number: messages, MADE_WITH: of_before | {number: made_with}}
    write_json(state_folder / WARNINGS, noted)


def _noted_of(noted: dict, key: str) -> list[str]:
    return noted[key] if isinstance(noted.get(key), list) else []


def warnings_before(
    state_folder: Path, number: str, unused: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the warnings of the checks, and the steps, before step ``number``, where there are.

    ``unused`` are steps of which nothing is used. What was said twice is told where it was first.
    """
    noted = read_record(state_folder / WARNINGS)
    steps = list(STEPS)[: list(STEPS).index(number) + 1]
    keys = [key for step in steps for key in (_checks_before(step), step)]
    told, before = set(), {}
    for key in keys[:-1]:  # the step itself is yet to run
        if key in unused:
            continue
        new = [message for message in _noted_of(noted, key) if message not in told]
        told.update(new)
        if more := new[MOST:]:
            new[MOST:] = [f"... and {len(more)} more warnings, in {state_folder / LOG}"]
        if new:
            before[key] = new
    return before

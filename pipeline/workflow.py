"""The run of StartProcess.py: check everything, then one step after another, each only if needed.

What was done is kept in ``ROOT_DIR/.workflow``: ``steps.json`` (what each finished step was made
with and what it left), ``preset.json``, ``log.txt``, and ``lock.json`` while a run is on.
"""

import hashlib
import json
import logging
import os
import sys
import time
from pathlib import Path

from pipeline import VERSION
from pipeline.check_inputs import check_inputs
from pipeline.image_files import list_images
from pipeline.presets import describe_changes, describe_switch, note_preset
from pipeline.processes.run_lock import locked
from pipeline.processes.step_process import catch_ends_from_outside, run_in_process
from pipeline.progress import format_seconds
from pipeline.run_folders import (
    MADE_WITH,
    WITHOUT_EFFECT,
    fingerprint,
    is_of_the_system,
    list_runs,
    read_record,
    write_json,
)
from pipeline.run_step import INTERRUPTED, in_words, set_up_logging, why_ended
from pipeline.step_table import INPUTS, OUTPUTS, STEPS

logger = logging.getLogger(__name__)

STATE = ".workflow"
MEASURES = "7"  # a step on which the preset has no bearing
# What a step was made with, by name, and the word for one of them.
PARTS = {"keywords": "option", "inputs": "input", "upstream": "step"}


def run_workflow(steps, *, options, selected=()):
    """Check options and inputs, then run the steps; exit with a step's code if it fails.

    Parameters
    ----------
    steps : ``steps(run_step)`` calls ``run_step(number, function name, **keywords)`` in order.
    options : the module's names; those in capitals are the options. ROOT_DIR is where the state
        is kept; with RESUME, steps that are finished with the same options and inputs are skipped.
    selected : numbers of the steps to run, such as ("3", "6a"); "6" is both; none is all.
    """
    calls, missing_name = _collect(steps)
    # Without all calls, what all steps need is checked.
    calls = None if missing_name else _select(calls, selected)
    known = describe_changes(options)
    all_names = options
    options = {name: value for name, value in options.items() if name.isupper()}
    set_up_logging()
    catch_ends_from_outside()
    try:
        depends_on_preset = calls is None or any(number != MEASURES for number, *_ in calls)
        if depends_on_preset and isinstance(options.get("ROOT_DIR"), str | Path):
            known += describe_switch(all_names, Path(options["ROOT_DIR"]) / STATE)
        may_skip = options.get("RESUME") and not selected
        _check_or_exit(options, calls, lambda call: may_skip and _is_done(options, *call), known)
        if missing_name:
            raise missing_name  # no option: a name in the steps themselves
        folder = Path(options["ROOT_DIR"]) / STATE
        folder.mkdir(parents=True, exist_ok=True)
        set_up_logging(folder / "log.txt")
        with locked(folder / "lock.json") as tell_lock:
            if not selected:
                note_preset(all_names, folder)
            for number, function, keywords in calls:
                _run_unless_finished(
                    folder, number, function, keywords, options, bool(selected), tell_lock
                )
    except BlockingIOError as error:
        logger.error("%s", error)
        sys.exit(3)
    except (OSError, MemoryError) as error:
        logger.error("%s", in_words(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _exit_interrupted(options.get("RESUME"))
    logger.info("all done")


def _collect(steps):
    """Return the calls, (number, function name, keywords), and the error where a name is missing.

    An option that is misspelt at its definition is such a name.
    """
    calls = []
    try:
        steps(lambda number, function, **keywords: calls.append((number, function, keywords)))
    except NameError as error:
        return calls, error
    return calls, None


def _check_or_exit(options, calls, is_done, known):
    try:
        check_inputs(options, calls, is_done, known)
    except (ValueError, FileNotFoundError) as error:
        logger.error("Nothing was started:\n%s", error)
        sys.exit(2)


def _select(calls, selected):
    known = list(STEPS)
    unknown = [name for name in selected if name not in known and name != "6"]
    if unknown:
        sys.exit(f"No step {', '.join(unknown)}; there are the steps {', '.join(known)}.")
    chosen = {name for name in known if name in selected or (name[0] == "6" and "6" in selected)}
    missing = chosen - {number for number, _, _ in calls}
    if missing:
        sys.exit(f"Step {', '.join(sorted(missing))} is not called in StartProcess.py.")
    return [call for call in calls if not selected or call[0] in chosen]


def _is_done(options, number, _, keywords):
    """Return whether a step is finished, as far as can be said before its keywords are checked."""
    try:
        records = _read_records(Path(options["ROOT_DIR"]) / STATE)
        made_with = _made_with(number, keywords, records)
        return _why_run(records.get(number), made_with, number, keywords) is None
    except (KeyError, TypeError, ValueError, OSError):
        return False


def _run_unless_finished(folder, number, function, keywords, options, was_asked_for, tell_lock):
    resume = options["RESUME"]
    title = f"Step {number} of {list(STEPS)[-1]}: {STEPS[number][1]}"
    records = _read_records(folder)
    made_with = _made_with(number, keywords, records)
    why = _why_run(records.get(number), made_with, number, keywords)
    if resume and not was_asked_for and why is None:
        logger.info("%s: already done with the same options and inputs", title)
        return
    if resume and why and number in records:
        title += f" again ({why})"
    logger.info("%s", title)
    start = time.monotonic()
    keywords = dict(keywords)
    if function.startswith("train_"):
        keywords.setdefault("resume", resume)
    if not resume:
        _set_aside(number, keywords)
    if records.pop(number, None):
        # If it fails or is stopped, its output is no more what the record says.
        write_json(folder / "steps.json", records)
    code, interrupted = run_in_process(folder, number, function, keywords, options, tell_lock)
    if code and not interrupted:
        why = why_ended(code, function, keywords)
        logger.error("step %s %s; see %s/log.txt", number, why, folder)
        sys.exit(code if code > 0 else 1)
    if code:
        _exit_interrupted(resume)
    records = _read_records(folder)
    records[number] = {"made_with": made_with, "left": _listing(number, keywords)}
    write_json(folder / "steps.json", records)
    logger.info("step %s took %s", number, format_seconds(time.monotonic() - start))
    if interrupted:
        _exit_interrupted(resume)


def _read_records(folder):
    """Return the records of the finished steps, by number; a damaged one is as none."""
    records = read_record(folder / "steps.json")
    return {number: record for number, record in records.items() if _is_record(record)}


def _is_record(record):
    made_with = record.get("made_with") if isinstance(record, dict) else None
    return (
        isinstance(made_with, dict)
        and all(
            isinstance(made_with.get(part), dict) for part in ("keywords", "inputs", "upstream")
        )
        and "left" in record
    )


def _set_aside(number, keywords):
    """Have a step take nothing for its own that is there: without a record it goes aside."""
    for pattern in OUTPUTS[number]:
        folder = Path(pattern.format(**keywords))
        if folder.is_dir():
            (folder / MADE_WITH).unlink(missing_ok=True)


def _exit_interrupted(resume):
    first = "" if resume else "set RESUME = True and "
    logger.info("interrupted; %srun StartProcess.py again to go on here", first)
    sys.exit(INTERRUPTED)


def _made_with(number, keywords, records):
    """Return what decides a step's output: its keywords, the user's files, the earlier steps."""
    inputs = {}
    for name in STEPS[number][2]:
        path = Path(keywords[name])
        inputs[name] = fingerprint(list_images(path)) if path.is_dir() else None
    earlier = INPUTS.get(number, ())
    if keywords.get("outline_source") == "augmented":
        earlier = [step for step in earlier if step != "1"]  # the WGAN is not looked at
    upstream = {step: _digest(records.get(step)) for step in earlier}
    backend = os.environ.get("KERAS_BACKEND")
    deciding = {
        name: value
        for name, value in keywords.items()
        if name not in WITHOUT_EFFECT and not name.endswith("_dir")
    }
    content = {
        "keywords": deciding,
        "inputs": inputs,
        "upstream": upstream,
        "backend": backend,
        "version": VERSION,
    }
    return json.loads(json.dumps(content, default=str))


def _why_run(record, made_with, number, keywords):
    """Return in words why a step must run, or None if it is finished as it would be made now."""
    if record is None:
        return "not done yet"
    before = record["made_with"]
    for part, word in PARTS.items():
        for name, value in made_with[part].items():
            if before[part].get(name) != value:
                return f"{word} {name} changed"
    for part, word in (("backend", "the backend"), ("version", "this program's version")):
        if before.get(part) != made_with[part]:
            return f"{word} changed"
    if record["left"] != _listing(number, keywords):
        return "its output is not as it was left: what is missing is made"
    return None


def _listing(number, keywords):
    """Return a digest of the names and sizes of a step's output files."""
    files = []
    for pattern in OUTPUTS[number]:
        path = Path(pattern.format(**keywords))
        if "*" in pattern:
            files += [run / path.name for run in list_runs(path.parents[1], path.name)[-1:]]
        elif path.is_file():
            files.append(path)
        elif path.is_dir():
            files += [file for file in path.iterdir() if not is_of_the_system(file)]
    return _digest(sorted((file.parent.name, file.name, file.stat().st_size) for file in files))


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

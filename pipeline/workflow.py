"""The run of StartProcess.py: check everything, then one step after another, each only if needed.

What was done is kept in ``ROOT_DIR/.workflow``: ``steps.json`` (what each finished step was made
with and what it left), ``digests.json`` (of large files), ``preset.json``, ``warnings.json``,
``log.txt``, and while a run is on ``lock.json`` and ``job.json`` (what the step's process does).
"""

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline.check_inputs import check_inputs
from pipeline.checks.earlier_steps import warn_of_other_backend, warn_of_other_options
from pipeline.checks.options import describe_missing_names, describe_names_in_other_case
from pipeline.checks.values import UNKNOWN, as_plain, is_folder_name
from pipeline.chosen_scale import with_scale
from pipeline.files.digests import known_digests, recall_digests
from pipeline.files.records import read_record, write_json
from pipeline.micrographs.micrograph_scale import AUTO
from pipeline.presets import (
    describe_changes,
    describe_switch,
    describe_wrong_calls,
    note_preset,
    warn_of_first_look,
)
from pipeline.running.logs import set_up_logging
from pipeline.running.output_folders import EDITED, GOES_ASIDE, MADE_WITH
from pipeline.running.run_lock import locked
from pipeline.running.step_failures import in_words, why_ended
from pipeline.running.step_process import (
    INTERRUPTED,
    catch_ends_from_outside,
    run_in_process,
)
from pipeline.running.step_records import (
    digest_of,
    is_as_left,
    new_record,
    read_records,
    what_decides,
    what_is_read,
    why_run,
    with_times_of_now,
)
from pipeline.running.step_table import AUGMENTED, DIGESTS, LOG, STATE, STEP_RECORDS, STEPS, Call
from pipeline.running.step_warnings import collected, note_checks, warnings_before
from pipeline.wording import format_seconds

logger = logging.getLogger(__name__)

MEASURES = "7"  # a step on which the preset has no bearing


def run_workflow(steps, *, options, selected=()):
    """Check options and inputs, then run the steps; exit with a step's code if it fails.

    Parameters
    ----------
    steps : ``steps(run_step)`` calls ``run_step(number, function name, **keywords)`` in order.
    options : the module's names; those in capitals are the options. ROOT_DIR is where the state
        is kept; with RESUME, steps that are finished with the same options and inputs are skipped.
    selected : numbers of the steps to run, such as ("3", "6a"); "6" is both; none is all.
    """
    all_calls, missing_names = _collect(steps)
    # Without all calls, what all steps need is checked.
    calls = None if all_calls is None else _select(all_calls, selected)
    known = describe_missing_names(missing_names) + describe_names_in_other_case(options)
    known += describe_wrong_calls(options) + describe_changes(options)
    all_names = options
    options = {name: as_plain(value) for name, value in options.items() if name.isupper()}
    set_up_logging()
    catch_ends_from_outside()
    try:
        depends_on_preset = calls is None or any(number != MEASURES for number, *_ in calls)
        if depends_on_preset and is_folder_name(options.get("ROOT_DIR")):
            known += describe_switch(all_names, Path(options["ROOT_DIR"]) / STATE)
        options, calls = with_scale(options, calls)
        may_skip = options.get("RESUME") and not selected
        if is_folder_name(options.get("ROOT_DIR")):
            with suppress(OSError):  # of which the checks tell
                recall_digests(read_record(Path(options["ROOT_DIR"]) / STATE / DIGESTS))
        if may_skip:
            warn_of_other_backend(calls or [])
        with collected() as warnings:
            _check_or_exit(options, calls, lambda call: may_skip and _is_done(options, call), known)
            warn_of_other_options(calls or [], all_calls or [])
            warn_of_first_look(all_names, calls)
        folder = Path(options["ROOT_DIR"]) / STATE
        folder.mkdir(parents=True, exist_ok=True)
        set_up_logging(folder / LOG)
        with locked(folder / "lock.json") as tell_lock:
            note_checks(folder, [number for number, *_ in calls], warnings)
            if all_names.get("MICROGRAPH_SCALE") == AUTO:
                _tell_of_scale(options["MICROGRAPH_SCALE"], calls)
            for call in calls:
                _run_unless_finished(folder, call, options, selected, tell_lock, all_names)
    except BlockingIOError as error:
        logger.error("%s", error)
        sys.exit(3)
    except (OSError, MemoryError) as error:
        logger.error("%s", in_words(error))
        _tell_how_to_go_on(options.get("RESUME"), selected)
        sys.exit(1)
    except KeyboardInterrupt:
        _exit_interrupted(options.get("RESUME"), selected)
    logger.info("all done")


def _collect(steps):
    """Return the calls and the names that are missing there.

    An option that is misspelt at its definition is such a name. UNKNOWN stands for its value, so
    that it hides nothing else that is wrong; where that does not do, the calls are None.
    """
    names, missing = steps.__globals__, []
    try:
        while True:
            try:
                return _list_calls(steps), missing
            except NameError as error:
                if error.name is None or error.name in names:  # not one of StartProcess.py
                    raise
                missing.append(error.name)
                names[error.name] = UNKNOWN
            except (TypeError, ValueError, AttributeError, LookupError):
                if not missing:
                    raise
                return None, missing  # a step computes with what is not known
    finally:
        for name in missing:
            names.pop(name, None)


def _list_calls(steps):
    calls = []

    def run_step(number, function, **keywords):
        calls.append(Call(number, function, as_plain(keywords)))

    steps(run_step)
    return calls


def _tell_of_scale(scale, calls):
    """Log the scale that was chosen by the outlines, where it has a bearing."""
    if scale != 1 and any("micrograph_scale" in keywords for *_, keywords in calls):
        logger.info(
            'MICROGRAPH_SCALE = "auto": your outlines are %s, so the networks see them, and the '
            "micrographs, %s; masks come out in the micrographs' own pixels",
            *(("small", f"enlarged {scale:g} times") if scale > 1 else ("large", f"at {scale:g}")),
        )


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
        sys.exit(
            f"No step {', '.join(unknown)}; there are the steps {', '.join(known)}. `python "
            "StartProcess.py` runs all that are not done, `python StartProcess.py 3 4` those that "
            "are named; what they do is set in StartProcess.py."
        )
    chosen = {name for name in known if name in selected or (name[0] == "6" and "6" in selected)}
    missing = chosen - {number for number, _, _ in calls}
    if missing:
        sys.exit(f"Step {', '.join(sorted(missing))} is not called in StartProcess.py.")
    return [call for call in calls if not selected or call[0] in chosen]


def _is_done(options, call):
    """Return whether a step is finished, as far as can be said before its keywords are checked."""
    number, _, keywords = call
    try:
        records = read_records(Path(options["ROOT_DIR"]) / STATE / STEP_RECORDS)
        made_with = what_decides(number, keywords, records)
        return why_run(records.get(number), made_with, number, keywords) is None
    except (KeyError, TypeError, ValueError, OSError):
        return False


def _run_unless_finished(folder, call, options, selected, tell_lock, all_names):
    number, function, keywords = call
    resume = options["RESUME"]
    title = f"Step {number} of {list(STEPS)[-1]}: {STEPS[number].title}"
    records = read_records(folder / STEP_RECORDS)
    made_with = what_decides(number, keywords, records)
    why = why_run(records.get(number), made_with, number, keywords)
    if resume and not selected and why is None:
        logger.info("%s: already done with the same options and inputs", title)
        record = with_times_of_now(records[number], number, keywords)
        if record != records[number]:
            write_json(folder / STEP_RECORDS, records | {number: record})
        _keep_digests(folder)
        return
    if resume and why and number in records:
        title += f" again ({why})"
    logger.info("%s", title)
    start = time.monotonic()
    keywords = dict(keywords)
    if function.startswith("train_"):
        keywords.setdefault("resume", resume)
        note_preset(all_names, folder)
    if function == "measure_particles":
        unused = ["1"] if options.get("OUTLINE_SOURCE") == AUGMENTED else []
        keywords.setdefault("earlier_warnings", warnings_before(folder, number, unused))
    read = what_is_read(number, keywords)
    if not resume:
        _mark_output(number, keywords, GOES_ASIDE)
    elif number in records and not is_as_left(records[number], number, keywords):
        _mark_output(number, keywords, EDITED)
    _keep_digests(folder)  # for the step, too
    if records.pop(number, None):
        # If it fails or is stopped, its output is no more what the record says.
        write_json(folder / STEP_RECORDS, records)
    call = call._replace(keywords=keywords)
    # What the step warned of stays where it makes the same, of which much may be there.
    of_warnings = digest_of([made_with, read["read"]]) if resume else None
    code, interrupted = run_in_process(folder, call, options, tell_lock, of_warnings)
    if code and not interrupted:
        why = why_ended(code, function, keywords)
        logger.error("step %s %s; see %s/log.txt", number, why, folder)
        _tell_how_to_go_on(resume, selected)
        sys.exit(code if code > 0 else 1)
    if code:
        _exit_interrupted(resume, selected)
    records = read_records(folder / STEP_RECORDS)
    records[number] = new_record(made_with, read, number, keywords)
    write_json(folder / STEP_RECORDS, records)
    _keep_digests(folder)
    logger.info("step %s took %s", number, format_seconds(time.monotonic() - start))
    if interrupted:
        _exit_interrupted(resume, selected)


def _keep_digests(folder):
    if known_digests() != read_record(folder / DIGESTS):
        write_json(folder / DIGESTS, known_digests())


def _mark_output(number, keywords, how):
    """Mark what a step made before, in the folders' records, so that it is moved aside.

    ``how``: GOES_ASIDE before the step begins, EDITED before it makes anything else there.
    """
    for pattern in STEPS[number].leaves:
        record = Path(pattern.format(**keywords)) / MADE_WITH
        if record.is_file():
            write_json(record, read_record(record) | {how: True})


def _exit_interrupted(resume, selected):
    logger.info("interrupted")
    _tell_how_to_go_on(resume, selected)
    sys.exit(INTERRUPTED)


def _tell_how_to_go_on(resume, selected):
    # With RESUME = False, or all steps instead of some, networks would be trained anew.
    first = "" if resume else "set RESUME = True and "
    command = " ".join(["python StartProcess.py", *selected])
    logger.info("to go on here, %srun `%s` again", first, command)

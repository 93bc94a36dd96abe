"""Whether what each step reads is there, or will be made by a step that runs before it."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.checks.values import UNKNOWN, is_folder_name, run_name
from pipeline.files.records import as_recorded, read_record
from pipeline.image_files import list_images
from pipeline.micrographs.micrograph_scale import AUTO
from pipeline.run_folders import OPTIONS_RECORD, finished_runs, list_runs, recorded_options
from pipeline.running.step_table import (
    NETWORKS,
    RUNS,
    STEPS,
    Call,
    deciding,
    named,
    reads_of,
)
from pipeline.wording import first_names

logger = logging.getLogger(__name__)

NEEDS_NOTHING = "8"  # without true masks it has nothing to score, which is no problem
# Steps that pair, file by file, what two others make, the second of them from the first's.
PAIRS = {"5": ("2", "4"), "6a": ("4", "5")}
# Options of trainings that may well differ later: new micrographs can have another info bar. (Of
# contrast ranges step 6b itself warns.)
OF_NO_NEW_TRAINING = ("image_crop", "seed", "contrast_range")


def check_earlier_steps(calls: list[Call]) -> list[str]:
    """Return one problem for each thing that a step needs, that is not there, and that no step
    before it makes.

    ``calls`` are those of the steps that will run, in their order.
    """
    made = set()
    problems = {}
    for number, _, keywords in calls:
        for earlier, path in _needs(number, keywords):
            if path not in made | problems.keys() and not _is_there(path):
                problems[path] = (
                    f"{named(number).capitalize()} needs what {named(earlier)} makes, but "
                    f"{_what_is_missing(path)}, and step {earlier} is not to run before. Run it "
                    f"too: add {earlier} to the steps named on the command line, or call it in "
                    "StartProcess.py."
                )
        if number in STEPS:
            made.update(_fill_in(pattern, keywords) for pattern in STEPS[number].leaves)
    return list(problems.values())


def check_pairs(calls: list[Call], is_done: Callable = lambda call: False) -> list[str]:
    """Return one problem for each step that would pair new files with others of before.

    ``calls`` are all that are to run; ``is_done(call)`` tells which
    of them need not.
    """
    numbers = [number for number, _, _ in calls]
    runs_again = _runs_again(calls, is_done)
    return [
        f"{named(number).capitalize()} pairs what the steps {first} and {second} make, and "
        f"{second} ({STEPS[second].function}) works on what {first} makes: where {first} runs "
        f"again, so must {second}. Add {second} to the steps named on the command line, or call it "
        "in StartProcess.py."
        for number, (first, second) in PAIRS.items()
        if number in numbers and second not in numbers and runs_again(first)
    ]


def warn_of_steps_between(
    calls: list[Call],
    is_done: Callable = lambda call: False,
    outline_source: str | None = None,
) -> None:
    """Warn where a step goes on with what another made of something that is made anew now.

    Parameters as of `check_pairs`, which has problems where files would not even fit;
    ``outline_source`` as in StartProcess.py, for calls without step 2.
    """
    called = {number: keywords for number, _, keywords in calls if number != NEEDS_NOTHING}
    runs_again = _runs_again(calls, is_done)
    for number, keywords in called.items():
        for between in [earlier for earlier, _ in _needs(number, keywords)]:
            before = _all_before(between, outline_source) & called.keys()
            if between in called or not before or not runs_again(number):
                continue
            anew = max(filter(runs_again, before), default=None)
            if anew is not None:
                logger.warning(
                    "%s will use what %s made earlier, although %s runs again now: add step %s to "
                    "renew that, too.",
                    *(named(number).capitalize(), named(between), named(anew), between),
                )


def _runs_again(calls, is_done):
    """Return a function that tells of a step's number whether it is called, and it or one that it
    builds on is not done. Each is looked at once, as that may take reading all input."""
    by_number = {call[0]: call for call in calls}

    @functools.cache
    def runs_again(number):
        if number not in by_number:
            return False
        call = by_number[number]
        earlier = reads_of(number, call[-1].get("outline_source"))
        return any(map(runs_again, earlier)) or not is_done(call)

    return runs_again


def _all_before(number, outline_source):
    """Return the numbers of all steps that a step's input goes back to."""
    before = set(reads_of(number, outline_source))
    return before.union(*(_all_before(earlier, outline_source) for earlier in before))


def warn_of_other_backend(calls: list[Call]) -> None:
    """Warn of trainings that begin anew because they were begun, or done, by another backend.

    Perhaps KERAS_BACKEND was not set once.
    """
    now = os.environ.get("KERAS_BACKEND")
    for number, function, keywords in calls:
        network = str(function).removeprefix("train_")
        folder = keywords.get(f"{network}_dir")
        if network == function or not is_folder_name(folder):
            continue
        with contextlib.suppress(OSError):
            runs = list_runs(Path(folder) / RUNS)
            asked = as_recorded(deciding(keywords)).items()
            alike = [run for run in runs if asked <= recorded_options(run).items()]
            backends = [read_record(run / OPTIONS_RECORD).get("backend") for run in alike]
            if backends and now not in backends:
                logger.warning(
                    "Step %s (%s) was run with %s and these options, and is run anew, as "
                    "KERAS_BACKEND is %s now. The network is kept: to go on with it, stop (Ctrl-C) "
                    "and set KERAS_BACKEND=%s in the environment.",
                    *(number, function, backends[-1], now, backends[-1]),
                )


def warn_of_other_options(calls: list[Call], all_calls: list[Call]) -> None:
    """Warn of networks that steps will run and that were trained with other options than those now.

    ``calls`` are those that will run, of ``all_calls`` in StartProcess.py.
    """
    called = {number: keywords for number, _, keywords in calls}
    trainings = {number: keywords for number, _, keywords in all_calls}
    for network, (title, training, _) in NETWORKS.items():
        users = [one for one, keywords in called.items() if training in dict(_needs(one, keywords))]
        folder = trainings.get(training, {}).get(f"{network}_dir")
        if training in called or not users or not is_folder_name(folder):
            continue
        with contextlib.suppress(OSError):
            runs = finished_runs(network, folder)
            changed = runs and _changed_options(runs[-1], trainings[training])
            if changed:
                logger.warning(
                    "Step %s will run the %s of %s, which was trained with other options than "
                    "those in StartProcess.py now (%s): add step %s to train it anew, or set them "
                    "as they were.",
                    *(users[0], title, runs[-1], first_names(changed), training),
                )


def _changed_options(run, keywords):
    """Return which options of a training call a run was not trained with, in words."""
    options = recorded_options(run)
    asked = {name: value for name, value in deciding(keywords).items() if value is not UNKNOWN}
    if asked.get("micrograph_scale") == AUTO:
        del asked["micrograph_scale"]
    return [
        f"{name} {options[name]!r}, now {value!r}"
        for name, value in as_recorded(asked).items()
        if name in options and options[name] != value and name not in OF_NO_NEW_TRAINING
    ]


def check_named_models(calls: Iterable[Call]) -> list[str]:
    """Return the problems of step calls that name a run which is
    missing or not finished.
    """
    problems = []
    for _, step_name, keywords in calls:
        for network, (_, _, files) in NETWORKS.items():
            run, folder = keywords.get(f"{network}_model"), keywords.get(f"{network}_dir")
            if run is None or run_name(run) or not is_folder_name(folder):
                continue
            models, runs = os.path.join(folder, RUNS), []
            if os.path.isdir(models) and os.access(models, os.R_OK | os.X_OK):
                paths = [Path(entry.path) for entry in os.scandir(models)]
                finished = (path for path in paths if all((path / f).is_file() for f in files))
                runs = sorted(path.name for path in finished)
            if run not in runs:
                problems.append(
                    f"{step_name}: {network}_model is {run!r}, but there is no such finished run "
                    f"(one that holds {' and '.join(files)}) in {models}. Allowed is None for the "
                    f"newest, or one of: {', '.join(runs) or 'none so far'}."
                )
    return problems


def _needs(number, keywords):
    """Return the steps and paths without whose output a step cannot work, as far as is known."""
    if number == NEEDS_NOTHING:
        return []
    reads = reads_of(number, keywords.get("outline_source"))
    needs = {earlier: patterns[-1] for earlier, patterns in reads.items()}
    if number == "2" and not keywords.get("match_scenes"):
        del needs["0"]
    # Of a network that is named, `check_named_models` tells.
    if any(keywords.get(f"{network}_model") is not None for network in NETWORKS):
        needs = {earlier: pattern for earlier, pattern in needs.items() if "*" not in pattern}
    paths = [(earlier, _fill_in(pattern, keywords)) for earlier, pattern in needs.items()]
    return [(earlier, path) for earlier, path in paths if path]


def _fill_in(pattern, keywords):
    """Return a pattern's path, or None where the call leaves out the folder, itself a problem."""
    try:
        return Path(pattern.format(**keywords))
    except KeyError:
        return None


def _is_there(path):
    try:
        if "*" in path.parts:
            return bool(list_runs(path.parents[1], path.name))
        return path.is_dir() and bool(list_images(path))
    except OSError:
        return True  # it cannot be looked at, which `check_write_permission` says


def _what_is_missing(path):
    if "*" in path.parts:
        return (
            f"no run in {path.parents[1]} has finished ({path.name}; a renamed one counts only "
            "where an option of the step's call names it)"
        )
    return f"{path} {'holds no images' if path.is_dir() else 'does not exist'}"

"""The preset: published values for a GPU, or quick ones for a machine without."""

import logging
import os
import subprocess
import sys
from pathlib import Path

from pipeline.checks.machine import machine_shows_gpu
from pipeline.checks.options import suggest
from pipeline.files.records import read_record, write_json
from pipeline.run_folders import list_runs
from pipeline.running.step_process import INTERRUPTED, environment_of_step
from pipeline.running.step_table import NETWORKS, PRESET_RECORD, RUNS

logger = logging.getLogger(__name__)

NAMES = {"published", "quick"}


class Preset:
    """``preset(published=..., quick=...)`` of StartProcess.py, which picks one of the two.

    ``chosen`` is the preset's name, ``chosen_by`` the options that decided by their names, and
    ``problems`` has a line for each call that did not name both presets.
    """

    def __init__(self, chosen, chosen_by):
        self.chosen, self.chosen_by, self.problems = chosen, chosen_by, []

    def __call__(self, *unnamed, **values):
        """Return the value of the preset; note a call that does not name both, and return any."""
        if not unnamed and values.keys() == NAMES:
            return values["published" if self.chosen == "published" else "quick"]
        given = [*map(repr, unnamed), *(f"{name}={value!r}" for name, value in values.items())]
        hints = "".join(
            suggest(name, NAMES - values.keys()) for name in values if name not in NAMES
        )
        problem = (
            f"preset({', '.join(given)}) does not name both presets; allowed is "
            f"preset(published=..., quick=...).{hints} Correct it in StartProcess.py."
        )
        if problem not in self.problems:  # the steps may be looked at more than once
            self.problems.append(problem)
        return next(iter([*values.values(), *unnamed]), None)


def choose_preset(options):
    """Return ``preset(published=..., quick=...)``, which picks the value for an option.

    Of the options it looks at PRESET, which is "published", "quick", or "auto": published where the
    backend finds a GPU, quick otherwise, and where USE_GPUS_NO is 0, the CPU. (Networks made with
    the other one are not trained anew for that: see `describe_switch`.) Any other name, or none,
    takes the quick values, so that `check_options` can refuse it with all that is wrong besides.
    """
    name, use_gpus = options.get("PRESET"), options.get("USE_GPUS_NO", "all")
    chosen = name
    if name == "auto":
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        wanted = use_gpus not in (0, [], ())
        there = wanted and machine_shows_gpu()
        try:
            found = there and backend_finds_gpu(use_gpus)
        except KeyboardInterrupt:
            logger.info("interrupted while looking for a GPU; nothing was started")
            sys.exit(INTERRUPTED)
        chosen = "published" if found else "quick"
        reason = "a GPU found" if found else "no GPU found"
        if not wanted:
            reason = f"USE_GPUS_NO is {use_gpus}, the CPU"
        elif there and not found:
            backend = os.environ.get("KERAS_BACKEND", "the backend")
            reason = f'a GPU is there, but {backend} cannot use it (README, "With a GPU")'
        logger.info("%s: %s preset", reason, chosen)
    return Preset(chosen, {"PRESET": name, "USE_GPUS_NO": use_gpus})


def describe_wrong_calls(options):
    """Return a line for each call of ``preset`` so far that did not name both presets."""
    return list(getattr(options.get("preset"), "problems", []))


def describe_changes(options):
    """Return a line for each option that was changed after ``choose_preset`` had looked at it.

    ``options`` are the names of StartProcess.py, ``preset`` among them, where it still is. The
    options in between have the values of the preset of before.
    """
    chosen_by = getattr(options.get("preset"), "chosen_by", {})
    return [
        f"{name} is {options[name]!r}, but was {value!r} where the preset was chosen: set it where "
        "it stands in StartProcess.py, above preset = choose_preset(...)."
        for name, value in chosen_by.items()
        if options.get(name, value) != value
    ]


def describe_switch(options, state_folder):
    """Return a line if PRESET is "auto" and is another preset now than the networks were made with.

    ``state_folder`` is ``.workflow`` (see `note_preset`). With another preset all would be trained
    anew, perhaps because a GPU was not seen once.
    """
    chosen = getattr(options.get("preset"), "chosen", None)
    if options.get("PRESET") != "auto" or chosen is None:
        return []
    try:
        before = read_record(state_folder / PRESET_RECORD).get("preset", chosen)
        folders = [options.get(f"{network.upper()}_DIR") for network in NETWORKS]
        has_networks = any(list_runs(Path(folder) / RUNS) for folder in folders if folder)
    except (OSError, ValueError, TypeError):  # it cannot be read, or a folder is none
        return []
    if before == chosen or not has_networks:
        return []
    return [
        f'PRESET is "auto", which is "{chosen}" on this machine now, but the networks in this '
        f'folder were made with "{before}". Set PRESET = "{before}" to go on with them, or '
        f'"{chosen}" to train all of them anew.'
    ]


def warn_of_first_look(options, calls):
    """Warn where the calls train networks with the quick preset, so that the report says it."""
    training = {network.step for network in NETWORKS.values()}
    chosen = getattr(options.get("preset"), "chosen", None)
    if chosen == "quick" and any(number in training for number, *_ in calls):
        logger.warning(
            "networks of the quick preset give a first look: of real agglomerates D50 came out 6 "
            'to 14 % too large. For sizes to publish see "Without a GPU" and "With a GPU" in '
            "README.md"
        )


def note_preset(options, state_folder):
    """Note the preset that a network is trained with, for `describe_switch`, if there is one."""
    if chosen := getattr(options.get("preset"), "chosen", None):
        write_json(state_folder / PRESET_RECORD, {"preset": chosen})


def backend_finds_gpu(use_gpus):
    """Return whether Keras' backend can use the GPU that USE_GPUS_NO chooses, asked in a process of
    its own."""
    question = f"from models import devices; print('usable:', devices.finds_gpu({use_gpus!r}))"
    answer = subprocess.run(
        [sys.executable, "-c", question],
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        # TensorFlow would take all of a GPU's free memory, which others may need just then.
        env={**environment_of_step(), "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode == 0 and "usable: True" in answer.stdout

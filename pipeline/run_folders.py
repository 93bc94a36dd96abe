"""Names of runs, and the newest finished model."""

import contextlib
import logging
import os
import re
import time
from pathlib import Path

from pipeline.files.records import read_json
from pipeline.files.whole_files import rename_for_good

logger = logging.getLogger(__name__)

TIME_OF_RUN = "%Y-%m-%d_%H-%M-%S"
RUN_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")


def new_run_folder(parent: Path) -> Path:
    """Make and return ``parent/<start time>``, later than all runs there.

    The newest run is the one of the latest name. Where the clock was set back since (the end of
    summer time, another time zone), the name is the second after it.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    seconds = time.time()
    while True:
        runs = {path.name: _start_of(path) for path in parent.iterdir() if is_run(path)}
        seconds = max(seconds, *runs.values(), 0.0)
        name = time.strftime(TIME_OF_RUN, time.localtime(seconds))
        if name > max((run for run, start in runs.items() if start), default=""):
            with contextlib.suppress(FileExistsError):
                (parent / name).mkdir()
                return parent / name
        seconds += 1


def name_new_run(finished: Path) -> Path:
    """Rename a folder, finished under another name, to a new run beside it; return that."""
    run_folder = new_run_folder(finished.parent)
    if os.name != "posix":  # elsewhere the name stays taken while others look for one
        run_folder.rmdir()
    rename_for_good(finished, run_folder)
    return run_folder


def is_run(path: Path) -> bool:
    """Return whether a folder has the name of a run."""
    return bool(RUN_NAME.fullmatch(path.name))


def list_runs(parent: Path, *files: str) -> list[Path]:
    """Return the run folders in ``parent`` that hold these files, the newest last.

    A folder of another name than a run's is the user's; one that cannot be read is passed over.
    """
    runs = (path for path in Path(parent).glob("*/") if is_run(path))
    readable = sorted(path for path in runs if os.access(path, os.R_OK | os.X_OK))
    return [run for run in readable if all((run / file).is_file() for file in files)]


def _start_of(run: Path) -> float:
    """Return when a run started by its name, as `time.time` does; 0 if that is no date."""
    try:
        return time.mktime(time.strptime(run.name, TIME_OF_RUN))
    except (ValueError, OverflowError):
        return 0.0


def newest_model(
    models_dir: Path,
    file_name: str,
    made_by: str,
    run: str | None = None,
    finished_by: str | None = None,
) -> Path:
    """Return ``models_dir/<run>/file_name`` of the latest run that holds a finished model.

    A later run without one is warned about.

    ``made_by`` names the step that makes it; ``run`` asks for one folder instead of the latest run;
    ``finished_by`` is a file that shows the model to be finished, where it is not itself.

    Raises
    ------
    FileNotFoundError
        If there is none; says which step makes it.
    """
    models_dir = Path(models_dir)
    if run is not None:
        path = models_dir / run / file_name
        if path.is_file() and path.with_name(finished_by or file_name).is_file():
            return path
        raise FileNotFoundError(
            f"{path} does not exist or is not finished. Name a run folder in {models_dir} that "
            f"holds {finished_by or file_name}, or None for the newest."
        )
    runs = list_runs(models_dir)
    found = list_runs(models_dir, file_name, finished_by or file_name)
    if not found:
        raise FileNotFoundError(
            f"No finished model ({file_name}) in {models_dir}: run {made_by} first, it makes it. "
            "(Folders not named by the time of a run are used only where an option names them.)"
        )
    if runs[-1] != found[-1]:
        logger.warning(
            "run %s in %s holds no finished model: that of run %s is used",
            runs[-1].name,
            models_dir,
            found[-1].name,
        )
    return found[-1] / file_name


def training_options(run_folder: Path, made_by: str, again: str) -> dict:
    """Return the options a network was trained with, from its run's ``options.json``.

    ``made_by`` is the step that trains it, ``again`` the command that trains it anew.

    Raises
    ------
    ValueError
        If the file is gone or damaged.
    """
    path = run_folder / "options.json"
    try:
        return read_json(path)["options"]
    except (TypeError, KeyError) as error:  # None where there is no file, or no JSON in it
        raise ValueError(
            f"{path} is gone or damaged, and {run_folder} of no use without it: bring it back from "
            f"a backup, or train anew with `{again}` ({made_by})."
        ) from error

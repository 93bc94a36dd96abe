"""Names of runs, and the newest finished one of a network."""

import contextlib
import logging
import os
import re
import time
from pathlib import Path

from pipeline.files.records import read_record
from pipeline.files.whole_files import rename_for_good
from pipeline.running.step_table import NETWORKS, RUNS, named

logger = logging.getLogger(__name__)

OPTIONS_RECORD = "options.json"  # in a run: what it was made with
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


def finished_runs(network: str, network_dir: Path) -> list[Path]:
    """Return the finished runs of "wgan", "cyclegan" or "unet" in its folder, the newest last."""
    return list_runs(Path(network_dir) / RUNS, *NETWORKS[network].files)


def newest_run(network: str, network_dir: Path, run: str | None = None) -> Path:
    """Return the folder ``network_dir/Models/<run>`` of the latest run that is finished.

    A later one that is not is warned about. ``network`` is "wgan", "cyclegan" or "unet"; ``run``
    asks for one folder instead of the latest run's.

    Raises
    ------
    FileNotFoundError
        If there is none; says which step makes it.
    """
    runs_dir, files = Path(network_dir) / RUNS, NETWORKS[network].files
    if run is not None:
        if all((runs_dir / run / file).is_file() for file in files):
            return runs_dir / run
        raise FileNotFoundError(
            f"{runs_dir / run} does not exist or is not finished. Name a run folder in {runs_dir} "
            f"that holds {' and '.join(files)}, or None for the newest."
        )
    runs, finished = list_runs(runs_dir), finished_runs(network, network_dir)
    if not finished:
        raise FileNotFoundError(
            f"No finished model ({' and '.join(files)}) in {runs_dir}: run "
            f"{named(NETWORKS[network].step)} first, it makes it. (Folders not named by the time "
            "of a run are used only where an option names them.)"
        )
    if runs[-1] != finished[-1]:
        logger.warning(
            "run %s in %s holds no finished model: that of run %s is used",
            runs[-1].name,
            runs_dir,
            finished[-1].name,
        )
    return finished[-1]


def training_options(network: str, run_folder: Path) -> dict:
    """Return the options a network was trained with, from its run's ``options.json``.

    Raises
    ------
    ValueError
        If the file is gone or damaged.
    """
    options = recorded_options(run_folder)
    if not options:
        raise ValueError(
            f"{run_folder / OPTIONS_RECORD} is gone or damaged, and {run_folder} of no use without "
            f"it: bring it back from a backup, or run {named(NETWORKS[network].step)} again, and "
            "the steps after it."
        )
    return options


def recorded_options(run_folder: Path) -> dict:
    """Return the options in a run's record, empty where it is gone or damaged."""
    options = read_record(Path(run_folder) / OPTIONS_RECORD).get("options")
    return options if isinstance(options, dict) else {}

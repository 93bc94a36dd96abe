"""Names of runs, the newest finished model, and output folders that can be continued."""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline import VERSION
from pipeline.files.whole_files import rename_for_good, whole_file

logger = logging.getLogger(__name__)

MADE_WITH = "made_with.json"
EARLIER_RESULTS = "Earlier_Results"
# In a record: next time the content moves aside, whatever made it; the user changed some of it.
GOES_ASIDE, EDITED = "goes_aside", "edited"
TIME_OF_RUN = "%Y-%m-%d_%H-%M-%S"
RUN_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
# What an OSError says if the disk, one's share of it, or what a file may hold is used up.
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


def as_recorded(content):
    """Return what a JSON file gives back of ``content``; what no JSON type fits becomes text."""
    return json.loads(json.dumps(content, default=_as_json, skipkeys=True))


def _as_json(value):
    return value.item() if isinstance(value, np.generic) else str(value)


def write_json(path: Path, content) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, default=_as_json)
        file.write("\n")


def read_json(path: Path):
    """Return the content of a JSON file, or None where there is no (readable) file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def read_record(path: Path) -> dict:
    """Return the object in a JSON file, empty where there is none or something else."""
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def fingerprint(files: Iterable[Path]) -> str:
    """Return a hash over the names and contents of files, in the order of their paths.

    An accent in a name may be written either way: a copy to another system may change that.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(map(Path, files), key=composed):
        digest.update(os.fsencode(composed(path).name))
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def composed(path: Path) -> Path:
    """Return a path with each accent in one character with its letter."""
    return Path(unicodedata.normalize("NFC", str(path)))


def check_made_from(folder: Path, inputs: str, again: str) -> None:
    """Raise a ValueError if a folder's record says it was made from other files than ``inputs``.

    ``inputs`` is a fingerprint, in a record alone or in a list; ``again`` is what to do. A folder
    without a record is the user's, who may have picked the files.
    """
    made_from = read_record(Path(folder) / MADE_WITH).get("inputs", inputs)
    if inputs not in (made_from if isinstance(made_from, list) else [made_from]):
        raise ValueError(
            f"{folder} was made from other files than those there now: {again}. (If you picked the "
            f"pairs yourself, delete {Path(folder) / MADE_WITH}.)"
        )


def is_of_the_system(path: Path) -> bool:
    """Return whether a file was put there by the desktop, or is a rest of a stopped run."""
    hidden = path.name.startswith(".")
    return hidden or path.name.lower() in ("thumbs.db", "desktop.ini")


def open_output_folder(folder: Path, made_with: dict, keep_earlier: bool = False) -> Path:
    """Make an output folder ready: continue it if it was made with the same, else empty it.

    A step calls this before it writes, then skips the files that exist already (every file is
    written under a temporary name and renamed, so a file that exists is whole).

    Parameters
    ----------
    folder : where the step writes.
    made_with : all that decides the output (options, fingerprints of inputs, the model's run);
        JSON values only. It is recorded in ``made_with.json``, with this program's version.
    keep_earlier : True for results a user looks at: what is there goes to
        ``Earlier_Results/<folder>_<time>`` beside the folder instead of being deleted. So do files
        in a folder that has no record, or of whose content the user changed some (`EDITED` in
        the record), and always what no step makes: folders, links and files of other endings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made_with = as_recorded({"version": VERSION, **made_with})
    earlier = read_record(folder / MADE_WITH) or None
    edited = {EDITED: True} if earlier and earlier.pop(EDITED, False) else {}
    content = [path for path in folder.iterdir() if not is_of_the_system(path)]
    if content and earlier != made_with:
        keep_all = keep_earlier or earlier is None or earlier.get(GOES_ASIDE) or edited
        kept = {path for path in content if keep_all or _no_step_makes(path)}
        aside = _new_folder_aside(folder) if kept else None
        # The record goes first: a folder without one is never taken for a finished one.
        for path in sorted(content, key=lambda path: path.name != MADE_WITH):
            if path in kept:
                shutil.move(path, aside / path.name)  # also where that is another disk
            else:
                path.unlink()
        edited = {}
    # Where all is kept anyway it need not be known.
    write_json(folder / MADE_WITH, made_with if keep_earlier else made_with | edited)
    return folder


def _no_step_makes(path: Path) -> bool:
    """Return whether something in a folder of images that steps write is none of these."""
    is_ours = path.name == MADE_WITH or path.suffix == ".tif"
    return path.is_symlink() or path.is_dir() or not is_ours


def _new_folder_aside(folder: Path) -> Path:
    """Make and return the folder that a folder's content is to be kept in."""
    aside = folder.parent / EARLIER_RESULTS / f"{folder.name}_{time.strftime(TIME_OF_RUN)}"
    while aside.exists():
        aside = aside.with_name(aside.name + "+")
    aside.mkdir(parents=True)
    logger.info("earlier content of %s kept in %s", folder, aside)
    return aside

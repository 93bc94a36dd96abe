"""Folders that a step writes files to: continued, emptied, or moved aside."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pipeline import VERSION
from pipeline.files.records import as_recorded, read_record, write_json
from pipeline.files.written_images import is_as_written
from pipeline.run_folders import TIME_OF_RUN

logger = logging.getLogger(__name__)

MADE_WITH = "made_with.json"
EARLIER_RESULTS = "Earlier_Results"
# In a record: next time the content moves aside, whatever made it; the user changed some of it.
GOES_ASIDE, EDITED = "goes_aside", "edited"


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


def as_noted(folder: Path, name: str, run: list[str]) -> list[str]:
    """Return a network's run, its name and a fingerprint, as a folder's record has it by ``name``.

    That is where it is the same network: one that is used again may be a copy of another name.
    """
    noted = read_record(Path(folder) / MADE_WITH).get(name)
    return noted if isinstance(noted, list) and noted[1:] == run[1:] else run


def is_of_the_system(path: Path) -> bool:
    """Return whether a file was put there by the desktop, or is a rest of a stopped run."""
    hidden = path.name.startswith(".")
    return hidden or path.name.lower() in ("thumbs.db", "desktop.ini")


def open_output_folder(
    folder: Path,
    made_with: dict,
    keep_earlier: bool = False,
    tell_aside: Callable[[Path], None] = lambda folder: None,
) -> Path:
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
        the record, which knows of those deleted, too, or an image that is not `is_as_written`), and
        always what no step makes: folders, links and files of other endings.
    tell_aside : is told the folder that they went to, if any did.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made_with = as_recorded({"version": VERSION, **made_with})
    earlier = read_record(folder / MADE_WITH) or None
    edited = {EDITED: True} if earlier and earlier.pop(EDITED, False) else {}
    content = [path for path in folder.iterdir() if not is_of_the_system(path)]
    if content and earlier != made_with:
        keep_all = keep_earlier or earlier is None or earlier.get(GOES_ASIDE) or edited
        keep_all = keep_all or not all(map(_is_as_left, content))
        kept = {path for path in content if keep_all or _no_step_makes(path)}
        aside = _new_folder_aside(folder) if kept else None
        # The record goes first: a folder without one is never taken for a finished one.
        for path in sorted(content, key=lambda path: path.name != MADE_WITH):
            if path in kept:
                shutil.move(path, aside / path.name)  # also where that is another disk
            else:
                path.unlink()
        edited = {}
        if aside:
            tell_aside(aside)
    # Where all is kept anyway it need not be known.
    write_json(folder / MADE_WITH, made_with if keep_earlier else made_with | edited)
    return folder


def _no_step_makes(path: Path) -> bool:
    """Return whether something in a folder of images that steps write is none of these."""
    has_name_of_ours = path.name == MADE_WITH or path.suffix == ".tif"
    return path.is_symlink() or path.is_dir() or not has_name_of_ours


def _is_as_left(path: Path) -> bool:
    """Return whether something is as a step left it, or is none of what steps make."""
    return path.name == MADE_WITH or _no_step_makes(path) or is_as_written(path)


def _new_folder_aside(folder: Path) -> Path:
    """Make and return the folder that a folder's content is to be kept in."""
    aside = folder.parent / EARLIER_RESULTS / f"{folder.name}_{time.strftime(TIME_OF_RUN)}"
    while aside.exists():
        aside = aside.with_name(aside.name + "+")
    aside.mkdir(parents=True)
    logger.info("earlier content of %s kept in %s", folder, aside)
    return aside

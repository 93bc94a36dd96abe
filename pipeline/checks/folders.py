"""Whether the folders that a run writes can be written."""

import contextlib
import logging
import os
from collections.abc import Collection
from pathlib import Path

from pipeline.checks.options import OUTPUT_FOLDERS
from pipeline.running import cyclegan_folders
from pipeline.running.output_folders import EARLIER_RESULTS
from pipeline.running.step_table import OUTLINE_SHEETS, RUNS, STATE, STATE_FILES, STEPS

logger = logging.getLogger(__name__)

# Folders whose content a step moves to `EARLIER_RESULTS` beside them, and its number.
MAKERS = {"OUTPUT_DIR_CYCLEGAN": "5", "OUTPUT_DIR_UNET": "6b"}
# What the steps write to below the folders that the options name.
WRITTEN_BELOW = {
    "ROOT_DIR": (STATE,),
    "WGAN_DIR": (RUNS, OUTLINE_SHEETS),
    "CYCLEGAN_DIR": (RUNS, *cyclegan_folders.FOLDERS),
    "UNET_DIR": (RUNS,),
}


def existing_parent(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists and can be seen.

    Of a drive that is not there, its name: nothing of it exists.
    """
    folder = Path(os.path.abspath(folder))
    above = (folder, *folder.parents)
    # Not Path.exists, which raises an error below a folder that may not be entered.
    return next((one for one in above if os.path.exists(one)), above[-1])


def _warn_of_masks_that_stay(name: str, folder: Path) -> None:
    """Warn where masks that are there cannot be moved aside, if others are made."""
    aside = folder.parent / EARLIER_RESULTS
    place = aside if os.path.exists(aside) else folder.parent
    with contextlib.suppress(OSError):
        if any(folder.iterdir()) and not os.access(place, os.W_OK | os.X_OK):
            logger.warning(
                "%s is %s, which holds masks, and there is no permission to write in %s, where "
                "they go before others are made: the step would fail then.",
                *(name, folder, place),
            )


def check_write_permission(
    options: dict[str, object], numbers: Collection[str] = tuple(STEPS)
) -> list[str]:
    """Return which of the folders that a run writes cannot be written.

    Those that none of the steps with these numbers writes may lie in folders without permission.
    """
    written = {output for number in STEPS.keys() & numbers for output in STEPS[number].leaves}
    problems = []
    for name in ("ROOT_DIR", *OUTPUT_FOLDERS):
        if name not in options:
            continue
        is_written = name == "ROOT_DIR" or (
            MAKERS[name] in numbers
            if name in MAKERS
            else any(f"{{{name.lower()}}}" in output for output in written)
        )
        below = [Path(options[name]) / inner for inner in WRITTEN_BELOW.get(name, ()) if is_written]
        if MAKERS.get(name) in numbers:
            _warn_of_masks_that_stay(name, Path(options[name]))
        for place in (existing_parent(options[name]), *filter(os.path.exists, below)):
            if not os.path.exists(place):
                problems.append(
                    f"{name} is {options[name]}, but there is no {place}. Allowed is a folder on "
                    "a drive that is there: connect it or change the option."
                )
            elif not place.is_dir():
                problems.append(
                    f"{name} is {options[name]}, but {place} is a file. Allowed is a folder: "
                    "rename the file or change the option."
                )
            elif is_written and not os.access(place, os.W_OK | os.X_OK):
                problems.append(
                    f"{name} is {options[name]}, but there is no permission to write in {place}. "
                    "Allowed is a folder of your own: change the permission or the option."
                )
    for name in STATE_FILES if "ROOT_DIR" in options else ():
        path = Path(options["ROOT_DIR"]) / STATE / name
        if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
            problems.append(
                f"{path}, in which a run notes what it has done, may not be read and written. "
                "Change its permission or its owner."
            )
    return problems

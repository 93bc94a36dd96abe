"""What a measurement rests on: what made its masks, with which versions, and when."""

import importlib.metadata
import os
import platform
import time
from pathlib import Path

from pipeline import PROGRAM, VERSION
from pipeline.files.mask_origin import UNKNOWN
from pipeline.files.mask_pairs import list_masks
from pipeline.files.records import fingerprint, read_json, write_json
from pipeline.files.written_images import is_as_written
from pipeline.running.output_folders import MADE_WITH

PACKAGES = ("numpy", "scipy", "scikit-image", "opencv-python", "tifffile", "roifile", "matplotlib")
NETWORK_PACKAGES = ("keras", "tensorflow", "torch")


def what_made(masks_dir: Path, image_rows: list[dict]) -> object:
    """Return what the step that made the masks noted; None for masks from elsewhere.

    ``image_rows``: of images.csv. One of the masks that is of a step will do.
    """
    masks_dir = Path(masks_dir)
    noted = read_json(masks_dir / MADE_WITH)
    of_a_step = noted is not None and any(
        row["mask_from"] != UNKNOWN or is_as_written(masks_dir / row["mask"]) for row in image_rows
    )
    return noted if of_a_step else None


def write_about(
    run_folder: Path, masks_dir: Path, networks: dict[str, Path], about: dict[str, object]
) -> None:
    """Write what the report says about the run itself: ``about``, versions, the masks' folder."""
    versions = {PROGRAM: VERSION, "python": platform.python_version()}
    for package in PACKAGES + (NETWORK_PACKAGES if about["masks_made_with"] else ()):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    about = about | {
        "measured": time.strftime("%Y-%m-%d %H:%M"),
        "versions": versions,
        "masks": fingerprint(list_masks(masks_dir)),
        "masks_folder": "/".join(Path(masks_dir).resolve().parts[-2:]),
        # Relative, so that the report can be made again where the folders were moved together.
        "networks": {name: _path_from(run_folder, path) for name, path in networks.items()},
    }
    write_json(run_folder / "about.json", about)


def _path_from(folder: Path, other: Path) -> str:
    """Return the path from one folder to another, through links; absolute between drives.

    With slashes on Windows, too, so that other systems find it.
    """
    try:
        path = os.path.relpath(os.path.realpath(other), os.path.realpath(folder))
    except ValueError:
        path = os.path.realpath(other)
    return Path(path).as_posix()

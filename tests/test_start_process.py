"""The whole script as a user runs it, with tiny options, on the backend of the environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.image_files import list_images, read_image

PROJECT = Path(__file__).resolve().parent.parent
TINY = {
    "TILE_SIZE_W": 64,
    "TILE_SIZE_H": 64,
    "NUM_SIMULATED_MASKS": 6,
    "WGAN_BATCH_SIZE": 16,
    "WGAN_EPOCHS": 3,
    "CYCLEGAN_BATCH_SIZE": 2,
    "CYCLEGAN_EPOCHS": 1,
    "CYCLEGAN_FILTERS": 2,
    "UNET_BATCH_SIZE": 4,
    "UNET_EPOCHS": 1,
    "UNET_FILTERS": 4,
}


def write_script(folder, options):
    """Write StartProcess.py to ``folder`` with options edited, as a user does."""
    text = (PROJECT / "StartProcess.py").read_text(encoding="utf-8")
    for name, value in options.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", text)
        assert count == 1, name
    (folder / "StartProcess.py").write_text(text, encoding="utf-8")


def run_script(folder, *arguments):
    """Run the script in ``folder`` and return the finished process, its output as text."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "StartProcess.py", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

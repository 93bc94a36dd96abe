"""A project with small micrographs of many kinds and tiny options, as a user would make it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from pipeline.image_files import write_image

PROJECT = Path(__file__).resolve().parents[1]
TINY = {
    "PRESET": "quick",
    "OUTLINE_SOURCE": "wgan",
    "WHEN_A_NETWORK_FAILS": "warn",  # so short a training teaches nothing
    "TILE_SIZE_W": 64,
    "TILE_SIZE_H": 64,
    "MICROGRAPH_SCALE": 1.25,
    "NUM_SIMULATED_MASKS": 6,
    "WGAN_BATCH_SIZE": 8,
    "WGAN_EPOCHS": 4,
    "CYCLEGAN_BATCH_SIZE": 2,
    "CYCLEGAN_EPOCHS": 2,
    "CYCLEGAN_FILTERS": 2,
    "UNET_BATCH_SIZE": 4,
    "UNET_EPOCHS": 1,
    "UNET_FILTERS": 4,
    "CHECKPOINT_MINUTES": 0.02,
}
# Ways that the publication knows and the defaults do not go. With torch the tiny project takes
# them, so that the tests of both backends together run the whole script over both.
PUBLISHED = {
    "DARK_BACKGROUND": False,
    "MICROGRAPH_SCALE": 1,
    "RUN_INFERENCE_ON_WHOLE_IMAGE": False,
    "MATCH_SCENES": False,
    "UNET_TARGET": "mask",
    "UNET_TEST_TIME_FLIPS": False,
    "UNET_TEST_TIME_MAGNIFICATION": 1,
    "UNET_VARY_IMAGING": False,
    "UNET_GAP_WEIGHT": 0.0,
}
PUBLISHED_ADVANCED = {"use_binary_crossentropy": True, "lambda_identity": (0.0, 0.0)}
AS_PUBLISHED = os.environ.get("KERAS_BACKEND") == "torch"
# One of each kind: file name, dtype, colour channels, height, width.
MICROGRAPHS = (
    ("plain.tif", np.uint8, 1, 96, 128),
    ("sixteen bits.TIFF", np.uint16, 1, 100, 90),
    ("Größe.PNG", np.uint8, 3, 80, 110),
    ("photo.jpg", np.uint8, 3, 70, 70),
    ("floats.tif", np.float32, 1, 64, 100),
)


def micrograph(dtype, channels, height, width, seed, dark):
    """Return bright disks on a dark, noisy ground, or its negative if particles are to be dark."""
    random = np.random.default_rng(seed)
    image = random.normal(60, 8, (height, width)).astype(np.float32)
    for _ in range(height * width // 800):
        centre = (int(random.integers(width)), int(random.integers(height)))
        cv2.circle(image, centre, int(random.integers(6, 11)), 170.0, -1)
    image = np.clip(cv2.GaussianBlur(image, None, 1.0), 0, 255)
    image = 255 - image if dark else image
    image = image * (257 if dtype == np.uint16 else 1)
    image = image.astype(dtype)
    return image if channels == 1 else np.dstack([image] * channels)


def make_project(folder, options=TINY, as_published=AS_PUBLISHED):
    """Fill ``folder`` with micrographs, outlines, and StartProcess.py edited as a user does.

    ``as_published``: whether it goes the published ways, `PUBLISHED`, or those of the defaults.
    """
    (folder / "Input_Images").mkdir(parents=True)
    (folder / "Input_Masks").mkdir()
    for seed, (name, *kind) in enumerate(MICROGRAPHS):
        write_image(folder / "Input_Images" / name, micrograph(*kind, seed, as_published))
    for number in range(8):
        outline = np.zeros((32, 32), np.uint8)
        axes = (9 + number % 4, 9 + number // 4)
        cv2.ellipse(outline, (16, 16), axes, 20 * number, 0, 360, 255, -1)
        write_image(folder / "Input_Masks" / f"outline_{number}.png", outline)
    text = (PROJECT / "StartProcess.py").read_text(encoding="utf-8")
    for name, value in (options | (PUBLISHED if as_published else {})).items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", text)
        assert count == 1, name
    for name, value in PUBLISHED_ADVANCED.items() if as_published else ():
        text, count = re.subn(rf"(?m)^( +{name}=)[^#\n]*,", rf"\g<1>{value!r},", text)
        assert count == 1, name
    (folder / "StartProcess.py").write_text(text, encoding="utf-8")
    return folder


def start_script(folder, *arguments):
    """Start the script in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, "StartProcess.py", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_script(folder, *arguments):
    """Run the script in ``folder``; return its exit code and all it said."""
    process = start_script(folder, *arguments)
    output, _ = process.communicate()
    return process.returncode, output

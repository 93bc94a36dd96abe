"""Where the fake micrographs are that the UNet learns from."""

from pathlib import Path

from pipeline.running.output_folders import MADE_WITH

FAKES, BLURRED = "A", "A_blurred"


def fake_micrographs_folder(cyclegan_dir: Path) -> Path:
    """Return the folder of the fake micrographs to train on: blurred ones where there are any."""
    translated = Path(cyclegan_dir) / "generate_images"
    blurred = (translated / BLURRED / MADE_WITH).is_file()
    return translated / (BLURRED if blurred else FAKES)

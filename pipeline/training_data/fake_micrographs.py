"""Where the fake micrographs are that the UNet learns from."""

from pathlib import Path

from pipeline.running.cyclegan_folders import BLURRED_FAKES, FAKE_MICROGRAPHS
from pipeline.running.output_folders import MADE_WITH


def fake_micrographs_folder(cyclegan_dir: Path) -> Path:
    """Return the folder of the fake micrographs to train on: blurred ones where there are any."""
    blurred = Path(cyclegan_dir) / BLURRED_FAKES
    return blurred if (blurred / MADE_WITH).is_file() else Path(cyclegan_dir) / FAKE_MICROGRAPHS

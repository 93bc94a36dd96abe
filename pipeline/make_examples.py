"""Write the shipped examples: ``python -m pipeline.make_examples [FOLDER] [--truth FOLDER]``."""

import argparse
import logging
from pathlib import Path

import numpy as np

from pipeline.image_files import write_image
from simulate.examples import make_examples, make_outlines

logger = logging.getLogger(__name__)


def write_examples(root_dir: Path, truth_dir: Path | None = None) -> None:
    """Write Input_Images and Input_Masks into a folder, and the true masks beside them.

    Parameters
    ----------
    root_dir : gets ``Input_Images`` (8 micrographs) and ``Input_Masks`` (24 outlines).
    truth_dir : if given, gets a mask per micrograph, of its stem and size: uint8 TIFF, 255 the
        particles (touching ones stand apart), 0 the background and the info bar.
    """
    root_dir = Path(root_dir)
    for name, micrograph, labels in make_examples():
        _write(root_dir / "Input_Images" / name, micrograph)
        if truth_dir is not None:
            mask = np.where(labels > 0, np.uint8(255), np.uint8(0))
            _write(Path(truth_dir) / f"{Path(name).stem}.tif", mask)
    for name, outline in make_outlines():
        _write(root_dir / "Input_Masks" / name, outline)


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, array)
    logger.info("wrote %s", path)


def main() -> None:
    """Read the command line and write the examples."""
    parser = argparse.ArgumentParser(description="Write the shipped examples and their truth.")
    parser.add_argument("folder", nargs="?", type=Path, default=".", help="gets the examples")
    parser.add_argument(
        "--truth", type=Path, metavar="FOLDER", help="gets the true masks, for scoring"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_examples(options.folder, options.truth)


if __name__ == "__main__":
    main()

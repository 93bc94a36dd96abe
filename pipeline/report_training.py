"""The report's part on the networks: options, training curves, preview sheets."""

import logging
import math
from html import escape
from pathlib import Path

import numpy as np

from pipeline.csv_tables import read_table
from pipeline.report_parts import options_list, picture, plot, section
from pipeline.report_pictures import jpeg_uri, plot_training_curves, png_uri, read_training_log
from pipeline.run_folders import MADE_WITH, read_json

logger = logging.getLogger(__name__)

NETWORKS = {
    "WGAN: outlines of particles": "1_WGAN/Models",
    "CycleGAN: micrographs and masks": "2_CycleGAN/Models",
    "MultiRes UNet: segmentation": "3_UNet/Models",
}
# What is on the sheets, where they lie, and the pattern of their names.
PREVIEWS = {
    "WGAN, outlines": ("1_WGAN/Output_Images", "Epoch_*.*"),
    "CycleGAN, micrograph, mask, micrograph again, outline": (
        "2_CycleGAN/images",
        "A-B-A_Epoch_*.*",
    ),
    "CycleGAN, mask, micrograph, mask again": ("2_CycleGAN/images", "B-A-B_Epoch_*.*"),
}
SIMULATED = "2_CycleGAN/data/trainB"
SCENES = "2_CycleGAN/data/scenes.png"
PAIRS = "2_CycleGAN/generate_images/pairs.csv"
LARGEST_SHEET_BYTES = 350_000


def training_section(root_dir: Path) -> tuple[str, str]:
    """Return the section with options and curves of each network's newest run.

    Last come the options of the simulated masks that the networks were trained with.
    """
    content = []
    for name, folder in NETWORKS.items():
        run = _newest_run(root_dir / folder, "training_log.csv")
        if run is None:
            continue
        log = read_training_log(run / "training_log.csv")
        curves = plot_training_curves(log)
        epochs = len(next(iter(log.values()), ()))
        content += [
            f"<h3>{name}</h3>",
            f'<p class="note">Run {escape(run.name)}, {epochs} epochs.</p>',
            plot(png_uri(curves), f"Training curves, {name}", "plot curves") if curves else "",
        ]
        options = read_json(run / "options.json")
        if isinstance(options, dict):
            content.append(options_list(_one_level(options)))
    simulated = read_json(root_dir / SIMULATED / MADE_WITH)
    if isinstance(simulated, dict):
        content += ["<h3>Simulated masks</h3>", options_list(_one_level(simulated))]
    return section("Training", *content)


def preview_section(root_dir: Path) -> tuple[str, str]:
    """Return the section with the first and the last preview sheet of each kind."""
    content = []
    for name, (folder, pattern) in PREVIEWS.items():
        run = _newest_run(root_dir / folder, pattern)
        if run is None:
            continue
        sheets = sorted(run.glob(pattern))
        pictures = []
        for path in dict.fromkeys([sheets[0], sheets[-1]]):
            epoch = path.stem.rpartition("_")[2].lstrip("0") or "0"
            try:
                uri = jpeg_uri(path, LARGEST_SHEET_BYTES)
            except ValueError as error:
                logger.warning("left out of the report: %s", error)
                continue
            pictures.append(picture(uri, f"{name}, epoch {epoch}", f"Epoch {epoch}"))
        if pictures:
            content += [f"<h3>{escape(name)}</h3>", f'<div class="pair">{"".join(pictures)}</div>']
    return section("Preview sheets", *content)


def scene_section(root_dir: Path) -> tuple[str, str]:
    """Return the section that compares the simulated masks with real and fake micrographs."""
    content = []
    drawn = root_dir / SCENES
    if drawn.is_file():
        uri = png_uri(drawn.read_bytes())
        content.append(
            plot(uri, "Coverage, agglomerates and particles, simulated and in the micrographs")
        )
    fidelities = [float(row["fidelity"] or "nan") for row in read_table(root_dir / PAIRS)]
    known = [value for value in fidelities if not math.isnan(value)]
    if known:
        low, high = np.percentile(known, (5, 95))
        content.append(
            f'<p class="note">Fidelity of {len(known)} fake micrographs to their masks: '
            f"{np.mean(known):.2f} in the mean, {low:.2f} to {high:.2f} for nine in ten; 1 is a "
            "micrograph that shows what its mask does, no more and no less.</p>"
        )
    return section("Simulated and real scenes", *content)


def _one_level(options: dict) -> dict:
    """Return options and versions, each a group in options.json, as entries of their own."""
    entries = {}
    for name, value in options.items():
        entries |= value if isinstance(value, dict) else {name: value}
    return entries


def _newest_run(runs_dir: Path, pattern: str) -> Path | None:
    """Return the folder of the latest run that holds a file like ``pattern``."""
    found = sorted(runs_dir.glob(f"*/{pattern}"), key=lambda path: path.parent.name)
    return found[-1].parent if found else None

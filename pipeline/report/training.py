"""The report's part on the networks: options, training curves, preview sheets, how alike scenes are
and how far fake micrographs show their masks."""

import logging
from html import escape
from pathlib import Path

import numpy as np

from pipeline.files.csv_tables import column_of_numbers, read_table
from pipeline.files.records import fingerprint, read_record
from pipeline.image_files import list_images, read_image
from pipeline.report.parts import options_list, picture, plot, section
from pipeline.report.pictures import (
    jpeg_uri,
    jpeg_uri_of,
    plot_training_curves,
    png_uri,
    read_training_log,
)
from pipeline.run_folders import OPTIONS_RECORD, list_runs, recorded_options
from pipeline.running.cyclegan_folders import (
    FAKE_MICROGRAPHS,
    PAIRS_TABLE,
    SCENES,
    SHEETS,
    SIMULATED_MASKS,
    TEST_MASKS,
    TEST_TILES,
)
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import OUTLINE_SHEETS, RUNS
from pipeline.training.preview_sheets import contact_sheet
from pipeline.training_data.filtered_pairs import fake_micrographs_folder
from pipeline.wording import counted

logger = logging.getLogger(__name__)

# The networks, as a run of step 7 notes their folders.
WGAN, CYCLEGAN, UNET = "wgan", "cyclegan", "unet"
HEADINGS = {
    "WGAN: outlines of particles": WGAN,
    "CycleGAN: micrographs and masks": CYCLEGAN,
    "MultiRes UNet: segmentation": UNET,
}
# What is on the sheets, where they lie, and the pattern of their names.
PREVIEWS = {
    "WGAN, outlines": (WGAN, OUTLINE_SHEETS, "Epoch_*.*"),
    "CycleGAN, micrograph, mask, micrograph again, outline": (
        CYCLEGAN,
        SHEETS,
        "A-B-A_Epoch_*.*",
    ),
    "CycleGAN, mask, micrograph, mask again": (CYCLEGAN, SHEETS, "B-A-B_Epoch_*.*"),
}
# In the folder of the CycleGAN.
EXAMPLES = {
    "Tiles of the micrographs": TEST_TILES,
    "Simulated masks": TEST_MASKS,
}
EXAMPLES_SHOWN, COLUMNS_OF_EXAMPLES = 4, 2
LARGEST_SHEET_BYTES = 350_000


def runs_of_masks(folders: dict[str, Path], masks_made_with: dict | None) -> dict[str, str]:
    """Return the runs of the networks behind masks, by `WGAN`, `CYCLEGAN` and `UNET`.

    That is what the records of the steps in the networks' ``folders``, by the same names, say; a
    network that none names is left out. "" is one that is not to be shown: the WGAN, where the
    given outlines were deformed instead, and both GANs where the fake micrographs that are there
    are not those the UNet learned from.
    """
    unet = masks_made_with.get("unet_model") if isinstance(masks_made_with, dict) else None
    if not unet:
        return {}
    learned_from = recorded_options(folders[UNET] / RUNS / unet[0]).get("inputs") or [None]
    fakes = fake_micrographs_folder(folders[CYCLEGAN])
    runs = {UNET: unet[0]}
    if learned_from[0] and fakes.is_dir():
        if learned_from[0] != fingerprint(list_images(fakes)):
            return runs | {CYCLEGAN: "", WGAN: ""}
        translated, simulated = (
            read_record(folders[CYCLEGAN] / name / MADE_WITH)
            for name in (FAKE_MICROGRAPHS, SIMULATED_MASKS)
        )
        model, outlines = translated.get("model"), simulated.get("outlines")
        runs |= {CYCLEGAN: model[0]} if model else {}
        runs |= {WGAN: outlines} if outlines is not None else {}
    return runs


def are_others(runs: dict[str, str]) -> bool:
    """Return whether the fakes that are there are others than those the UNet learned from."""
    return runs.get(CYCLEGAN) == ""


def training_section(folders: dict[str, Path], runs: dict[str, str]) -> tuple[str, str]:
    """Return the section with options and curves of the networks' ``runs`` (`runs_of_masks`).

    ``folders`` are the networks', by the same names. Of a network without an entry in ``runs``, the
    newest run is taken. Last come the options of the simulated masks that the networks were trained
    with, unless those that are there are others.
    """
    content = []
    for name, network in HEADINGS.items():
        run = _run_to_show(folders[network] / RUNS, "training_log.csv", runs.get(network))
        if run is None:
            continue
        log = read_training_log(run / "training_log.csv")
        curves = plot_training_curves(log)
        epochs = len(next(iter(log.values()), ()))
        content += [
            f"<h3>{name}</h3>",
            f'<p class="note">Run {escape(run.name)}, {counted(epochs, "epoch")}.</p>',
            plot(png_uri(curves), f"Training curves, {name}", "plot curves") if curves else "",
        ]
        if options := read_record(run / OPTIONS_RECORD):
            content.append(options_list(_one_level(options)))
    simulated = read_record(folders[CYCLEGAN] / SIMULATED_MASKS / MADE_WITH)
    if simulated and not are_others(runs):
        content += ["<h3>Simulated masks</h3>", options_list(_one_level(simulated))]
    return section("Training", *content)


def preview_section(folders: dict[str, Path], runs: dict[str, str]) -> tuple[str, str]:
    """Return the section with the first and the last preview sheet of each kind.

    ``folders`` and ``runs`` as in `training_section`.
    """
    content = []
    for name, (network, folder, pattern) in PREVIEWS.items():
        run = _run_to_show(folders[network] / folder, pattern, runs.get(network))
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


def scene_section(cyclegan_dir: Path, runs: dict[str, str]) -> tuple[str, str]:
    """Return the section that compares the simulated masks with real and fake micrographs.

    It shows a few of both sides, how their scenes are distributed, and how faithful the fakes are.
    """
    content = []
    if are_others(runs):
        words = "The fake micrographs that are there are others than those the UNet learned from."
        return section("Simulated and real scenes", f'<p class="note">{words}</p>')
    drawn = cyclegan_dir / f"{SCENES}.png"
    if drawn.is_file():
        uri = png_uri(drawn.read_bytes())
        content.append(
            plot(uri, "Coverage, agglomerates and particles, simulated and in the micrographs")
        )
    sheets = [_example_sheet(name, cyclegan_dir / folder) for name, folder in EXAMPLES.items()]
    if any(sheets):
        content.append(f'<div class="pair">{"".join(sheets)}</div>')
    fidelities = column_of_numbers(read_table(cyclegan_dir / PAIRS_TABLE), "fidelity")
    known = fidelities[~np.isnan(fidelities)]
    if len(known):
        low, high = np.percentile(known, (5, 95))
        content.append(
            f'<p class="note">Fidelity of {len(known)} fake micrographs to their masks: '
            f"{np.mean(known):.2f} in the mean, {low:.2f} to {high:.2f} for nine in ten; 1 is a "
            "micrograph that shows what its mask does, no more and no less.</p>"
        )
    return section("Simulated and real scenes", *content)


def _example_sheet(name: str, folder: Path) -> str:
    """Return a picture of the first images in a folder, of one size; "" where there are none."""
    try:
        paths = list_images(folder) if folder.is_dir() else []
        images = [read_image(path) for path in paths[:EXAMPLES_SHOWN]]
    except ValueError as error:
        logger.warning("left out of the report: %s", error)
        return ""
    images = [image for image in images if image.shape == images[0].shape]
    if not images:
        return ""
    sheet = contact_sheet(images, COLUMNS_OF_EXAMPLES)
    return picture(jpeg_uri_of(sheet, LARGEST_SHEET_BYTES), name, name)


def _one_level(options: dict) -> dict:
    """Return options and versions, each a group in options.json, as entries of their own, and so
    each time that a run went on with something else."""
    entries = {}
    for name, value in options.items():
        if name == "continued_with":
            entries |= {f"{name}_{number}": one for number, one in enumerate(value, start=1)}
        else:
            entries |= value if isinstance(value, dict) else {name: value}
    return entries


def _run_to_show(runs_dir: Path, pattern: str, name: str | None) -> Path | None:
    """Return the folder of a run, the newest for None, that holds a file like ``pattern``."""
    runs = reversed(list_runs(runs_dir)) if name is None else [runs_dir / name] if name else []
    return next((run for run in runs if any(run.glob(pattern))), None)

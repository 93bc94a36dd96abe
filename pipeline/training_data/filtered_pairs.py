"""Pairs of a simulated mask and its fake micrograph, without the particles that it leaves out."""

import logging
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from skimage import measure

from pipeline.files.csv_tables import write_table
from pipeline.files.records import fingerprint
from pipeline.image_files import (
    list_images,
    pair_by_stem,
    read_image,
    read_mask,
    write_image,
    write_missing,
)
from pipeline.particle_masks import (
    as_mask,
    contrast_correlation,
    fill_holes,
    filter_particles,
    label_particles,
    number_of_particles,
)
from pipeline.progress import progress
from pipeline.running.cyclegan_folders import (
    BLURRED_FAKES,
    FAKE_MICROGRAPHS,
    FILTERED_LABELS,
    FILTERED_MASKS,
    PAIRS_TABLE,
    SIMULATED_LABELS,
)
from pipeline.running.output_folders import MADE_WITH, open_output_folder
from pipeline.running.step_table import named
from pipeline.training_data.pair_fidelity import measure_fidelity
from pipeline.wording import first_names
from simulate.mask_image import LARGEST_LABEL

logger = logging.getLogger(__name__)


class Visibility(NamedTuple):
    """How far fake micrographs show the particles of their masks.

    Parts of particles in all masks, those of them that show, and the means of `measure_fidelity`
    and `contrast_correlation` over the masks that have particles.
    """

    parts: int
    kept: int
    fidelity: float
    correlation: float


def fake_micrographs_folder(cyclegan_dir: Path) -> Path:
    """Return the folder of the fake micrographs to train on: blurred ones where there are any."""
    blurred = Path(cyclegan_dir) / BLURRED_FAKES
    return blurred if (blurred / MADE_WITH).is_file() else Path(cyclegan_dir) / FAKE_MICROGRAPHS


def pairs_made_by(step: str, first: list[Path], second: list[Path]) -> list[tuple[Path, Path]]:
    """`pair_by_stem`, with an error that names the step, by its number, that makes them again."""
    try:
        return pair_by_stem(first, second)
    except ValueError as error:
        raise ValueError(f"{error} Or run {named(step)} again.") from error


def check_size(mask, mask_path: Path, micrograph, micrograph_path: Path, by="") -> None:
    """Raise a ValueError if the sizes differ; ``by``: which options change the micrograph's."""
    if mask.shape != micrograph.shape:
        after, alike = (f" (after {by})", f", with the same {by}") if by else ("", "")
        raise ValueError(
            f"{mask_path} is {mask.shape[0]} x {mask.shape[1]}, but {micrograph_path} is "
            f"{micrograph.shape[0]} x {micrograph.shape[1]}{after}. Run {named('4')} again{alike}."
        )


def blur_fakes(pairs: list[tuple[Path, Path]], folder: Path, sigma: float):
    """Blur the fake micrographs into ``folder``, and return the masks paired with what is there.

    ``pairs`` are (mask, fake), as is what is returned; ``sigma`` is in pixels, 0 for none, with
    which the folder is removed.
    """
    if sigma == 0:
        if folder.is_dir():
            open_output_folder(folder, {"sigma": sigma})  # keeps what is not to be lost
            # The record first, so that a half deleted folder is not taken for a blurred set.
            (folder / MADE_WITH).unlink()
            shutil.rmtree(folder)
        return pairs
    fakes = [fake for _, fake in pairs]
    open_output_folder(folder, {"sigma": sigma, "inputs": fingerprint(fakes)})
    for path in progress(fakes, "fake micrographs blurred"):
        if not (folder / path.name).exists():
            write_image(folder / path.name, cv2.GaussianBlur(read_image(path), (0, 0), sigma))
    return [(mask, folder / fake.name) for mask, fake in pairs]


def filter_pairs(
    cyclegan_dir: Path, pairs: list[tuple[Path, Path]], dark_background: bool
) -> Visibility:
    """Write masks and label maps of the particles that the fake micrographs show.

    Parameters
    ----------
    cyclegan_dir : with the label maps in ``data/labelsB``; without them, or where a mask was
        changed, each connected region is a particle. It gets the folders `FILTERED_MASKS` and
        `FILTERED_LABELS`, and the table `PAIRS_TABLE`.
    pairs : (simulated mask, fake micrograph).
    dark_background : as in `filter_particles`, which judges each part of a particle by itself.
    """
    label_maps = _label_maps(cyclegan_dir / SIMULATED_LABELS, [mask for mask, _ in pairs])
    masks, fakes = zip(*pairs, strict=True)
    made_with = {
        "dark_background": dark_background,
        "inputs": [fingerprint(paths) for paths in (masks, fakes, label_maps.values())],
    }
    masks_dir = open_output_folder(cyclegan_dir / FILTERED_MASKS, made_with)
    labels_dir = open_output_folder(cyclegan_dir / FILTERED_LABELS, made_with)
    rows, correlations, changed = [], [], []
    for mask_path, fake_path in progress(pairs, "simulated masks filtered"):
        labels = _read_labels(label_maps.get(mask_path.stem), read_image(mask_path))
        if labels is None:
            changed += [mask_path.name] if label_maps else []
            labels = _number_particles(mask_path)
        parts = measure.label(labels, connectivity=1)
        label_of_part = np.zeros(parts.max() + 1, np.uint16)
        label_of_part[parts] = labels
        parts = fill_holes(parts)
        fake = read_image(fake_path)
        check_size(labels, mask_path, fake, fake_path)
        kept = filter_particles(parts, fake, dark_background)
        correlations.append(contrast_correlation(parts, fake))
        fidelity = measure_fidelity(labels, fake, dark_background)
        rows.append(
            (mask_path.name, number_of_particles(parts), number_of_particles(kept), fidelity)
        )
        write_missing(labels_dir / f"{mask_path.stem}.tif", label_of_part[kept])
        write_missing(masks_dir / f"{mask_path.stem}.tif", as_mask(kept))
    write_table(cyclegan_dir / PAIRS_TABLE, ["mask", "parts", "kept", "fidelity"], rows)
    if changed:
        logger.warning(
            "%d of %d simulated masks (%s) do not fit their label maps, one of which was changed: "
            "the masks count, their particles numbered anew, and those that touch as one",
            *(len(changed), len(pairs), first_names(changed)),
        )
    _, parts, kept, fidelities = zip(*rows, strict=True)
    return Visibility(sum(parts), sum(kept), mean_of_known(fidelities), mean_of_known(correlations))


def mean_of_known(values) -> float:
    """Return the mean of the values that are not NaN; 0 if none is."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else 0.0


def _label_maps(folder: Path, masks: list[Path]) -> dict[str, Path]:
    """Return the label map of each mask by stem; nothing where there are none."""
    paths = list_images(folder) if folder.is_dir() else []
    if not paths:
        return {}
    return {mask.stem: path for mask, path in pairs_made_by("2", masks, paths)}


def _read_labels(labels_path: Path | None, mask: np.ndarray) -> np.ndarray | None:
    """Return a mask's label map; None where there is none, or that of other particles."""
    if labels_path is None:
        return None
    labels = read_image(labels_path)
    are_numbers = labels.dtype.kind in "ui" and 0 <= labels.min() <= labels.max() <= LARGEST_LABEL
    fits = are_numbers and np.array_equal(labels > 0, mask > 0)
    return labels.astype(np.uint16) if fits else None


def _number_particles(mask_path: Path) -> np.ndarray:
    labels = label_particles(read_mask(mask_path))
    if (number := labels.max()) > LARGEST_LABEL:
        raise ValueError(
            f"{mask_path} ({labels.shape[0]} x {labels.shape[1]}) holds {number} particles; a "
            f"label map can number {LARGEST_LABEL}. If these are particles, not noise, make the "
            f"tiles smaller and run {named('4')} again."
        )
    return labels

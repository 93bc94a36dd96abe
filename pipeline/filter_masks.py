"""Step 5: keep the particles that the micrographs show, in simulated and in translated masks."""

import logging
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
from skimage import measure

from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.csv_tables import write_table
from pipeline.files.records import fingerprint
from pipeline.image_files import (
    images_made_by,
    list_images,
    list_micrographs,
    pair_by_stem,
    read_image,
    read_mask,
    read_micrograph,
    write_image,
)
from pipeline.micrographs.resampling import as_cyclegan_sees, mask_at_size
from pipeline.network_failures import act_on_failure, describe_contrast
from pipeline.particle_masks import (
    contrast_correlation,
    fill_holes,
    filter_particles,
    label_particles,
    segment_particles,
)
from pipeline.progress import progress
from pipeline.running.output_folders import MADE_WITH, check_made_from, open_output_folder
from pipeline.running.step_table import named
from pipeline.training_data.fake_micrographs import BLURRED, FAKES
from pipeline.training_data.pair_fidelity import PAIRS_TABLE, describe_fidelity, measure_fidelity
from pipeline.wording import first_names
from simulate.mask_image import LARGEST_LABEL

logger = logging.getLogger(__name__)

STEP_2, STEP_4 = named("2"), named("4")
RAW_MASKS = "B"


@refuses_wrong_options
def filter_masks(
    *,
    cyclegan_dir: Path,
    images_dir: Path,
    output_dir: Path,
    dark_background: bool,
    gaussian_blur_amount: float,
    threshold: float,
    watershed_lines: bool,
    min_distance: int,
    image_crop: str | int | None,
    micrograph_scale: float,
    when_failed: str,
) -> None:
    """Filter the simulated masks by the fake micrographs, the raw masks by the real micrographs.

    A particle stays if the micrograph's mean intensity under it, holes filled, is at least Li's
    threshold of that micrograph, which is negated where the background is bright. Of one that
    others cut into parts, each part is judged by itself. Masks are written as uint8, 0 or 255, with
    the holes filled.

    - ``data/trainB`` with ``generate_images/A``: to ``generate_images/Synthetic_Masks_Filtered``,
      and the label maps to ``Synthetic_Labels_Filtered``: those of ``data/labelsB``, or, where
      there are none or a mask was changed, each connected region a particle.
      ``generate_images/pairs.csv`` says of each pair how many parts of particles it had and how
      many stay, and its fidelity before the filter (`measure_fidelity`).
    - ``generate_images/B``, segmented, with the micrographs: to ``output_dir/<stem>.tif``. What
      was there from other inputs or options goes to ``Earlier_Results``.

    Parameters
    ----------
    cyclegan_dir, images_dir, output_dir : folders.
    dark_background : False where particles are darker than the background.
    gaussian_blur_amount : sigma in pixels. Above 0 the fake micrographs are blurred, from ``A``
        into ``generate_images/A_blurred``, and `fake_micrographs_folder` names that folder, so
        that the UNet trains on them.
    threshold, watershed_lines, min_distance : of the raw masks, 0 to 255; `segment_particles`.
    image_crop : rows to keep of the micrographs, as in step 4; `read_micrograph`.
    micrograph_scale : as in step 4; the masks in ``output_dir`` have the micrographs' own size.
    when_failed : "stop" or "warn", where the fake micrographs' contrast is inverted.

    Raises
    ------
    FileNotFoundError
        If an input is missing; names the step that makes it.
    ValueError
        If files do not belong together, a mask holds more particles than uint16 can number, or no
        particle stays in any of the fake micrographs.
    """
    cyclegan_dir = Path(cyclegan_dir)
    translated = cyclegan_dir / "generate_images"
    simulated = images_made_by(STEP_2, cyclegan_dir / "data" / "trainB")
    pairs = _pairs(simulated, images_made_by(STEP_4, translated / FAKES), f"run {STEP_4} again")
    micrographs = list_micrographs(images_dir)
    raw_masks = images_made_by(STEP_4, translated / RAW_MASKS)
    raw_pairs = _pairs(raw_masks, micrographs, f"run {STEP_4} again")

    for folder, inputs in ((FAKES, simulated), (RAW_MASKS, micrographs)):
        check_made_from(translated / folder, fingerprint(inputs), f"run {STEP_4} again")
    pairs = _blur(pairs, translated / BLURRED, gaussian_blur_amount)
    _filter_simulated_masks(cyclegan_dir, pairs, dark_background, when_failed)
    segmentation = {
        "threshold": threshold,
        "watershed_lines": watershed_lines,
        "min_distance": min_distance,
    }
    _filter_raw_masks(
        raw_pairs,
        Path(output_dir),
        segmentation,
        dark_background=dark_background,
        image_crop=image_crop,
        micrograph_scale=micrograph_scale,
    )


def _pairs(first: list[Path], second: list[Path], what_to_do: str) -> list[tuple[Path, Path]]:
    try:
        return pair_by_stem(first, second)
    except ValueError as error:
        raise ValueError(f"{error} Or {what_to_do}.") from error


def _blur(pairs: list[tuple[Path, Path]], folder: Path, sigma: float) -> list[tuple[Path, Path]]:
    """Write the blurred micrographs and return the masks paired with them; sigma 0 clears them."""
    if sigma == 0:
        if folder.is_dir():
            open_output_folder(folder, {"sigma": sigma})  # keeps what is not to be lost
            # The record first, so that a half deleted folder is not taken for a blurred set.
            (folder / MADE_WITH).unlink()
            shutil.rmtree(folder)
        return pairs
    micrographs = [micrograph for _, micrograph in pairs]
    open_output_folder(folder, {"sigma": sigma, "inputs": fingerprint(micrographs)})
    for path in progress(micrographs, "fake micrographs blurred"):
        if not (folder / path.name).is_file():
            write_image(folder / path.name, cv2.GaussianBlur(read_image(path), (0, 0), sigma))
    return [(mask, folder / micrograph.name) for mask, micrograph in pairs]


def _filter_simulated_masks(cyclegan_dir, pairs, dark_background, when_failed) -> None:
    """Filter the simulated masks by the fake micrographs."""
    label_maps = _label_maps(cyclegan_dir / "data" / "labelsB", [mask for mask, _ in pairs])
    masks, micrographs = zip(*pairs, strict=True)
    made_with = {
        "dark_background": dark_background,
        "inputs": [fingerprint(paths) for paths in (masks, micrographs, label_maps.values())],
    }
    translated = cyclegan_dir / "generate_images"
    masks_dir = open_output_folder(translated / "Synthetic_Masks_Filtered", made_with)
    labels_dir = open_output_folder(translated / "Synthetic_Labels_Filtered", made_with)
    rows, correlations, changed = [], [], []
    for mask_path, micrograph_path in progress(pairs, "simulated masks filtered"):
        labels = _read_labels(label_maps.get(mask_path.stem), read_image(mask_path))
        if labels is None:
            changed += [mask_path.name] if label_maps else []
            labels = _number_particles(mask_path)
        parts = measure.label(labels, connectivity=1)
        label_of_part = np.zeros(parts.max() + 1, np.uint16)
        label_of_part[parts] = labels
        parts = fill_holes(parts)
        micrograph = read_image(micrograph_path)
        _check_size(labels, mask_path, micrograph, micrograph_path)
        kept = filter_particles(parts, micrograph, dark_background)
        correlations.append(contrast_correlation(parts, micrograph))
        fidelity = measure_fidelity(labels, micrograph, dark_background)
        rows.append((mask_path.name, _count(parts), _count(kept), fidelity))
        _write_new(labels_dir / f"{mask_path.stem}.tif", label_of_part[kept])
        _write_new(masks_dir / f"{mask_path.stem}.tif", _to_mask(kept))
    write_table(translated / PAIRS_TABLE, ["mask", "parts", "kept", "fidelity"], rows)
    if changed:
        logger.warning(
            "%d of %d simulated masks (%s) do not fit their label maps, one of which was changed: "
            "the masks count, their particles numbered anew, and those that touch as one",
            *(len(changed), len(pairs), first_names(changed)),
        )
    _, parts, kept, fidelities = zip(*rows, strict=True)
    before, after = sum(parts), sum(kept)
    logger.info("%d of %d parts of simulated particles show in the fake micrographs", after, before)
    fidelity, correlation = (_mean(values) for values in (fidelities, correlations))
    logger.info("fidelity of the fake micrographs to their masks: %.2f of 1 in the mean", fidelity)
    contrast_is_right = _contrast_is_right(correlation, dark_background, after, before, when_failed)
    if contrast_is_right and (problem := describe_fidelity(fidelity)):
        logger.warning(problem)


def _mean(values) -> float:
    """Return the mean of what is known, 0 if nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else 0.0


def _label_maps(folder: Path, masks: list[Path]) -> dict[str, Path]:
    """Return the label map of each mask by stem; nothing where there are none."""
    paths = list_images(folder) if folder.is_dir() else []
    if not paths:
        return {}
    return {mask.stem: path for mask, path in _pairs(masks, paths, f"run {STEP_2} again")}


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
            f"tiles smaller and run {STEP_4} again."
        )
    return labels


def _contrast_is_right(mean, dark_background, after, before, when_failed) -> bool:
    """Return whether particles are as bright as DARK_BACKGROUND says, and some are left.

    ``mean`` is the mean correlation of fake micrographs and masks.
    """
    logger.info(
        "correlation of the fake micrographs with their masks: %+.2f (%s expected as "
        "DARK_BACKGROUND is %s)",
        mean,
        "above 0" if dark_background else "below 0",
        dark_background,
    )
    problem = describe_contrast(mean, dark_background)
    if after == 0:
        problem = (
            f"None of {before} simulated particles is {'brighter' if dark_background else 'darker'}"
            f" than Li's threshold of its fake micrograph (mean correlation of masks and "
            f"micrographs {mean:+.2f}). Is DARK_BACKGROUND ({dark_background}) right for these "
            f"micrographs? If it is, the CycleGAN has inverted the contrast or learned nothing "
            f"(look at the previews of step 3): train it again with another SEED or more "
            f"CYCLEGAN_EPOCHS."
        )
    act_on_failure(problem, when_failed)
    return problem is None


def _filter_raw_masks(
    pairs, output_dir, segmentation, *, dark_background, image_crop, micrograph_scale
) -> None:
    """Segment the raw masks, filter them by the micrographs, and write them to ``output_dir``."""
    made_with = {
        **segmentation,
        "dark_background": dark_background,
        "image_crop": image_crop,
        "micrograph_scale": micrograph_scale,
        "inputs": [fingerprint(paths) for paths in zip(*pairs, strict=True)],
    }
    open_output_folder(output_dir, made_with, keep_earlier=True)
    before = after = 0
    for raw_path, micrograph_path in progress(pairs, "masks of the micrographs filtered"):
        raw_mask = read_image(raw_path)
        micrograph = read_micrograph(micrograph_path, image_crop)
        own_size = micrograph.shape
        # Spikes would move Li's threshold, by which particles stay.
        micrograph = as_cyclegan_sees(micrograph, micrograph_scale)
        by = "IMAGE_CROP and MICROGRAPH_SCALE"
        _check_size(raw_mask, raw_path, micrograph, micrograph_path, by)
        labels = fill_holes(label_particles(segment_particles(raw_mask, **segmentation)))
        kept = filter_particles(labels, micrograph, dark_background)
        before += _count(labels)
        after += _count(kept)
        mask = mask_at_size(_to_mask(kept), own_size)
        _write_new(output_dir / f"{raw_path.stem}.tif", mask)
    logger.info("%d of %d particles found by the CycleGAN show in the micrographs", after, before)


def _write_new(path: Path, image: np.ndarray) -> None:
    """Write an image that is not there: one that is was made alike, or corrected by hand since."""
    if not path.exists():
        write_image(path, image)


def _check_size(mask, mask_path: Path, micrograph, micrograph_path: Path, by="") -> None:
    """Raise a ValueError if the sizes differ; ``by``: which options change the micrograph's."""
    if mask.shape != micrograph.shape:
        after, alike = (f" (after {by})", f", with the same {by}") if by else ("", "")
        raise ValueError(
            f"{mask_path} is {mask.shape[0]} x {mask.shape[1]}, but {micrograph_path} is "
            f"{micrograph.shape[0]} x {micrograph.shape[1]}{after}. Run {STEP_4} again{alike}."
        )


def _count(labels: np.ndarray) -> int:
    return np.count_nonzero(np.bincount(labels.ravel())[1:])


def _to_mask(labels: np.ndarray) -> np.ndarray:
    return (labels > 0).astype(np.uint8) * 255

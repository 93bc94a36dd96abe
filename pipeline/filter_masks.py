"""Step 5: keep the particles that the micrographs show, in simulated and in translated masks."""

import logging
from functools import partial
from pathlib import Path

from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.records import fingerprint
from pipeline.image_files import (
    image_size,
    images_made_by,
    list_micrographs,
    read_image,
    read_micrograph,
    write_missing,
)
from pipeline.micrographs.resampling import as_cyclegan_sees, scaled_size
from pipeline.network_failures import act_on_failure, describe_contrast
from pipeline.particle_masks import (
    as_mask,
    fill_holes,
    filter_particles,
    label_particles,
    number_of_particles,
    segment_particles,
)
from pipeline.particles.mask_resampling import mask_at_size
from pipeline.progress import progress
from pipeline.running.cyclegan_folders import (
    BLURRED_FAKES,
    FAKE_MICROGRAPHS,
    RAW_MASKS,
    SIMULATED_MASKS,
)
from pipeline.running.output_folders import check_made_from, open_output_folder
from pipeline.running.step_table import named
from pipeline.running.worker_processes import run_over_micrographs
from pipeline.training_data.filtered_pairs import (
    Visibility,
    blur_fakes,
    check_size,
    filter_pairs,
    pairs_made_by,
)
from pipeline.training_data.pair_fidelity import describe_fidelity

logger = logging.getLogger(__name__)

STEP_2, STEP_4 = named("2"), named("4")


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
    when_failed : "stop" or "warn", where the fake micrographs' contrast is inverted, or no particle
        stays in any of them.

    Raises
    ------
    FileNotFoundError
        If an input is missing; names the step that makes it.
    ValueError
        If files do not belong together, a mask holds more particles than uint16 can number, or
        ``when_failed`` is "stop" and what it is for is found.
    """
    cyclegan_dir = Path(cyclegan_dir)
    simulated = images_made_by(STEP_2, cyclegan_dir / SIMULATED_MASKS)
    pairs = pairs_made_by("4", simulated, images_made_by(STEP_4, cyclegan_dir / FAKE_MICROGRAPHS))
    micrographs = list_micrographs(images_dir)
    raw_masks = images_made_by(STEP_4, cyclegan_dir / RAW_MASKS)
    raw_pairs = pairs_made_by("4", raw_masks, micrographs)
    for folder, inputs in ((FAKE_MICROGRAPHS, simulated), (RAW_MASKS, micrographs)):
        check_made_from(cyclegan_dir / folder, fingerprint(inputs), f"run {STEP_4} again")
    pairs = blur_fakes(pairs, cyclegan_dir / BLURRED_FAKES, gaussian_blur_amount)
    _tell_of(filter_pairs(cyclegan_dir, pairs, dark_background), dark_background, when_failed)
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


def _tell_of(visibility: Visibility, dark_background: bool, when_failed: str) -> None:
    """Log how far the fake micrographs show their masks, and act if they do not."""
    parts, kept, fidelity, correlation = visibility
    logger.info("%d of %d parts of simulated particles show in the fake micrographs", kept, parts)
    logger.info("fidelity of the fake micrographs to their masks: %.2f of 1 in the mean", fidelity)
    logger.info(
        "correlation of the fake micrographs with their masks: %+.2f (%s expected as "
        "DARK_BACKGROUND is %s)",
        correlation,
        "above 0" if dark_background else "below 0",
        dark_background,
    )
    problem = describe_contrast(correlation, dark_background)
    if kept == 0:
        problem = (
            f"None of {parts} simulated particles is {'brighter' if dark_background else 'darker'}"
            f" than Li's threshold of its fake micrograph (mean correlation of masks and "
            f"micrographs {correlation:+.2f}). Is DARK_BACKGROUND ({dark_background}) right for "
            f"these micrographs? If it is, the CycleGAN has inverted the contrast or learned "
            f"nothing (look at the previews of step 3): train it again with another SEED or more "
            f"CYCLEGAN_EPOCHS."
        )
    act_on_failure(problem, when_failed)
    if problem is None and (unfaithful := describe_fidelity(fidelity)):
        logger.warning(unfaithful)


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
    filter_one = partial(
        _filter_raw_mask,
        output_dir=output_dir,
        segmentation=segmentation,
        dark_background=dark_background,
        image_crop=image_crop,
        micrograph_scale=micrograph_scale,
    )
    sizes = (scaled_size(image_size(image), max(micrograph_scale, 1)) for _, image in pairs)
    counts = run_over_micrographs(filter_one, pairs, sizes)
    counts = progress(counts, "masks of the micrographs filtered", len(pairs))
    before, after = map(sum, zip(*counts, strict=True))
    logger.info("%d of %d particles found by the CycleGAN show in the micrographs", after, before)


def _filter_raw_mask(
    pair, *, output_dir, segmentation, dark_background, image_crop, micrograph_scale
) -> tuple[int, int]:
    """Filter one raw mask, and return how many particles it had and how many stay."""
    raw_path, micrograph_path = pair
    raw_mask = read_image(raw_path)
    micrograph = read_micrograph(micrograph_path, image_crop)
    own_size = micrograph.shape
    # Spikes would move Li's threshold, by which particles stay.
    micrograph = as_cyclegan_sees(micrograph, micrograph_scale)
    by = "IMAGE_CROP and MICROGRAPH_SCALE"
    check_size(raw_mask, raw_path, micrograph, micrograph_path, by)
    labels = fill_holes(label_particles(segment_particles(raw_mask, **segmentation)))
    kept = filter_particles(labels, micrograph, dark_background)
    mask = mask_at_size(as_mask(kept), own_size)
    write_missing(output_dir / f"{raw_path.stem}.tif", mask)
    return number_of_particles(labels), number_of_particles(kept)

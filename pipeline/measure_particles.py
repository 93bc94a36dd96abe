"""Step 7: masks and micrographs -> tables, size distribution, overlays, ImageJ ROIs, report."""

import logging
import os
import platform
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.calibration import calibrate
from pipeline.files.mask_origin import origin_of
from pipeline.files.mask_pairs import find_mask_pairs, read_mask_pair
from pipeline.files.records import write_json
from pipeline.image_files import image_size, write_image
from pipeline.particle_shapes import measure_label_map, to_label_map
from pipeline.particles.border_correction import Field, field_of, inclusion_weights
from pipeline.particles.contacts import give_back_lines as with_lines_given_back
from pipeline.particles.label_maps import labels_in_pieces, surrounds_all
from pipeline.particles.particle_filters import (
    check_unit_of_filters,
    choose_particles,
)
from pipeline.particles.pixel_outlines import Outlines
from pipeline.particles.size_distribution import weighted_median
from pipeline.progress import progress
from pipeline.report.page import write_report
from pipeline.report.training import CYCLEGAN, UNET, WGAN
from pipeline.results.about import what_made, write_about
from pipeline.results.doubts import (
    BELOW_SMALL,
    SMALL_AREA_PIXELS,
    doubts_of_masks,
    doubts_of_particles,
)
from pipeline.results.imagej_rois import write_label_map, write_roi_set
from pipeline.results.overlays import BORDER_COLOUR, FILTERED_COLOUR, KEPT_COLOUR, draw_overlay
from pipeline.results.result_tables import FIELD_UNITS, write_result_tables
from pipeline.run_folders import OPTIONS_RECORD, name_new_run
from pipeline.running.run_lock import identity_of
from pipeline.running.worker_processes import run_over_micrographs
from pipeline.wording import counted

logger = logging.getLogger(__name__)

UNFINISHED = ".unfinished_"


@refuses_wrong_options
def measure_particles(
    *,
    masks_dir: Path,
    images_dir: Path,
    results_dir: Path,
    pixel_size_nm: float | None,
    exclude_border: bool,
    give_back_lines: bool,
    filters: Mapping[str, tuple],
    image_crop: str | int | None,
    wgan_dir: Path,
    cyclegan_dir: Path,
    unet_dir: Path,
    seed: int,
    earlier_warnings: Mapping[str, list[str]] | None = None,
) -> Path:
    """Measure the particles of every mask that has a micrograph, and write a report.

    Parameters
    ----------
    masks_dir : ``<name>.tif``, 0 and one other value, or a label map; ``<name>_raw.tif`` is passed
        over.
    images_dir : the micrographs, paired by name; those without a mask are not measured.
    results_dir : the results go to a new folder ``<time>`` in it, which is returned.
    pixel_size_nm : None reads it from the micrographs; without any, all sizes are in pixels.
    give_back_lines : whether the lines of one pixel between a mask's particles count as part of
        them; `pipeline.particles.contacts.give_back_lines`. Label maps are measured as they are.
    filters : quantity -> (smallest, largest), in the units of particles.csv.
    image_crop : as in `pipeline.image_files.read_micrograph`.
    wgan_dir, cyclegan_dir, unet_dir : where the networks' runs are, for the report; they may be
        missing.
    seed : of the bootstrap.
    earlier_warnings : by step, what was warned of when the masks were made, for the report; of
        masks from elsewhere it is not told.

    Raises
    ------
    FileNotFoundError
        If there is no mask with a micrograph.
    ValueError
        If a mask is neither binary nor a label map or does not fit its micrograph, or a filter is
        wrong.
    """
    options = {name: value for name, value in locals().items() if name != "earlier_warnings"}
    started = time.monotonic()
    pairs, warnings = find_mask_pairs(Path(masks_dir), Path(images_dir), image_crop)
    calibration, unit, pixel_warnings = calibrate([image for _, image in pairs], pixel_size_nm)
    sizes = [size for size, _ in calibration]
    names = (image.name for _, image in pairs)
    warnings += pixel_warnings
    warnings += check_unit_of_filters(filters, dict(zip(names, sizes, strict=True)))
    # Under its name a measurement is whole: a run that is killed leaves this.
    folder = _unfinished_folder(Path(results_dir))
    for name in ("overlays", "labels", "rois"):
        (folder / name).mkdir(parents=True)
    write_json(folder / OPTIONS_RECORD, options)

    jobs = list(zip(pairs, calibration, strict=True))
    measure = partial(
        _measure_pair,
        folder=folder,
        unit=unit,
        image_crop=image_crop,
        exclude_border=exclude_border,
        give_back_lines=give_back_lines,
        filters=filters,
    )
    measured = run_over_micrographs(measure, jobs, (image_size(image) for _, image in pairs))
    measured = list(progress(measured, "images measured", len(jobs)))
    image_rows, tables, fields = ([one[part] for one in measured] for part in range(3))
    inverted, in_pieces = (
        [mask.name for (mask, _), one in zip(pairs, measured, strict=True) if getattr(one, doubt)]
        for doubt in ("is_inverted", "is_in_pieces")
    )
    particles = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    if exclude_border:
        particles["inclusion_weight"] = _weights_in_all(tables, fields)
    warnings += doubts_of_masks(image_rows, inverted, in_pieces)
    warnings += doubts_of_particles(image_rows, unit, particles)
    for warning in warnings:
        logger.warning("%s", warning)
    write_result_tables(folder, image_rows, particles, unit, seed)
    networks = {WGAN: wgan_dir, CYCLEGAN: cyclegan_dir, UNET: unet_dir}
    about = {"unit": unit, "warnings": warnings, "seconds": round(time.monotonic() - started, 1)}
    made_with = what_made(masks_dir, image_rows)
    if made_with:
        about["earlier_warnings"] = earlier_warnings or {}
    about["masks_made_with"] = made_with
    write_about(folder, masks_dir, networks, about)
    write_report(folder)
    run_folder = name_new_run(folder)
    number = counted(len(particles["label"]), "particle")
    logger.info("%s measured: %s", number, run_folder / "report.html")
    return run_folder


def _weights_in_all(tables: list[dict[str, np.ndarray]], fields: list[Field]) -> np.ndarray:
    """Return the inclusion weights of all images' particles, of all images together."""
    boxes = [
        np.concatenate(
            [table[name] * field.pixel_size for table, field in zip(tables, fields, strict=True)]
        )
        for name in ("bounding_box_height", "bounding_box_width")
    ]
    return inclusion_weights(*boxes, fields)


def _unfinished_folder(results_dir: Path) -> Path:
    """Return this process's folder for a measurement, and remove those of processes that are gone.

    Several processes may measure into one folder, also of other computers, of which it is not known
    here whether they are gone.
    """
    prefix = f"{UNFINISHED}{platform.node()}_"
    for folder in results_dir.glob(f"{UNFINISHED}*"):
        owner = folder.name.removeprefix(prefix)
        is_ours = owner.isdigit()
        # One that was killed may stay listed, as `identity_of` knows.
        if is_ours and (int(owner) == os.getpid() or identity_of(int(owner)) is None):
            shutil.rmtree(folder, ignore_errors=True)
    return results_dir / f"{prefix}{os.getpid()}"


class _Measured(NamedTuple):
    """One image: its row in images.csv, its particles' columns, its field, doubts of its mask."""

    row: dict[str, object]
    particles: dict[str, np.ndarray]
    field: Field
    is_inverted: bool
    is_in_pieces: bool


def _measure_pair(
    job: tuple[tuple[Path, Path], tuple[float | None, str]],
    *,
    folder: Path,
    unit: str,
    image_crop: str | int | None,
    exclude_border: bool,
    give_back_lines: bool,
    filters: Mapping[str, tuple],
) -> _Measured:
    """Measure a mask on its micrograph, of this pixel size and source, and write its pictures."""
    (mask_path, image_path), (size_nm, source) = job
    mask, micrograph = read_mask_pair(mask_path, image_path, image_crop)
    pixel_size = size_nm if unit == "nm" else 1.0
    # Of a label map's numbers the crop may have left one, as a mask has.
    is_label_map = mask.dtype != bool
    labels = mask if is_label_map else to_label_map(mask)
    doubts = surrounds_all(labels), is_label_map and labels_in_pieces(labels)
    if give_back_lines and not is_label_map:  # in one particles may touch as they are
        labels = with_lines_given_back(labels)
    row, kept, groups = _measure_image(
        labels, micrograph, pixel_size, unit, exclude_border, filters
    )
    _write_pictures(folder, image_path.stem, micrograph, labels, groups, size_nm)
    diameters, weights = kept["equivalent_diameter"], kept["inclusion_weight"]
    row = (
        {"image": image_path.name, "pixel_size_nm": size_nm, "pixel_size_source": source}
        | {"rows_left_out": image_size(image_path)[0] - mask.shape[0]}
        | {"mask": mask_path.name, "mask_from": origin_of(mask_path, image_path)}
        | row
        | _per_area(mask.shape, weights, pixel_size, unit)
        | {f"median_equivalent_diameter_{unit}": weighted_median(diameters, weights)}
    )
    particles = {"image": np.full(len(kept["label"]), image_path.name, object), **kept}
    return _Measured(row, particles, field_of(labels, pixel_size), *doubts)


def _measure_image(
    labels: np.ndarray,
    micrograph: np.ndarray,
    pixel_size: float,
    unit: str,
    exclude_border: bool,
    filters: Mapping[str, tuple],
) -> tuple[dict[str, object], dict[str, np.ndarray], list[tuple[Outlines, tuple]]]:
    """Return an image's row in images.csv, the columns of its particles that stay, and groups.

    The groups are outlines with a colour each: of particles dropped at the border, dropped by
    filters, and kept.
    """
    columns, outlines = measure_label_map(labels, micrograph, pixel_size, exclude_border)
    stays, dropped = choose_particles(columns, exclude_border, filters, unit)
    kept = {name: values[stays] for name, values in columns.items()}
    row = {
        "height_px": labels.shape[0],
        "width_px": labels.shape[1],
        "particles_found": len(stays),
        **dropped,
        "particles_measured": int(stays.sum()),
        BELOW_SMALL: int((kept["area"] < SMALL_AREA_PIXELS * pixel_size**2).sum()),
        "covered_area_percent": 100 * np.count_nonzero(labels) / labels.size,
    }

    def only(chosen: np.ndarray) -> Outlines:
        return {label: outlines[label] for label in columns["label"][chosen].tolist()}

    at_border = ~stays & columns["touches_border"] & exclude_border
    groups = [
        (only(at_border), BORDER_COLOUR),
        (only(~stays & ~at_border), FILTERED_COLOUR),
        (only(stays), KEPT_COLOUR),
    ]
    return row, kept, groups


def _write_pictures(
    run_folder: Path,
    stem: str,
    micrograph: np.ndarray,
    labels: np.ndarray,
    groups: list[tuple[Outlines, tuple[int, int, int]]],
    pixel_size_nm: float | None,
) -> None:
    """Write one image's overlay, and label map and regions of the particles that stay."""
    overlay = draw_overlay(micrograph, groups, pixel_size_nm)
    write_image(run_folder / "overlays" / f"{stem}.png", overlay)
    measured, _ = groups[-1]
    kept = np.where(np.isin(labels, list(measured)), labels, 0)
    write_label_map(run_folder / "labels" / f"{stem}.tif", kept, pixel_size_nm)
    write_roi_set(run_folder / "rois" / f"{stem}_RoiSet.zip", measured)


def _per_area(
    shape: tuple[int, int], inclusion_weight: np.ndarray, pixel_size: float, unit: str
) -> dict[str, float]:
    """Return an image's area and the number of particles in a unit of it, in µm² or pixels.

    Of particles that the edge may cut, each counts for those of its size that it did cut, by this
    image alone, so the number is not the less for them.
    """
    name, side = FIELD_UNITS[unit], pixel_size / 1000 if unit == "nm" else 1.0
    area = shape[0] * shape[1] * side**2
    return {f"field_area_{name}": area, f"particles_per_{name}": inclusion_weight.sum() / area}

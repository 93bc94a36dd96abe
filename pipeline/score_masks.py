"""Step 8: compare masks with true ones, where there are some.

Any two folders can be scored: `python -m pipeline.score_masks PREDICTED TRUE` shows the table and
writes PREDICTED-scores.csv beside the first folder.
"""

import argparse
import logging
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.calibration import differ
from pipeline.files.csv_tables import read_table
from pipeline.files.mask_origin import raw_path_of
from pipeline.files.mask_pairs import list_masks, read_mask_or_labels
from pipeline.files.records import fingerprint, read_record
from pipeline.files.whole_files import whole_file
from pipeline.image_files import list_images, pair_by_stem, read_image, stem_of
from pipeline.micrographs.micrograph_scale import in_own_pixels
from pipeline.particle_masks import segment_particles
from pipeline.particle_shapes import to_label_map
from pipeline.particles.label_maps import (
    describe_in_pieces,
    describe_inverted,
    labels_in_pieces,
    surrounds_all,
)
from pipeline.progress import progress
from pipeline.report.page import write_report
from pipeline.run_folders import TIME_OF_RUN, list_runs, new_run_folder
from pipeline.running.output_folders import MADE_WITH
from pipeline.scoring.score_table import AS_SAVED, log_scores, score_rows, write_scores
from pipeline.scoring.scores import compare_masks, crop_to_common_rows
from pipeline.wording import counted

logger = logging.getLogger(__name__)

# Of the probability; the published workflow reports the best of these.
THRESHOLDS = tuple(tenths / 10 for tenths in range(11))


@refuses_wrong_options
def score_masks(
    *,
    masks_dir: Path,
    true_masks_dir: Path,
    results_dir: Path,
    watershed_lines: bool,
    min_distance: int,
) -> None:
    """Score the masks of step 6b; write scores.csv to the newest measurement of these masks.

    Nothing is done where there are no true masks. The report is written anew, with the scores.
    Where step 7 has not measured these masks, the scores get a folder of their own.

    Parameters
    ----------
    masks_dir : ``<name>.tif``, the masks, and ``<name>_raw.tif``, the probabilities (may lack).
    true_masks_dir : masks of the same names, or of some of them; label maps (`is_label_map`) too.
    results_dir : of step 7.
    watershed_lines, min_distance : of the segmentation at each threshold, as in step 6b.

    Raises
    ------
    ValueError
        If a true mask has no prediction, or two masks do not fit each other; names the files.
    """
    true_masks_dir, results_dir = Path(true_masks_dir), Path(results_dir)
    if not true_masks_dir.is_dir() or not list_images(true_masks_dir):
        logger.info("no true masks in %s: nothing to score", true_masks_dir)
        return
    rows = score_folders(Path(masks_dir), true_masks_dir, watershed_lines, min_distance)
    log_scores(rows)
    measured = _newest_measurement(results_dir, fingerprint(list_masks(masks_dir)))
    run_folder = measured or new_run_folder(results_dir)
    _write_beside_earlier(run_folder / "scores.csv", rows)
    if measured:
        write_report(measured)  # which finds out whether the tables can be read
        _warn_of_mixed_scales(measured, {row["image"] for row in rows})
    else:
        logger.warning(
            "no measurement of these masks is in %s (renamed ones do not count): the scores are in "
            "%s; for a report with them run step 7 before 8",
            results_dir,
            run_folder,
        )


def _warn_of_mixed_scales(measured: Path, scored: set[str]) -> None:
    """Warn where the masks that were ``scored``, by their stems, are of several pixel sizes."""
    table = read_table(measured / "images.csv")
    sizes = [row["pixel_size_nm"] for row in table if Path(row["mask"]).stem in scored]
    if differ([float(size) for size in sizes if size]):
        logger.warning(
            "the micrographs' pixel sizes differ, and D10, D50 and D90 in scores.csv are in "
            "pixels: of all images together they mix particles of different scales"
        )


def _write_beside_earlier(path: Path, rows: list[dict]) -> None:
    """Write scores; others that were there, as of other true masks, get the time of their making
    into their name."""
    earlier = None
    if path.is_file():
        made = time.strftime(TIME_OF_RUN, time.localtime(path.stat().st_mtime))
        earlier = path.with_name(f"{path.stem}_{made}{path.suffix}")
        with whole_file(earlier) as temporary:
            shutil.copy2(path, temporary)
    write_scores(path, rows)
    if earlier and earlier.read_bytes() == path.read_bytes():
        earlier.unlink()


def _newest_measurement(results_dir: Path, masks: str) -> Path | None:
    """Return the newest finished folder of step 7 that measured masks of this fingerprint."""
    for folder in reversed(list_runs(results_dir)):
        if read_record(folder / "about.json").get("masks") == masks:
            return folder
    return None


def score_folders(
    masks_dir: Path, true_masks_dir: Path, watershed_lines: bool, min_distance: int
) -> list[dict]:
    """Return the rows of scores.csv (`score_rows`), from the files of two folders.

    Raises
    ------
    FileNotFoundError, ValueError
        As `score_masks`.
    """
    pairs = _pair_masks(masks_dir, true_masks_dir)
    thresholds = _thresholds([mask for mask, _ in pairs])
    comparisons, cropped, label_maps = {}, 0, 0
    inverted, inverted_truth, in_pieces = [], [], []
    # Step 6b splits masks at that scale, of which these are the probabilities.
    scale = read_record(masks_dir / MADE_WITH).get("micrograph_scale", 1)
    min_distance = in_own_pixels(min_distance, scale)
    for mask_path, true_path in progress(pairs, "masks scored"):
        true = read_mask_or_labels(true_path)
        segmentations = {AS_SAVED: read_mask_or_labels(mask_path)}
        probability = _read_probability(mask_path) if thresholds else None
        comparisons[mask_path.stem] = compared = {}
        label_maps += true.dtype != bool
        cropped += len(segmentations[AS_SAVED]) != len(true)
        inverted += _if_inverted(mask_path, segmentations[AS_SAVED])
        inverted_truth += _if_inverted(true_path, true)
        in_pieces += [
            path.name
            for path, mask in ((mask_path, segmentations[AS_SAVED]), (true_path, true))
            if mask.dtype != bool and labels_in_pieces(mask)
        ]
        for threshold in thresholds:
            mask = segment_particles(probability, threshold, watershed_lines, min_distance)
            segmentations[f"threshold {threshold}"] = mask > 0
        for segmentation, mask in segmentations.items():
            try:
                compared[segmentation] = compare_masks(*crop_to_common_rows(mask, true))
            except ValueError as error:
                raise ValueError(f"{mask_path} and {true_path}: {error}") from error
    for names, what in ((inverted, "masks"), (inverted_truth, "true masks")):
        if names:
            logger.warning("%s", describe_inverted(names, len(pairs), what))
    if in_pieces:
        label_maps_in_pieces = counted(len(in_pieces), "label map")
        logger.warning("%s", describe_in_pieces(in_pieces, label_maps_in_pieces, "scored"))
    if cropped:
        logger.info(
            "%s in height: scored on the rows both have, from the top",
            counted(cropped, "pair differs", "pairs differ"),
        )
    if label_maps:
        kinds = counted(label_maps, "true mask is a label map", "true masks are label maps")
        logger.info("%s: each number is a particle", kinds)
    return score_rows(comparisons)


def _if_inverted(path: Path, mask: np.ndarray) -> list[str]:
    """Return the file's name if its mask is black on white, else nothing, to be added to a list."""
    return [path.name] if surrounds_all(to_label_map(mask)) else []


def _pair_masks(masks_dir: Path, true_masks_dir: Path) -> list[tuple[Path, Path]]:
    """Return (mask, true mask) pairs of paths; masks without a true one are left out."""
    masks, true_masks = list_masks(masks_dir), list_masks(true_masks_dir)
    if not true_masks:
        raise ValueError(f"There are no masks in {true_masks_dir}. Put the true masks in.")
    stems = {stem_of(path) for path in true_masks}
    with_truth = [path for path in masks if stem_of(path) in stems]
    pairs = pair_by_stem(with_truth, true_masks)
    logger.info("%d of %d masks in %s have a true mask", len(pairs), len(masks), masks_dir)
    return pairs


def _thresholds(mask_paths: list[Path]) -> tuple[float, ...]:
    """Return the thresholds to score: none unless every mask has its probability image."""
    missing = [path for path in map(raw_path_of, mask_paths) if not path.is_file()]
    if missing:
        logger.info(
            "no probability image for %d of %d masks (such as %s): scored as saved only",
            *(len(missing), len(mask_paths), missing[0].name),
        )
    return () if missing else THRESHOLDS


def _read_probability(mask_path: Path) -> np.ndarray:
    path = raw_path_of(mask_path)
    probability = read_image(path)
    if probability.dtype.kind != "f" or probability.min() < 0 or probability.max() > 1:
        raise ValueError(
            f"{path} holds {probability.dtype} values from {probability.min()} to "
            f"{probability.max()}; expected float probabilities from 0 to 1. Run step 6b again."
        )
    return probability


def main() -> None:
    """Score two folders named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.score_masks", description="Compare masks with true ones."
    )
    parser.add_argument("predicted", type=Path, help="folder of masks (and <name>_raw.tif)")
    parser.add_argument("true", type=Path, help="folder of true masks of the same names")
    parser.add_argument("--no-watershed-lines", action="store_true", help="as in step 8")
    parser.add_argument("--min-distance", type=int, default=9, help="as in step 8")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    predicted = options.predicted.resolve()
    try:
        rows = score_folders(
            predicted, options.true, not options.no_watershed_lines, options.min_distance
        )
        log_scores(rows)
        _write_beside_earlier(predicted.with_name(f"{predicted.name}-scores.csv"), rows)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

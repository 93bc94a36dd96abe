"""How far fake micrographs show the particles of the masks they were made of.

A CycleGAN may leave out particles that a mask has, or draw some that it has not: nothing in its
losses forbids that, as long as it finds its own way back. The UNet then learns from wrong pairs.
So each fake micrograph is segmented by a rule that no network had a part in, Li's threshold.
"""

import logging
from pathlib import Path

import cv2
import numpy as np

from pipeline.files.csv_tables import read_table
from pipeline.micrographs.foreground import foreground_of_micrograph
from pipeline.running.cyclegan_folders import PAIRS_TABLE
from pipeline.running.step_table import named
from pipeline.training_data.cyclegan_images import as_tile
from simulate.mask_image import foreground_of_labels

logger = logging.getLogger(__name__)

NEIGHBOURS = np.ones((3, 3), np.uint8)
UNFAITHFUL = 0.5  # mean fidelity below which half of what is to be seen in a pair does not fit


def measure_fidelity(labels: np.ndarray, micrograph: np.ndarray, dark_background: bool) -> float:
    """Return how far a mask and what its fake micrograph shows agree, 0 to 1.

    The intersection over union of both, but for a rim of one pixel: a threshold on a blurred edge
    lies somewhat beside it, which is no fault and would weigh most with small particles. Gaps
    between touching particles count as particle on both sides.

    Parameters
    ----------
    labels : label map (h, w), 0 the background; NaN is returned where it holds no particle.
    micrograph : (h, w), the fake; see `as_tile`.
    dark_background : False where particles are darker than the background.
    """
    if not labels.any():
        return float("nan")
    wanted = foreground_of_labels(labels).astype(np.uint8)
    shown = foreground_of_micrograph(as_tile(micrograph), dark_background)
    both = np.count_nonzero(shown[wanted > 0])
    left_out = np.count_nonzero(cv2.erode(wanted, NEIGHBOURS)[~shown])
    invented = np.count_nonzero(cv2.dilate(wanted, NEIGHBOURS)[shown] == 0)
    return both / max(both + left_out + invented, 1)


def describe_fidelity(mean: float) -> str | None:
    """Return what is wrong with pairs of this mean fidelity, if something is."""
    if not mean < UNFAITHFUL:
        return None
    return (
        f"the fake micrographs do not show what their masks do (mean fidelity {mean:.2f} of 1): "
        "the CycleGAN leaves out particles, or draws others. Masks that look like the "
        "micrographs help most: compare them in 2_CycleGAN/data/scenes.png (MATCH_SCENES = True "
        "makes them alike); then more CYCLEGAN_EPOCHS"
    )


def faithful_pairs(
    pairs: list[tuple[Path, Path]], cyclegan_dir: Path, least: float
) -> list[tuple[Path, Path]]:
    """Return the pairs (micrograph, mask) of at least this fidelity, as step 5 measured it.

    A pair whose mask holds no particle has none, and stays. ``least`` 0 keeps all.

    Raises
    ------
    FileNotFoundError
        If step 5 left no fidelity of a pair.
    ValueError
        If not two pairs are left.
    """
    if not least:
        return pairs
    table = cyclegan_dir / PAIRS_TABLE
    fidelities = {Path(row["mask"]).stem: row["fidelity"] for row in read_table(table)}
    unknown = [mask.name for _, mask in pairs if mask.stem not in fidelities]
    if unknown:
        raise FileNotFoundError(
            f"{table} does not tell the fidelity of {unknown[0]}, which least_fidelity = {least} "
            f"asks for: run {named('5')} first, or set least_fidelity = 0."
        )
    faithful = [pair for pair in pairs if float(fidelities[pair[1].stem] or 1) >= least]
    logger.info("%d of %d pairs have a fidelity of %s", len(faithful), len(pairs), least)
    if len(faithful) < 2:
        raise ValueError(
            f"{len(faithful)} of {len(pairs)} pairs have a fidelity of least_fidelity = {least}; "
            f"at least 2 are needed. {table} has them all: choose a smaller one, or make masks "
            "that look like the micrographs (MATCH_SCENES)."
        )
    return faithful

"""What is wrong, or to be doubted, with the outlines that masks are simulated of, in words."""

import logging
from pathlib import Path

import numpy as np

from pipeline.running.step_table import OUTLINE_SHEETS
from pipeline.training_data.match_scenes import describe_small_particles
from simulate.outlines import GAP, NARROWEST, Particle, prepare_particle

logger = logging.getLogger(__name__)

TYPICAL_OUTLINES = 200  # looked at to know what is made of them at a scale
# From so many times the outlines' size, or its inverse, on it is said that particles are others.
OTHER_SIZE = 1.3
MOST_LOST_BY_TURNING = 0.1  # share of the outlines
# By the smoothing: how wide a particle must be to be turned, and what else helps.
WIDTHS_TO_TURN = {
    "DISK": (f"{NARROWEST} pixels wide", ""),
    "SQUARE": (f"{NARROWEST} pixels wide, and 13 on the slant", "smoothing='DISK', or "),
}


def check_library(library: list[list[Particle]], source: Path, number: int) -> None:
    """Raise a ValueError if no particle has a core, a warning if many have none."""
    areas = np.array([particle.area for group in library for particle in group])
    what_to_do = "Raise MICROGRAPH_SCALE."
    if source.is_file():
        sheets = source.parents[2] / OUTLINE_SHEETS / source.parent.name
        what_to_do = (
            f"Look at the sheets in {sheets}: if they show no outlines yet, train step 1 for more "
            "epochs (WGAN_EPOCHS); if the outlines are too small, raise MICROGRAPH_SCALE."
        )
    if not areas.any():
        raise ValueError(
            f"None of {number} outlines from {source} holds a particle: after smoothing nothing is "
            f"left of them (a particle must be about 10 pixels wide). {what_to_do}"
        )
    if (empty := np.mean(areas == 0)) > 0.5:
        logger.warning(
            "%.0f %% of the outlines from %s hold no particle. %s", 100 * empty, source, what_to_do
        )


def check_fitted_library(library: list[list[Particle]], diameter: float, scale: float) -> None:
    """Raise a ValueError if no particle has a core at the scale of the micrographs, where single
    ones have a median ``diameter`` in pixels, resized by ``scale``."""
    if not any(particle.area for group in library for particle in group):
        raise ValueError(
            "No outline holds a particle at the scale of the micrographs: "
            f"{describe_small_particles(diameter, scale)}."
        )


def warn_of_other_size(ratio: float) -> None:
    """Log a warning where the micrographs' single particles are not of the outlines' size.

    ``ratio`` is theirs over that of the outlines, as the options of step 2 scale them.
    """
    if 1 / OTHER_SIZE <= ratio <= OTHER_SIZE:
        return
    logger.warning(
        "single particles in the micrographs measure %.2f times your outlines, and the simulated "
        "ones with them (MATCH_SCENES). That is right if the outlines were traced at another "
        "magnification, or show particles of another size. If they show these, the threshold "
        "finds %s: then set MATCH_SCENES = False, and, for particles d px across as the networks "
        "see them, scaling_mu = (d + %d) / d in step 2, since simulated ones lose %d px all round.",
        ratio,
        "only their cores, as of a bright core in a faint shell" if ratio < 1 else "more than them",
        2 * GAP,
        GAP,
    )


def warn_of_lost_by_turning(outlines: np.ndarray, scale: float, smoothing: str) -> None:
    """Log a warning where a tenth of the outlines hold a particle as drawn, and none turned by 45
    degrees: a square that smooths them is half as wide again on that slant."""
    typical = outlines[:TYPICAL_OUTLINES]
    areas = np.array(
        [[prepare_particle(x, scale, angle, smoothing).area for angle in (0, 45)] for x in typical]
    )
    held = areas[:, 0] > 0
    lost = np.count_nonzero(held & (areas[:, 1] == 0)) / max(np.count_nonzero(held), 1)
    if lost > MOST_LOST_BY_TURNING:
        logger.warning(
            "%.0f %% of the outlines are too narrow to be turned by 45 degrees, so simulated "
            "particles lie mostly along rows and columns: a particle must be about %s. Raise "
            "MICROGRAPH_SCALE, or set %suse_random_rotation='DISABLE' and give outlines in all "
            "directions.",
            100 * lost,
            *WIDTHS_TO_TURN[smoothing],
        )

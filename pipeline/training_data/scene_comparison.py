"""How far simulated masks look like the micrographs they are to go with: in words and pictures."""

import logging
from pathlib import Path

import numpy as np

from pipeline.files.records import write_json
from pipeline.files.whole_files import whole_file
from pipeline.image_files import read_image
from pipeline.progress import progress
from pipeline.training_data.scenes import Scene, ks_distance, mean_chord, measure_labels
from pipeline.training_data.scenes_of_micrographs import Micrographs, coverage_of_image
from pipeline.training_data.single_particles import Singles, comparable, joined

logger = logging.getLogger(__name__)

MOST_MASKS = 2000  # compared; more would not change the distributions
FAR_APART = 0.4  # Kolmogorov-Smirnov distance of the coverages from which on it is said
# How much less of a mask is covered than is to be, and of which share of them, for that to be said.
SHORT, OFTEN_SHORT = 0.05, 0.1


def report_match(
    path: Path,
    micrographs: Micrographs,
    label_maps: list[Path],
    micrograph_scale: float,
    is_matched: bool,
) -> None:
    """Compare simulated masks with micrographs: in the log, as JSON and as a plot.

    ``is_matched``: whether the masks were to be like the micrographs (MATCH_SCENES).

    All lengths are in the micrographs' own pixels; what is compared was resized by
    ``micrograph_scale``.
    """
    number = len(label_maps)
    compared = np.linspace(0, number - 1, min(number, MOST_MASKS), dtype=int).tolist()
    scenes = [
        measure_labels(read_image(label_maps[index]))
        for index in progress(compared, "simulated masks compared with the micrographs")
    ]
    simulated = joined([scene.singles for scene in scenes])
    singles = comparable(micrographs.singles, simulated)
    singles = tuple(one.resized(1 / micrograph_scale) for one in singles)
    sides = tuple(
        [scene._replace(chord=scene.chord / micrograph_scale) for scene in some]
        for some in (micrographs.scenes, scenes)
    )
    found = compare_scenes(sides, singles)
    known = {name: value if np.isfinite(value) else None for name, value in found.items()}
    logger.info(
        "covered share of a tile: %.2f in the micrographs, %.2f simulated (Kolmogorov-Smirnov "
        "distance %.2f); median diameter of single particles in pixels: %s (of %d) and %s (of %d)",
        found["coverage_micrographs"],
        found["coverage_simulated"],
        found["coverage_ks_distance"],
        *(
            part
            for one in singles
            for part in (f"{one.median:.1f}" if one.number else "none seen", one.number)
        ),
    )
    if found["coverage_ks_distance"] > FAR_APART:
        logger.warning(
            "the simulated masks do not look like the micrographs, so the CycleGAN must invent "
            "or leave out particles: see %s. MATCH_SCENES = True makes them alike; without it, "
            "change perlin_noise_threshold; with it, look whether DARK_BACKGROUND is right",
            path.with_suffix(".png"),
        )
    if is_matched:
        _warn_of_uncovered(
            scenes, [coverage_of_image(micrographs.scenes, index) for index in compared]
        )
    write_json(path.with_suffix(".json"), known)
    write_comparison(path.with_suffix(".png"), sides, singles)


def _warn_of_uncovered(simulated: list[Scene], wanted: list[float]) -> None:
    """Log a warning where many simulated masks have no room for as much as they are to cover."""
    too_much = np.array([scene.coverage for scene in simulated]) - wanted
    short = np.count_nonzero(too_much < -SHORT)
    # Of few large particles as many cover too much by chance.
    if short - np.count_nonzero(too_much > SHORT) > OFTEN_SHORT * len(simulated):
        logger.warning(
            "%d of %d simulated masks cover less than the micrographs' tiles, since no more "
            "particles find room. On a grid places are the farther apart, the wider the outlines' "
            "images are: crop those in Input_Masks closely (python -m pipeline.import_outlines "
            "does), or lower grid_spacing_factor in step 2; where particles lie on each other, a "
            "larger MAX_PARTICLE_OVERLAP makes room, too. (Of layers side by side that cover "
            "everything no more is possible.)",
            short,
            len(simulated),
        )


def compare_scenes(
    sides: tuple[list[Scene], list[Scene]], singles: tuple[Singles, Singles]
) -> dict[str, float]:
    """Return how far simulated masks are from micrographs; both are of these, then of those."""
    coverages = [np.array([scene.coverage for scene in scenes]) for scenes in sides]
    chords = [mean_chord(scenes) for scenes in sides]
    return {
        "coverage_micrographs": float(coverages[0].mean()),
        "coverage_simulated": float(coverages[1].mean()),
        "coverage_ks_distance": ks_distance(*coverages),
        "chord_micrographs_px": chords[0],
        "chord_simulated_px": chords[1],
        "single_particles_micrographs": singles[0].number,
        "single_particles_simulated": singles[1].number,
        "d50_single_micrographs_px": singles[0].median,
        "d50_single_simulated_px": singles[1].median,
    }


def write_comparison(
    path: Path, sides: tuple[list[Scene], list[Scene]], singles: tuple[Singles, Singles]
) -> None:
    """Draw the distributions of micrographs and of simulated masks, and write them to a PNG."""
    import matplotlib.figure  # takes a second, which steps that do not draw need not wait

    figure = matplotlib.figure.Figure(figsize=(9, 3), layout="constrained")
    coverages, chords = (
        [np.array([getattr(scene, name) for scene in scenes]) for scenes in sides]
        for name in ("coverage", "chord")
    )
    chords = [values[np.isfinite(values)] for values in chords]
    quantities = {  # values of both sides, and how much each counts
        "covered share of a tile": (coverages, [np.ones(len(values)) for values in coverages]),
        "mean chord of the foreground / px": (chords, [np.ones(len(values)) for values in chords]),
        "diameter of single particles / px": (
            [one.diameters for one in singles],
            [one.weights for one in singles],
        ),
    }
    for axes, (name, (values, weights)) in zip(
        figure.subplots(1, 3), quantities.items(), strict=True
    ):
        edges = np.histogram_bin_edges(np.concatenate(values), 20)
        for some, counts, label in zip(values, weights, ("micrographs", "simulated"), strict=True):
            share = counts / max(counts.sum(), 1)
            axes.hist(some, edges, weights=share, histtype="step", label=label)
        axes.set_xlabel(name)
        axes.set_ylabel("share")
    axes.legend(frameon=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})

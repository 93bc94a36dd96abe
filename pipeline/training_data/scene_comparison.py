"""How far simulated masks look like the micrographs they are to go with: in words and pictures."""

import logging
from pathlib import Path

import numpy as np

from pipeline.files.records import write_json
from pipeline.files.whole_files import whole_file
from pipeline.image_files import read_image
from pipeline.training_data.scenes import ks_distance, measure_labels, pooled

logger = logging.getLogger(__name__)

FAR_APART = 0.4  # Kolmogorov-Smirnov distance of the coverages from which on it is said


def report_match(path: Path, scenes: list, label_maps: list[Path]) -> None:
    """Compare simulated masks with the real tiles' Scenes: in the log, as JSON and as a plot."""
    simulated = [measure_labels(read_image(path)) for path in label_maps]
    found = compare_scenes(scenes, simulated)
    known = {name: value if np.isfinite(value) else None for name, value in found.items()}
    logger.info(
        "covered share of a tile: %.2f in the micrographs, %.2f simulated (Kolmogorov-Smirnov "
        "distance %.2f); median diameter of single particles in pixels: %s and %s",
        found["coverage_micrographs"],
        found["coverage_simulated"],
        found["coverage_ks_distance"],
        *(
            "none seen" if diameter is None else f"{diameter:.1f}"
            for diameter in (known["d50_single_micrographs_px"], known["d50_single_simulated_px"])
        ),
    )
    if found["coverage_ks_distance"] > FAR_APART:
        logger.warning(
            "the simulated masks do not look like the micrographs, so the CycleGAN must invent "
            "or leave out particles: see %s. MATCH_SCENES = True makes them alike; without it, "
            "change perlin_noise_threshold; with it, look whether DARK_BACKGROUND is right",
            path.with_suffix(".png"),
        )
    write_json(path.with_suffix(".json"), known)
    write_comparison(path.with_suffix(".png"), scenes, simulated)


def compare_scenes(real: list, simulated: list) -> dict[str, float]:
    """Return how far the Scenes of simulated masks are from those of the real tiles."""
    real_chord, real_diameter, real_number = pooled(real)
    chord, diameter, number = pooled(simulated)
    coverages = [np.array([scene.coverage for scene in scenes]) for scenes in (real, simulated)]
    return {
        "coverage_micrographs": float(coverages[0].mean()),
        "coverage_simulated": float(coverages[1].mean()),
        "coverage_ks_distance": ks_distance(*coverages),
        "chord_micrographs_px": real_chord,
        "chord_simulated_px": chord,
        "single_particles_micrographs": real_number,
        "single_particles_simulated": number,
        "d50_single_micrographs_px": real_diameter,
        "d50_single_simulated_px": diameter,
    }


def write_comparison(path: Path, real: list, simulated: list) -> None:
    """Draw the distributions of both sides, and write them to a PNG file."""
    import matplotlib.figure  # takes a second, which steps that do not draw need not wait

    figure = matplotlib.figure.Figure(figsize=(9, 3), layout="constrained")
    quantities = {
        "covered share of a tile": lambda scenes: [scene.coverage for scene in scenes],
        "mean chord of the foreground / px": lambda scenes: [
            scene.chord for scene in scenes if np.isfinite(scene.chord)
        ],
        "diameter of single particles / px": lambda scenes: np.concatenate(
            [scene.diameters for scene in scenes]
        ),
    }
    for axes, (name, read) in zip(figure.subplots(1, 3), quantities.items(), strict=True):
        sides = [np.asarray(read(scenes)) for scenes in (real, simulated)]
        edges = np.histogram_bin_edges(np.concatenate(sides), 20)
        for values, label in zip(sides, ("micrographs", "simulated"), strict=True):
            share = np.full(len(values), 1 / max(len(values), 1))
            axes.hist(values, edges, weights=share, histtype="step", label=label)
        axes.set_xlabel(name)
        axes.set_ylabel("share")
    axes.legend(frameon=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})

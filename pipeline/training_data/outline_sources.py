"""Outlines of particles: the user's own, new ones from the WGAN or by augmentation, and how alike.

Outlines are uint8 (n, height, width), 0..255, white on black.
"""

import logging
from pathlib import Path

import cv2
import numpy as np

from pipeline.image_files import list_images, read_mask
from pipeline.micrographs.micrograph_scale import words_of
from pipeline.micrographs.resampling import at_scale
from pipeline.particle_shapes import measure_particles
from pipeline.running.step_table import AUGMENTED
from pipeline.training_data.scenes import ks_distance
from simulate.augment_outlines import augment_outlines
from simulate.outlines import NARROWEST, carve_core

logger = logging.getLogger(__name__)

# What outlines are compared by: the columns of `measure_particles`.
DIAMETER = "diameter in pixels"
SHAPES = {
    DIAMETER: "equivalent_diameter",
    "convexity": "convexity",
    "aspect ratio": "aspect_ratio",
}
FRAME = NARROWEST  # pixels of background around, for the smoothing
# Two samples of a few dozen outlines differ by so much by chance.
CHANCE = 0.1


def load_outlines(masks_dir: Path, invert: bool = False, scale: float = 1.0) -> np.ndarray:
    """Return the outlines in a folder, 0 or 255, in frames of one size.

    Its sides are the next multiples of 16 of the largest outline's; smaller ones are centred.
    ``invert`` is for outlines that are black on white. They are resized by ``scale`` first.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    files = list_images(masks_dir)
    if not files:
        raise FileNotFoundError(
            f"{masks_dir} holds no images: put outlines of single particles, white on black, there."
        )
    masks = [at_scale(read_mask(file, invert).astype(np.float32), scale) > 0.5 for file in files]
    height, width = (-(-max(m.shape[axis] for m in masks) // 16) * 16 for axis in (0, 1))
    outlines = np.zeros((len(masks), height, width), np.uint8)
    for outline, mask in zip(outlines, masks, strict=True):
        top, left = (height - mask.shape[0]) // 2, (width - mask.shape[1]) // 2
        outline[top : top + mask.shape[0], left : left + mask.shape[1]] = 255 * mask
    return outlines


def draw_from_wgan(rng: np.random.Generator, model: Path, number: int) -> np.ndarray:
    """Return outlines drawn by the WGAN's generator saved at ``model``, on the CPU.

    They are so few that it takes seconds there, and so step 2 needs no GPU that is free.
    """
    # Keras takes seconds to import, which steps that draw none need not wait for.
    from models import backend, wgan_gp
    from pipeline.inference import load_network

    generator = load_network(model, use_gpu=False)
    latent = wgan_gp.draw_latent(rng, number, generator.input_shape[-1])
    with backend.on_cpu():
        return wgan_gp.sample_outlines(generator, latent)


def shapes_of(outlines: np.ndarray) -> dict[str, np.ndarray]:
    """Return each quantity of ``SHAPES``, of the largest particle of each outline that has one.

    Outlines are taken as step 2 places them: holes filled, specks and fringes smoothed away.
    """
    rows = []
    for outline in outlines:
        _, footprint = carve_core(np.pad(outline, FRAME))
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(footprint, connectivity=4)
        areas = statistics[1:, cv2.CC_STAT_AREA]
        if len(areas):
            largest = labels == 1 + np.argmax(areas)
            rows.append(measure_particles(largest, exclude_border=False))
    return {
        name: np.array([row[column][0] for row in rows], float) for name, column in SHAPES.items()
    }


def compare_outlines(given: np.ndarray, drawn: np.ndarray, seed: int) -> dict[str, dict]:
    """Return how far drawn outlines are from the given ones, beside as many augmented ones.

    By quantity of ``SHAPES``: the medians of the three, and the Kolmogorov-Smirnov distances of
    "drawn" and "augmented" from the given ones (1 where a sample shows no particle).
    """
    augmented = augment_outlines(np.random.default_rng(seed), given, len(drawn))
    samples = {"given": given, "drawn": drawn, "augmented": augmented}
    shapes = {sample: shapes_of(outlines) for sample, outlines in samples.items()}

    def distance(sample, name):
        both = shapes["given"][name], shapes[sample][name]
        return float(ks_distance(*both)) if all(map(len, both)) else 1.0

    return {
        name: {
            "medians": {
                sample: float(np.median(values[name])) if len(values[name]) else None
                for sample, values in shapes.items()
            },
            "distances": {sample: distance(sample, name) for sample in ("drawn", "augmented")},
        }
        for name in SHAPES
    }


def say_how_alike(comparison: dict[str, dict], scale: float) -> None:
    """Log a comparison; warn where augmentation would give outlines closer to the given ones.

    ``scale`` is what the outlines were resized by, MICROGRAPH_SCALE.
    """
    for name, found in comparison.items():
        medians, distances = found["medians"], found["distances"]
        logger.info(
            "%s of your outlines %s, of the WGAN's %s (median%s; distance of the distributions "
            "%.2f, of augmented outlines %.2f)",
            name,
            *(
                "unknown" if medians[sample] is None else f"{medians[sample]:.3g}"
                for sample in ("given", "drawn")
            ),
            words_of(scale) if name == DIAMETER else "",
            distances["drawn"],
            distances["augmented"],
        )
    drawn, augmented = (
        np.mean([found["distances"][sample] for found in comparison.values()])
        for sample in ("drawn", "augmented")
    )
    if drawn > augmented + CHANCE:
        logger.warning(
            "the WGAN's outlines are less like yours (mean distance %.2f) than your own, slightly "
            'deformed (%.2f), which OUTLINE_SOURCE = "%s" uses: take those, or train for more '
            "epochs (WGAN_EPOCHS)",
            drawn,
            augmented,
            AUGMENTED,
        )

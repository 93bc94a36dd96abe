"""Micrographs of other kinds than the shipped examples, with their truth."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.particle_layers import grow_rafts, make_rod, make_sphere, spread_particles
from pipeline.image_files import write_image
from pipeline.micrographs.resampling import at_scale
from pipeline.particle_masks import label_particles, set_apart
from pipeline.particles.mask_resampling import mask_at_size
from simulate.examples import (
    EXAMPLES,
    SEED,
    make_example,
    make_example_particle,
    make_examples,
    make_outlines,
    number_particles,
)
from simulate.micrograph import blur, smooth_noise

REDUCTION = 2  # of `small` ones against the shipped examples
MAGNIFICATION = 4  # of `large` ones
ALMOST_NO_NOISE = 1e6  # electrons a pixel
DOSE = 90.0  # of the shipped examples, but where they say another
# Standard deviation of the light over an image: of a white for `uneven`, of itself in transmission.
UNEVEN_GAIN, UNEVEN_LIGHT = 0.1, 0.12
PACKED = {"particles": 1300, "agglomerates": 100, "compactness": 0.9}  # of `dense` ones
# Of `sparse` ones: they cover about 0.5 % of a micrograph.
DISPERSED = {"particles": 7, "agglomerates": 1, "isolated": 6}
LOW_DOSE = 8.0  # of `noisy` ones


def inverted() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the negatives of the shipped examples: dark particles, an even bright background."""
    for _, micrograph, labels in make_examples():
        yield np.iinfo(micrograph.dtype).max - micrograph, labels


def uneven() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples of other particles, on a background of uneven brightness, as charging makes.

    Both the brightness of all and what is added to it change smoothly over the image.
    """
    for index, options in enumerate(EXAMPLES.values()):
        rng = np.random.default_rng([SEED, 1, index])
        micrograph, labels = make_example(rng, **options | {"bits": 8, "info_bar": False})
        gain, offset = (UNEVEN_GAIN * smooth_noise(rng, labels.shape, 120) for _ in range(2))
        yield as_8_bit(micrograph / 255 * (1 + gain) + offset), labels


def dense() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples of packed powders: particles cover more of a micrograph than background."""
    for index, options in enumerate(EXAMPLES.values()):
        rng = np.random.default_rng([SEED, 7, index])
        options = options | {"bits": 8, "info_bar": False} | PACKED
        yield make_example(rng, **options)


def sparse(number: int = 16) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples of well dispersed particles: a few in each micrograph."""
    for index in range(number):
        rng = np.random.default_rng([SEED, 8, index])
        options = list(EXAMPLES.values())[index % len(EXAMPLES)]
        options = options | {"bits": 8, "info_bar": False, "height": 640, "width": 960}
        yield make_example(rng, **options | DISPERSED)


def noisy() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples taken with few electrons, as fast scans and sensitive samples ask for."""
    for index, options in enumerate(EXAMPLES.values()):
        rng = np.random.default_rng([SEED, 9, index])
        options = options | {"bits": 8, "info_bar": False, "dose": LOW_DOSE}
        yield make_example(rng, **options)


def bright_field(number: int = 8) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield transmission micrographs: dark particles side by side on an unevenly lit carbon film.

    What a particle takes away grows with its thickness, and is another for each, as diffraction
    makes it; at steps of the thickness there is a fringe of the defocus.
    """
    for index in range(number):
        rng = np.random.default_rng([SEED, 2, index])
        thickness, labels = spread_particles(rng, particles=rng.integers(90, 190))
        yield in_transmission(rng, thickness), labels


def spheres(number: int = 8) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield transmission micrographs of spheres of nearly one size in close rafts."""
    for index in range(number):
        rng = np.random.default_rng([SEED, 5, index])
        thickness, labels = grow_rafts(rng, make_sphere, particles=rng.integers(90, 260))
        yield in_transmission(rng, thickness), labels


def rods(number: int = 8) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield transmission micrographs of rods, 2.5 to 5 times as long as wide, side by side."""
    for index in range(number):
        rng = np.random.default_rng([SEED, 6, index])
        thickness, labels = grow_rafts(rng, make_rod, particles=rng.integers(60, 150))
        yield in_transmission(rng, thickness), labels


def in_transmission(rng: np.random.Generator, thickness: np.ndarray) -> np.ndarray:
    """Return the micrograph (uint8) of a ``thickness``, 1 of which takes 63 % of the electrons."""
    light = 1 + UNEVEN_LIGHT * smooth_noise(rng, thickness.shape, 160)
    film = 1 - 0.03 * (
        smooth_noise(rng, thickness.shape, 1.2) + smooth_noise(rng, thickness.shape, 25)
    )
    passed = light * film * np.exp(-blur(thickness, 0.8))
    passed -= 0.35 * cv2.Laplacian(blur(np.exp(-thickness), 1.0), cv2.CV_64F)
    passed = np.clip(passed, 0.02, None)
    shot = np.sqrt(passed / 120) * rng.standard_normal(thickness.shape)
    return as_8_bit(0.62 * blur(passed + shot, 0.5))


def small() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples taken at half the magnification: agglomerates of particles of 12 pixels."""
    for micrograph, labels in _small_and_their_enlarged_labels():
        yield micrograph, labels[::REDUCTION, ::REDUCTION]


def small_enlarged() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the `small` ones as a user enlarges them to see particles of 24 pixels."""
    for micrograph, labels in _small_and_their_enlarged_labels():
        yield cv2.resize(micrograph, labels.shape[::-1], interpolation=cv2.INTER_CUBIC), labels


def _small_and_their_enlarged_labels():
    for index, options in enumerate(EXAMPLES.values()):
        rng = np.random.default_rng([SEED, 3, index])
        # So that a pixel of the reduced micrograph gets as many electrons as one of an example.
        dose = options.get("dose", DOSE) / REDUCTION**2
        options = options | {"bits": 8, "info_bar": False, "dose": dose}
        micrograph, labels = make_example(rng, **options)
        size = labels.shape[1] // REDUCTION, labels.shape[0] // REDUCTION
        labels = labels[::REDUCTION, ::REDUCTION].copy()
        set_apart(labels)
        labels = number_particles(labels.repeat(REDUCTION, 0).repeat(REDUCTION, 1))
        yield cv2.resize(micrograph, size, interpolation=cv2.INTER_AREA), labels


def large() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples taken at four times the magnification: particles of about 100 pixels.

    The beam shows no finer detail, and each pixel gets as many electrons as one of an example.
    """
    for index, options in enumerate(EXAMPLES.values()):
        rng = np.random.default_rng([SEED, 4, index])
        dose = options.get("dose", DOSE)
        options = options | {"bits": 16, "info_bar": False, "dose": ALMOST_NO_NOISE}
        micrograph, labels = make_example(rng, **options)
        signal = at_scale(micrograph / (2**16 - 1), MAGNIFICATION)
        noise = 0.5 * np.sqrt(signal / dose) * rng.standard_normal(signal.shape)
        mask = mask_at_size(labels, signal.shape)
        yield as_8_bit(signal + noise), label_particles(mask)


def as_8_bit(image: np.ndarray) -> np.ndarray:
    """Return an image in [0, 1], clipped, as uint8."""
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


IN_TRANSMISSION = {"DARK_BACKGROUND": "False", "MAX_PARTICLE_OVERLAP": "0.05"}
# Of each kind the micrographs with their label maps, and the options that a user would set.
KINDS = {
    "inverted": (inverted, {"DARK_BACKGROUND": "False"}),
    "uneven": (uneven, {}),
    "dense": (dense, {}),
    "sparse": (sparse, {}),
    "noisy": (noisy, {}),
    "bright_field": (bright_field, IN_TRANSMISSION),
    "spheres": (spheres, IN_TRANSMISSION),
    "rods": (rods, IN_TRANSMISSION),
    "small": (small, {}),
    "small_enlarged": (small_enlarged, {}),
    "large": (large, {}),
}
# Outlines are traced at the micrographs' scale, which is another than that of the examples.
SCALES_OF_OUTLINES = {"small": 1 / REDUCTION, "large": MAGNIFICATION}
# Particles of other shapes than those of the examples.
SHAPES = {"spheres": make_sphere, "rods": make_rod}


def write_micrographs(kind: str, folder: Path) -> None:
    """Write Input_Images, Input_Masks and True_Masks of a kind into a folder."""
    for name in ("Input_Images", "Input_Masks", "True_Masks"):
        (folder / name).mkdir(parents=True)
    for index, (micrograph, labels) in enumerate(KINDS[kind][0]()):
        write_image(folder / "Input_Images" / f"{kind}_{index}.tif", micrograph)
        mask = np.where(labels > 0, np.uint8(255), np.uint8(0))
        write_image(folder / "True_Masks" / f"{kind}_{index}.tif", mask)
    for name, outline in make_outlines(make=SHAPES.get(kind, make_example_particle)):
        outline = at_scale(outline, SCALES_OF_OUTLINES.get(kind, 1))
        outline = np.where(outline > 127, np.uint8(255), np.uint8(0))
        write_image(folder / "Input_Masks" / name, outline)

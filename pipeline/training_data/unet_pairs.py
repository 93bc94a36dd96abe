"""The pairs a UNet learns from: fake micrographs, and what it is to say of each pixel."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.files.records import fingerprint
from pipeline.image_files import images_made_by, list_images, pair_by_stem, read_image
from pipeline.intensities import above_half, as_unet_sees
from pipeline.particles.grow_particles import centrality
from pipeline.running.cyclegan_folders import FAKE_MICROGRAPHS, FILTERED_LABELS, FILTERED_MASKS
from pipeline.running.output_folders import check_made_from
from pipeline.running.step_table import named
from pipeline.training_data.filtered_pairs import fake_micrographs_folder
from pipeline.training_data.kept_targets import KeptTargets
from pipeline.training_data.narrow_gaps import closeness_of_particles


class Targets(NamedTuple):
    """What the UNet is to say of each pixel, besides whether it is of a particle.

    Its centrality in the particle (see ``grow_particles.py``), and, for the loss, how close
    particles are to each other there (see ``narrow_gaps.py``).
    """

    centrality: bool = False
    closeness: bool = False

    @property
    def of_labels(self) -> bool:
        """Whether label maps are needed for that; else masks will do."""
        return self.centrality or self.closeness


def training_pairs(cyclegan_dir: Path, targets: Targets) -> list[tuple[Path, Path]]:
    """Return each fake micrograph with its filtered mask, or label map, as the targets need it.

    Raises
    ------
    FileNotFoundError
        If a folder is missing or empty; names the step that makes it.
    ValueError
        If they do not belong together, as where a mask was changed by hand and its label map not,
        or are fewer than two.
    """
    images = fake_micrographs_folder(cyclegan_dir)
    masks = cyclegan_dir / (FILTERED_LABELS if targets.of_labels else FILTERED_MASKS)
    pairs = pair_by_stem(
        images_made_by(named("4"), images),
        images_made_by(named("5"), masks),
    )
    fakes = cyclegan_dir / FAKE_MICROGRAPHS
    for folder, inputs in ((images, fakes), (masks, images)):
        if folder != inputs and inputs.is_dir():
            check_made_from(folder, fingerprint(list_images(inputs)), f"run {named('5')}")
    if len(pairs) < 2:
        raise ValueError(
            f"{images} holds 1 image; at least 2 are needed, to train and to validate: raise "
            "NUM_SIMULATED_MASKS."
        )
    if targets.of_labels:
        for _, labels in pairs:
            _check_labels(labels, cyclegan_dir / FILTERED_MASKS / labels.name)
    return pairs


def _check_labels(labels: Path, mask: Path) -> None:
    """Raise a ValueError if a label map, which is trained on, is of other particles than its mask
    (none if there is no mask)."""
    if mask.is_file() and not np.array_equal(read_image(labels) > 0, read_image(mask) > 0):
        raise ValueError(
            f"{mask} shows other particles than {labels}, which the UNet would learn from: one of "
            f"the two was changed. Change the other alike, delete the changed one and run "
            f"{named('5')}, which makes it again, or train on masks alone "
            '(UNET_TARGET = "mask", UNET_GAP_WEIGHT = 0).'
        )


def read_fake(image_file, contrast_range, dark_background):
    """Return a micrograph as the UNet sees it, in [0, 1]: float32 (h, w, 1).

    Particles are bright in it: it is negated where the background is not dark. It is clipped to
    the percentiles ``contrast_range``, or not, for None.
    """
    return as_unet_sees(read_image(image_file), contrast_range, dark_background)[..., None]


def read_target(mask_file, targets):
    """Return the ``targets`` of each pixel: float32 (h, w, 1 to 3).

    The mask, 0 or 1; then, as asked for, the centrality and the closeness, in [0, 1].
    ``mask_file`` is a label map if ``targets.of_labels``.
    """
    labels = read_image(mask_file)
    channels = [_particles(labels, targets).astype(np.float32)]
    if targets.centrality:
        channels.append(centrality(labels))
    if targets.closeness:
        channels.append(closeness_of_particles(labels))
    return np.stack(channels, axis=-1)


def _particles(image, targets):
    """Return where particles are, bool: in labels above 0, in a mask above half of its range."""
    return image > 0 if targets.of_labels else above_half(image)


def pair_reader(pairs, contrast_range, dark_background, targets, keep_in=None):
    """Return ``read(index)`` -> one of ``pairs``, by `read_fake` and `read_target`.

    ``keep_in`` is a folder, where what takes long to compute is kept in a file (see `KeptTargets`)
    and the rest read each time, or None: all are read first, into memory.
    """

    def micrograph(index):
        return read_fake(pairs[index][0], contrast_range, dark_background)

    def make_target(index):
        return read_target(pairs[index][1], targets)

    def read(index):
        return micrograph(index), make_target(index)

    if keep_in is None:
        with ThreadPoolExecutor() as threads:
            return list(threads.map(read, range(len(pairs)))).__getitem__
    if not targets.of_labels:
        return read
    kept = KeptTargets(keep_in, make_target)
    return lambda index: (micrograph(index), kept[index])


def background_to_particles(pairs, targets):
    """Return the number of background pixels over that of particle pixels in the pairs' masks, or
    label maps, as the ``targets`` need them.

    Raises
    ------
    ValueError
        If they hold no particle, or no background.
    """
    pixels = particles = 0
    for _, mask_file in pairs:
        mask = _particles(read_image(mask_file), targets)
        pixels += mask.size
        particles += np.count_nonzero(mask)
    if particles in (0, pixels):
        raise ValueError(
            f"The filtered masks to train on hold no {'background' if particles else 'particle'}: "
            "look at 2_CycleGAN/generate_images, and at DARK_BACKGROUND."
        )
    return (pixels - particles) / particles

"""What micrographs show: how much of a tile is covered, in how large agglomerates, by how large
particles."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.image_files import read_image
from pipeline.micrographs.foreground import foreground_of_micrograph
from pipeline.progress import progress
from pipeline.training_data.cyclegan_images import as_tile
from pipeline.training_data.real_tiles import read_shares
from pipeline.training_data.scenes import Scene, measure_scene
from pipeline.training_data.single_particles import Singles, joined, read_singles

MOST_TILES = 500  # measured; more would not change the distributions
GOLDEN_RATIO = (1 + 5**0.5) / 2


class Micrographs(NamedTuple):
    """What micrographs show: Scenes of their tiles, and single particles from all over them."""

    scenes: list[Scene]
    singles: Singles


def measure_micrographs(
    tiles: list[Path], singles: Path, shares: Path, dark_background: bool
) -> Micrographs:
    """Return what micrographs show, by their tiles (500 of them, if there are more).

    ``singles`` and ``shares`` are the files in which step 0 notes their single particles, and how
    much of each tile is covered. Without the first, those of the tiles count, which are few.
    Without the second, a tile that shows nothing but particles, or only faint ones, is empty.
    """
    chosen = np.linspace(0, len(tiles) - 1, min(len(tiles), MOST_TILES), dtype=int).tolist()
    noted, scenes = read_shares(shares), []
    for tile in progress([tiles[index] for index in chosen], "tiles measured"):
        foreground = foreground_of_micrograph(as_tile(read_image(tile)), dark_background)
        share = noted.get(tile.name, 0.0)
        if foreground.any():
            scenes.append(measure_scene(foreground))
        else:  # nothing but particles, or too faint to be told alone: the micrograph beside it did
            scene = measure_scene(np.full_like(foreground, share > 0.5))
            scenes.append(scene._replace(coverage=share))
    found = read_singles(singles) if singles.is_file() else joined([one.singles for one in scenes])
    return Micrographs(scenes, found)


def coverage_of_image(scenes: list[Scene], index: int) -> float:
    """Return the share that simulated image ``index`` is to cover.

    The images go through the quantiles of the real tiles' coverage in the steps of the golden
    ratio, so that any number of images is spread over them evenly.
    """
    share = (index + 0.5) * GOLDEN_RATIO % 1
    return float(np.quantile([scene.coverage for scene in scenes], share))

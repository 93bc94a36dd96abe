"""Step 2 in a folder that has masks, after outlines, tiles or options have changed."""

import shutil

import numpy as np
import pytest
from skimage.draw import disk

from pipeline.image_files import write_image
from pipeline.simulate_masks import simulate_masks
from pipeline.training_data import mask_simulation
from tests.pipeline import test_simulate_masks

OPTIONS = test_simulate_masks.OPTIONS | {
    "outline_source": "augmented",
    "num_masks": 2,
    "grid_spacing_factor": 0.5,
    "match_scenes": True,
    "when_failed": "warn",
}


@pytest.fixture
def masks_in(tmp_path, monkeypatch):
    """Return a function: folder, radius of outlines, particles in tiles -> the masks' bytes."""
    monkeypatch.setattr("simulate.outlines.LIBRARY_SIZE", 32)
    monkeypatch.setattr(mask_simulation, "OUTLINES_PER_MASK", 4)
    # The sizes fit: what is covered is the tiles' all the same.
    monkeypatch.setattr(mask_simulation, "fit_options", lambda *how: how[-1])
    (tmp_path / "Input_Masks").mkdir()

    def masks_in(name, radius=10, particles=2, **changes):
        outline = np.zeros((40, 40), np.uint8)
        outline[disk((20, 20), radius)] = 255
        write_image(tmp_path / "Input_Masks" / "a.png", outline)
        tile = np.random.default_rng(0).integers(40, 50, (64, 80), np.uint8)
        for number in range(particles):
            tile[disk((20 + 25 * (number % 2), 20 + 20 * (number // 2)), 9)] = 200
        folder = tmp_path / name / "data"
        (folder / "trainA").mkdir(parents=True, exist_ok=True)
        write_image(folder / "trainA" / "a-0.tif", tile)
        simulate_masks(
            wgan_dir=tmp_path / "1_WGAN",
            cyclegan_dir=folder.parent,
            masks_dir=tmp_path / "Input_Masks",
            **OPTIONS | changes,
        )
        files = sorted(folder.glob("*B/*.tif"))
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    return masks_in


@pytest.mark.parametrize(
    "change",
    [
        {"radius": 13},
        {"particles": 4},
        {"invert_masks": True},
        {"micrograph_scale": 1.4},
        {"dark_background": False},
        {"use_random_rotation": "RANDOM"},
        {"match_scenes": False},
        {"num_masks": 3},
    ],
)
def test_masks_are_those_of_a_new_folder_whatever_changed(masks_in, change):
    before = masks_in("old")
    after = masks_in("old", **change)
    assert after != before
    assert after == masks_in("new", **change)


def test_another_number_of_tiles_gives_the_masks_of_a_new_folder(masks_in, tmp_path):
    """Though the tiles are not matched: there are as many masks, drawn from more outlines."""
    tile = np.zeros((64, 80), np.uint8)
    for name, numbers in (("old", "12345"), ("old", "123"), ("new", "123")):
        tiles = tmp_path / name / "data" / "trainA"
        shutil.rmtree(tiles, ignore_errors=True)
        tiles.mkdir(parents=True)
        for number in numbers:
            write_image(tiles / f"b-{number}.tif", tile)
        masks = masks_in(name, match_scenes=False)
        assert sum(file.startswith("trainB") for file in masks) == len(numbers) + 1
        if (name, numbers) == ("old", "123"):
            again = masks
    assert again == masks

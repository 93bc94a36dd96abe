"""Step 0 with other options in a folder that has tiles, and which of them are for tests."""

import numpy as np
import pytest

from pipeline.image_files import write_image
from pipeline.prepare_images import prepare_images

OPTIONS = {
    "tile_height": 16,
    "tile_width": 20,
    "num_tiles": 30,
    "min_overlap": 0,
    "dark_background": True,
    "image_crop": None,
    "micrograph_scale": 1.0,
    "seed": 7,
}


@pytest.fixture
def tiles_in(tmp_path):
    """Return a function: folder's name, options -> the tiles' bytes by their place."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in "abc":
        image = random.integers(30, 50, (60, 70), np.uint8)
        for row, column in random.integers(0, 55, (6, 2)):
            image[row : row + 6, column : column + 6] = 220
        write_image(tmp_path / "images" / f"{name}.png", image)

    def tiles_in(name, **changes):
        folder = tmp_path / name
        prepare_images(images_dir=tmp_path / "images", cyclegan_dir=folder, **OPTIONS | changes)
        files = sorted((folder / "data").rglob("*.tif"))
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    return tiles_in


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"image_crop": 50},
        {"dark_background": False},
        {"micrograph_scale": 1.3},
        {"min_overlap": 20},
        {"num_tiles": 25},
        {"tile_height": 18},
    ],
)
def test_tiles_are_those_of_a_new_folder_whichever_option_changed(tiles_in, change):
    before = tiles_in("old")
    after = tiles_in("old", **change)
    assert after != before
    assert after == tiles_in("new", **change)


def test_tiles_for_tests_are_of_several_micrographs(tiles_in):
    names = [place.split("/")[-1] for place in tiles_in("folder") if "testA" in place]
    assert len(names) == 5
    assert len({name[0] for name in names}) > 1

"""The sheets and the check of the fakes, with generators of one filter."""

from types import SimpleNamespace

import numpy as np
import pytest

from models.cyclegan import build_generator
from pipeline.image_files import read_image, write_image
from pipeline.network_failures import describe_translations
from pipeline.training.cyclegan_previews import preview_sheets, translate_test_tiles
from pipeline.training_data.cyclegan_images import Coding

PLAIN = Coding(invert_images=False, in_unit_range=False)
TILES = {"data/testA": 3, "data/testB": 2}


@pytest.fixture
def cyclegan_dir(tmp_path):
    random = np.random.default_rng(0)
    for folder, number in TILES.items():
        (tmp_path / folder).mkdir(parents=True)
        for index in range(number):
            tile = random.integers(0, 2, (24, 32), np.uint8) * 255
            write_image(tmp_path / folder / f"{index}.tif", tile)
    return tmp_path


@pytest.fixture
def model():
    return SimpleNamespace(
        gen_a=build_generator(1, residual_blocks=1), gen_b=build_generator(1, residual_blocks=1)
    )


def test_a_sheet_for_each_direction(cyclegan_dir, model):
    sheets = dict(preview_sheets(model, cyclegan_dir, PLAIN))
    assert list(sheets) == ["A-B-A", "B-A-B"]
    for sheet in sheets.values():
        assert sheet.dtype == np.uint8 and sheet.shape[0] > 2 * 24 and sheet.shape[1] > 4 * 32


@pytest.mark.parametrize("invert_images", [False, True])
def test_tiles_of_other_types_are_shown_as_networks_see_them(cyclegan_dir, model, invert_images):
    """Such as 16 bit, and masks of 0 and 1: cut to 8 bits they would be shown as something else."""
    expected = dict(preview_sheets(model, cyclegan_dir, Coding(invert_images, False)))
    for folder, white in (("data/testA", 65535), ("data/testB", 1)):
        for path in (cyclegan_dir / folder).iterdir():
            tile = (read_image(path) // 255).astype(np.uint16) * white
            write_image(path, tile if white > 1 else tile.astype(np.uint8))
    for name, sheet in preview_sheets(model, cyclegan_dir, Coding(invert_images, False)):
        np.testing.assert_array_equal(sheet, expected[name])


def test_generators_of_one_grey_are_found(cyclegan_dir, model):
    fake_masks, fake_micrographs, masks = translate_test_tiles(model, cyclegan_dir, PLAIN)
    assert fake_masks.shape == (3, 24, 32) and fake_micrographs.shape == masks.shape == (2, 24, 32)
    for generator, name in ((model.gen_b, "micrographs"), (model.gen_a, "masks")):
        last = [layer for layer in generator.layers if layer.weights][-1]
        last.set_weights([np.zeros(weight.shape, np.float32) for weight in last.weights])
        problem = describe_translations(*translate_test_tiles(model, cyclegan_dir, PLAIN))
        assert f"fake {name} are of one grey" in problem


def test_micrographs_that_were_negated_to_be_learned_are_shown_as_they_are(cyclegan_dir, model):
    (_, plain, _), (_, negated, _) = (
        translate_test_tiles(model, cyclegan_dir, Coding(invert_images, False))
        for invert_images in (False, True)
    )
    assert plain.std() > 1
    np.testing.assert_allclose(negated.astype(int), 255 - plain.astype(int), atol=1)

"""A mask that was changed since it was made is told from one that was not, and from any other."""

import numpy as np
import pytest
import tifffile

from pipeline.files.mask_origin import (
    AS_SEGMENTED,
    CHANGED,
    OF_ANOTHER,
    UNKNOWN,
    description_of,
    is_changed,
    origin_of,
    raw_path_of,
)
from pipeline.image_files import read_image, write_image

MASK = np.zeros((20, 30), np.uint8)
MASK[5:12, 8:20] = 255
MICROGRAPH = np.random.default_rng(0).integers(0, 255, MASK.shape).astype(np.uint8)
PROBABILITY = np.linspace(0, 1, MASK.size, dtype=np.float32).reshape(MASK.shape)


@pytest.fixture
def mask_path(tmp_path):
    """The file of a mask beside the probabilities that it was made from."""
    path = tmp_path / "a.tif"
    write_image(raw_path_of(path), PROBABILITY, description_of(MASK, MICROGRAPH))
    write_image(path, MASK)
    return path


@pytest.fixture
def image_path(tmp_path):
    """The file of the micrograph, with an info bar below what was segmented."""
    path = tmp_path / "micrograph.png"
    write_image(path, np.pad(MICROGRAPH, ((0, 4), (0, 0))))
    return path


def test_a_mask_as_it_was_made(mask_path, image_path):
    assert origin_of(mask_path, image_path) == AS_SEGMENTED
    np.testing.assert_array_equal(read_image(raw_path_of(mask_path)), PROBABILITY)


def test_white_may_be_another_number(mask_path, image_path):
    write_image(mask_path, (MASK > 0).astype(np.uint16))
    assert origin_of(mask_path, image_path) == AS_SEGMENTED


@pytest.mark.parametrize("change", ["a pixel", "turned", "particles numbered"])
def test_a_mask_that_was_changed(mask_path, image_path, change):
    changed = MASK.reshape(30, 20).copy() if change == "turned" else MASK.copy()
    changed[0, 0] = 255 if change == "a pixel" else changed[0, 0]
    if change == "particles numbered":
        changed = (changed > 0).astype(np.uint16)
        changed[:, 14:] *= 2
    write_image(mask_path, changed)
    assert origin_of(mask_path, image_path) == CHANGED


@pytest.mark.parametrize("other", ["a pixel", "more bits"])
@pytest.mark.parametrize("mask", [MASK, 255 - MASK])
def test_a_micrograph_that_took_the_place_of_that_which_was_segmented(
    mask_path, image_path, mask, other
):
    write_image(mask_path, mask)
    micrograph = read_image(image_path).copy()
    micrograph[3, 4] += other == "a pixel"
    write_image(image_path, micrograph.astype(np.uint16 if other == "more bits" else np.uint8))
    assert origin_of(mask_path, image_path) == OF_ANOTHER


def test_a_micrograph_that_another_program_saved_again_is_the_same(mask_path, image_path):
    calibrated = image_path.with_suffix(".tif")
    tifffile.imwrite(calibrated, read_image(image_path), imagej=True, resolution=(0.2, 0.2))
    assert origin_of(mask_path, calibrated) == AS_SEGMENTED


DESCRIPTIONS = {
    "an image": "Created by a camera",
    "of step 5": None,
    "of an earlier version": "probabilities of the mask 1a2b3c",
}


@pytest.mark.parametrize("raw", ["missing", "damaged", *DESCRIPTIONS])
def test_masks_from_elsewhere(mask_path, image_path, raw):
    path = raw_path_of(mask_path)
    if raw == "missing":
        path.unlink()
    elif raw == "damaged":
        path.write_bytes(b"II*\0damaged")
    else:
        write_image(path, PROBABILITY, DESCRIPTIONS[raw])
    assert origin_of(mask_path, image_path) == UNKNOWN


def test_whether_a_mask_was_changed_is_known_without_its_micrograph(mask_path):
    assert not is_changed(mask_path)
    write_image(mask_path, np.roll(MASK, 1, axis=0))
    assert is_changed(mask_path)
    mask_path.write_bytes(b"damaged by what was to correct it")
    assert is_changed(mask_path)
    raw_path_of(mask_path).unlink()
    assert not is_changed(mask_path)  # it is not known to be of the step's

"""A mask that was changed since it was made is told from one that was not, and from any other."""

import numpy as np
import pytest

from pipeline.files.mask_origin import (
    AS_SEGMENTED,
    CHANGED,
    UNKNOWN,
    description_of,
    origin_of,
    raw_path_of,
)
from pipeline.image_files import read_image, write_image

MASK = np.zeros((20, 30), np.uint8)
MASK[5:12, 8:20] = 255
PROBABILITY = np.linspace(0, 1, MASK.size, dtype=np.float32).reshape(MASK.shape)


@pytest.fixture
def mask_path(tmp_path):
    """The file of a mask beside the probabilities that it was made from."""
    path = tmp_path / "a.tif"
    write_image(raw_path_of(path), PROBABILITY, description_of(MASK))
    write_image(path, MASK)
    return path


def test_a_mask_as_it_was_made(mask_path):
    assert origin_of(mask_path) == AS_SEGMENTED
    np.testing.assert_array_equal(read_image(raw_path_of(mask_path)), PROBABILITY)


def test_white_may_be_another_number(mask_path):
    write_image(mask_path, (MASK > 0).astype(np.uint16))
    assert origin_of(mask_path) == AS_SEGMENTED


@pytest.mark.parametrize("change", ["a pixel", "turned", "particles numbered"])
def test_a_mask_that_was_changed(mask_path, change):
    changed = MASK.reshape(30, 20).copy() if change == "turned" else MASK.copy()
    changed[0, 0] = 255 if change == "a pixel" else changed[0, 0]
    if change == "particles numbered":
        changed = (changed > 0).astype(np.uint16)
        changed[:, 14:] *= 2
    write_image(mask_path, changed)
    assert origin_of(mask_path) == CHANGED


@pytest.mark.parametrize("raw", ["missing", "damaged", "of an earlier version", "an image"])
def test_masks_from_elsewhere(mask_path, raw):
    path = raw_path_of(mask_path)
    if raw == "missing":
        path.unlink()
    elif raw == "damaged":
        path.write_bytes(b"II*\0damaged")
    else:
        write_image(path, PROBABILITY, "Created by a camera" if raw == "an image" else None)
    assert origin_of(mask_path) == UNKNOWN

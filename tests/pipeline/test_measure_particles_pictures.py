"""The pixel size in the pictures of a measurement: label maps carry it, overlays have a bar."""

import numpy as np
import pytest

from pipeline.files.pixel_size import read_pixel_size
from pipeline.image_files import read_image
from tests.pipeline.one_measurement import measuring


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Return a function: pixel size -> the files of label map and overlay of a small mask."""
    mask = np.zeros((120, 160), np.uint8)
    mask[20:40, 30:50] = 255
    measure = measuring(tmp_path, monkeypatch, mask)

    def pictures(pixel_size_nm):
        folder = measure(f"Results of {pixel_size_nm}", pixel_size_nm)
        return folder / "labels" / "a.tif", folder / "overlays" / "a.png"

    return pictures


def test_label_maps_and_overlays_have_the_pixel_size(pictures):
    labels, overlay = pictures(2.5)
    assert read_pixel_size(labels)[0] == pytest.approx(2.5, rel=1e-4)
    other_labels, without_bar = pictures(None)
    assert read_pixel_size(other_labels) is None
    assert not np.array_equal(read_image(overlay), read_image(without_bar))

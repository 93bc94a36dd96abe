"""The pixel size in the pictures of a measurement: label maps carry it, overlays have a bar."""

import numpy as np
import pytest

from pipeline.files.pixel_size import read_pixel_size
from pipeline.image_files import read_image
from pipeline.measure_particles import _measure_image
from pipeline.results.overlays import BORDER_COLOUR, FILTERED_COLOUR, KEPT_COLOUR
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


@pytest.mark.parametrize(
    ("exclude_border", "colour"), [(True, BORDER_COLOUR), (False, FILTERED_COLOUR)]
)
def test_a_cut_particle_that_a_filter_drops_is_marked_as_such(exclude_border, colour):
    """If particles at the edge are measured, the edge is not why it is left out."""
    labels = np.zeros((120, 160), np.int32)
    labels[0:5, 20:25], labels[50:70, 60:80] = 1, 2
    micrograph = np.zeros(labels.shape, np.uint8)
    _, kept, groups = _measure_image(
        labels, micrograph, 1.0, "px", exclude_border, {"area": (100, None)}
    )
    assert kept["label"].tolist() == [2]
    marked = {group_colour: list(outlines) for outlines, group_colour in groups}
    assert marked == {BORDER_COLOUR: [], FILTERED_COLOUR: [], KEPT_COLOUR: [2]} | {colour: [1]}

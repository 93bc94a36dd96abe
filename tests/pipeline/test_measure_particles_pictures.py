"""The pixel size in the pictures of a measurement: label maps carry it, overlays have a bar."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.files.pixel_size import read_pixel_size
from pipeline.image_files import read_image, write_image
from pipeline.measure_particles import measure_particles
from pipeline.particles import size_distribution
from pipeline.results import result_tables


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Return a function: pixel size -> the files of label map and overlay of a small mask."""
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    monkeypatch.setattr(result_tables, "plot_size_distribution", lambda *_: Figure((1, 1)))
    mask = np.zeros((120, 160), np.uint8)
    mask[20:40, 30:50] = 255
    for name in ("masks", "images"):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "a.tif", mask)

    def pictures(pixel_size_nm):
        folder = measure_particles(
            masks_dir=tmp_path / "masks",
            images_dir=tmp_path / "images",
            results_dir=tmp_path / f"Results of {pixel_size_nm}",
            pixel_size_nm=pixel_size_nm,
            exclude_border=True,
            give_back_lines=True,
            filters={},
            image_crop=None,
            seed=0,
            **{f"{name}_dir": tmp_path / name for name in ("wgan", "cyclegan", "unet")},
        )
        return folder / "labels" / "a.tif", folder / "overlays" / "a.png"

    return pictures


def test_label_maps_and_overlays_have_the_pixel_size(pictures):
    labels, overlay = pictures(2.5)
    assert read_pixel_size(labels)[0] == pytest.approx(2.5, rel=1e-4)
    other_labels, without_bar = pictures(None)
    assert read_pixel_size(other_labels) is None
    assert not np.array_equal(read_image(overlay), read_image(without_bar))

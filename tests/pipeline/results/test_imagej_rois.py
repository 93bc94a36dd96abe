"""Regions must hold exactly the particles' pixels, read back from the file."""

import numpy as np
import pytest
import roifile
import tifffile
from skimage.measure import label as label_components

from pipeline.particles.pixel_outlines import outline_polygons, walk_edges
from pipeline.results.imagej_rois import write_label_map, write_roi_set


def outlines(labels):
    return outline_polygons(walk_edges(labels))


def rasterise(roi, shape):
    """Even-odd rule at the centres of the pixels, as ImageJ fills regions."""
    inside = np.zeros(shape, bool)
    for path in roi.coordinates(multi=True):
        for (x1, y1), (x2, y2) in zip(path, np.roll(path, -1, axis=0), strict=True):
            if x1 == x2:
                inside[int(min(y1, y2)) : int(max(y1, y2)), int(x1) :] ^= True
    return inside


@pytest.mark.parametrize("share", [0.3, 0.55, 0.7, 0.9])
def test_regions_rasterise_back_to_the_same_pixels(tmp_path, share):
    # From single pixels to one particle full of holes.
    mask = np.random.default_rng(1).random((40, 53)) < share
    labels = label_components(mask, connectivity=1)
    write_roi_set(tmp_path / "RoiSet.zip", outlines(labels))
    rois = roifile.roiread(tmp_path / "RoiSet.zip")
    assert [int(roi.name) for roi in rois] == list(range(1, labels.max() + 1))
    for roi in rois:
        assert (rasterise(roi, labels.shape) == (labels == int(roi.name))).all()


def test_a_particle_without_holes_is_a_traced_region_and_one_with_holes_a_composite(tmp_path):
    labels = np.zeros((20, 20), int)
    labels[2:8, 2:9] = 3
    labels[10:18, 5:15] = 4
    labels[12:14, 8:10] = 0
    write_roi_set(tmp_path / "RoiSet.zip", outlines(labels))
    plain, holed = roifile.roiread(tmp_path / "RoiSet.zip")
    assert plain.roitype == roifile.ROI_TYPE.TRACED
    assert (plain.top, plain.left, plain.bottom, plain.right) == (2, 2, 8, 9)
    assert holed.composite and len(holed.coordinates(multi=True)) == 2
    assert (plain.name, holed.name) == ("0003", "0004")


def test_the_same_labels_give_the_same_bytes(tmp_path):
    labels = np.eye(5, dtype=int)
    for name in "ab":
        write_roi_set(tmp_path / f"{name}.zip", outlines(labels))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_no_particle_gives_an_empty_set(tmp_path):
    write_roi_set(tmp_path / "RoiSet.zip", outlines(np.zeros((5, 5), int)))
    assert roifile.roiread(tmp_path / "RoiSet.zip") == []


def test_a_label_map_keeps_labels_and_calibration(tmp_path):
    labels = np.arange(48).reshape(6, 8)
    write_label_map(tmp_path / "a.tif", labels, 7.34375)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["unit"] == "nm"
        numerator, denominator = tiff.pages.first.tags.valueof(282)
        assert denominator / numerator == pytest.approx(7.34375, rel=1e-6)
        assert tiff.asarray().dtype == np.uint16
        np.testing.assert_array_equal(tiff.asarray(), labels)


def test_a_label_map_without_calibration_has_no_unit(tmp_path):
    write_label_map(tmp_path / "a.tif", np.ones((4, 4), int), None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert "unit" not in tiff.imagej_metadata


def test_more_labels_than_16_bits_hold(tmp_path):
    labels = np.zeros((4, 4), int)
    labels[1, 1] = 70_001
    write_label_map(tmp_path / "a.tif", labels, None)
    assert tifffile.imread(tmp_path / "a.tif")[1, 1] == 70_001

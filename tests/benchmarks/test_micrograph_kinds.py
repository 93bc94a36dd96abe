"""Micrographs of other kinds: what they show is what their truth says."""

import cv2
import numpy as np
import pytest

from benchmarks import micrograph_kinds
from benchmarks.micrograph_kinds import (
    KINDS,
    bright_field,
    large,
    rods,
    small,
    small_enlarged,
    spheres,
    write_micrographs,
)
from pipeline.image_files import list_images, read_image
from pipeline.micrographs.micrograph_scale import scale_for_outlines
from pipeline.particle_masks import contrast_correlation, label_particles
from pipeline.particle_shapes import measure_particles
from pipeline.training_data.outline_sources import load_outlines, shapes_of


@pytest.mark.parametrize("kind", [bright_field, spheres, rods])
def test_particles_in_transmission_are_dark_and_touching_ones_are_apart(kind):
    first, again = (next(kind()) for _ in range(2))
    micrograph, labels = first
    for own, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(own, other)
    assert micrograph.dtype == np.uint8 and micrograph.shape == labels.shape
    assert 40 < labels.max() < 260
    assert contrast_correlation(labels, micrograph) < -0.5
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        assert not np.any((one != other) & (one > 0) & (other > 0))


@pytest.mark.parametrize(
    ("kind", "diameters", "aspect_ratios"),
    [("spheres", (19, 21), (0.88, 1)), ("rods", (20, 28), (0.2, 0.42))],
)
def test_particles_and_outlines_have_the_shape_of_their_kind(
    kind, diameters, aspect_ratios, tmp_path, monkeypatch
):
    micrographs = [next(KINDS[kind][0]())]
    monkeypatch.setitem(micrograph_kinds.KINDS, kind, (lambda: iter(micrographs), {}))
    write_micrographs(kind, tmp_path)
    drawn = shapes_of(load_outlines(tmp_path / "Input_Masks"))
    truth = read_image(tmp_path / "True_Masks" / f"{kind}_0.tif") > 0
    shown = measure_particles(label_particles(truth), exclude_border=True)
    sizes = np.median(shown["equivalent_diameter"])
    assert diameters[0] < sizes < diameters[1]
    # Outlines are drawn with the gap of two pixels around the particle.
    assert sizes < np.median(drawn["diameter in pixels"]) < sizes + 6
    for ratios in (shown["aspect_ratio"], drawn["aspect ratio"]):
        assert aspect_ratios[0] < np.median(ratios) < aspect_ratios[1]


def test_small_particles_are_enlarged_with_their_truth():
    (micrograph, labels), (enlarged, truth) = (next(kind()) for kind in (small, small_enlarged))
    assert micrograph.dtype == enlarged.dtype == np.uint8
    assert micrograph.shape == labels.shape == tuple(size // 2 for size in enlarged.shape)
    np.testing.assert_array_equal(truth, labels.repeat(2, 0).repeat(2, 1))
    reduced = cv2.resize(enlarged, micrograph.shape[::-1], interpolation=cv2.INTER_AREA)
    difference = reduced.astype(float) - micrograph
    assert np.abs(difference).mean() < 0.1 * micrograph.std()
    assert contrast_correlation(labels, micrograph) > 0.5
    # In a mask, which has no numbers, each is a particle of its own.
    assert label_particles(labels > 0).max() == len(np.unique(labels)) - 1 > 50
    assert 8 < np.median(2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)) < 12


def test_large_particles_have_their_truth():
    micrograph, labels = next(large())
    assert micrograph.dtype == np.uint8 and micrograph.shape == labels.shape == (1536, 2048)
    assert contrast_correlation(labels, micrograph) > 0.5
    assert label_particles(labels > 0).max() == len(np.unique(labels)) - 1 > 50
    assert 60 < np.median(2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)) < 110


@pytest.mark.parametrize("kind", ["small", "large"])
def test_outlines_are_traced_at_the_scale_of_their_micrographs(tmp_path, kind, monkeypatch):
    monkeypatch.setitem(micrograph_kinds.KINDS, kind, (lambda: iter(()), {}))
    write_micrographs(kind, tmp_path)
    wanted = {"small": 2, "large": 0.25}[kind]
    assert scale_for_outlines(tmp_path / "Input_Masks") == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_each_micrograph_has_its_truth(kind, tmp_path, monkeypatch):
    made = [
        (np.full((20, 30), 7 + index, np.uint8), np.eye(20, 30, dtype=np.uint16))
        for index in range(2)
    ]
    monkeypatch.setitem(micrograph_kinds.KINDS, kind, (lambda: iter(made), {}))
    write_micrographs(kind, tmp_path)
    images, masks = (list_images(tmp_path / name) for name in ("Input_Images", "True_Masks"))
    assert [path.name for path in images] == [path.name for path in masks]
    for (micrograph, labels), image, mask in zip(made, images, masks, strict=True):
        np.testing.assert_array_equal(read_image(image), micrograph)
        np.testing.assert_array_equal(read_image(mask), 255 * labels)
    assert len(list_images(tmp_path / "Input_Masks")) == 24

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.filters import gaussian, threshold_li
from skimage.measure import label as label_regions
from skimage.measure import regionprops

from pipeline.image_files import list_images, read_image
from simulate.examples import (
    EXAMPLES,
    INFO_BAR_HEIGHT,
    SMALLEST_VISIBLE_AREA,
    draw_info_bar,
    make_example,
    make_examples,
    make_outlines,
    number_particles,
)

ROOT = Path(__file__).parents[2]

# The files were made with NumPy 2 and OpenCV 4; other versions may round differently, which
# moves a pixel by a grey level or two and, seldom, the rim of a particle by a pixel.
GREY_LEVELS = 2 / 255
SHARE_OF_PIXELS = 0.999


@pytest.fixture(scope="module")
def examples():
    return make_examples()


def as_share(image):
    return image / np.iinfo(image.dtype).max


def field_of_view(name, image):
    return image[: len(image) - INFO_BAR_HEIGHT * EXAMPLES[name].get("info_bar", False)]


def test_committed_micrographs_are_what_the_code_makes(examples):
    files = list_images(ROOT / "Input_Images")
    assert [path.name for path in files] == [name for name, _, _ in examples]
    for path, (name, micrograph, _) in zip(files, examples, strict=True):
        committed = read_image(path)
        assert committed.shape == micrograph.shape, name
        levels = np.iinfo(micrograph.dtype).max
        near = np.abs(committed / levels - as_share(micrograph)) <= GREY_LEVELS
        assert near.mean() >= SHARE_OF_PIXELS, name


def test_committed_outlines_are_what_the_code_makes():
    files, outlines = list_images(ROOT / "Input_Masks"), make_outlines()
    assert [path.name for path in files] == [name for name, _ in outlines]
    for path, (name, outline) in zip(files, outlines, strict=True):
        assert (read_image(path) == outline).mean() >= SHARE_OF_PIXELS, name


def test_committed_files_are_small():
    files = [*list_images(ROOT / "Input_Images"), *list_images(ROOT / "Input_Masks")]
    assert sum(path.stat().st_size for path in files) < 3e6


def test_examples_differ_in_size_depth_and_format(examples):
    assert len(examples) == 8
    assert all(min(micrograph.shape) >= 300 for _, micrograph, _ in examples)
    assert len({micrograph.shape for _, micrograph, _ in examples}) >= 4
    assert sorted(m.dtype.name for _, m, _ in examples) == ["uint16"] + 7 * ["uint8"]
    assert {Path(name).suffix for name, _, _ in examples} == {".png", ".tif"}
    assert sum(options.get("info_bar", False) for options in EXAMPLES.values()) == 1


def test_labels_are_particles_that_stand_apart(examples):
    for name, micrograph, labels in examples:
        assert labels.dtype == np.uint16 and labels.shape == micrograph.shape
        regions = label_regions(labels > 0, connectivity=1)
        assert regions.max() == labels.max() == len(np.unique(labels)) - 1, name
        assert len(np.unique(np.stack([regions, labels])[:, labels > 0], axis=1).T) == labels.max()
        assert np.bincount(labels[labels > 0]).max() < 40**2
        assert np.bincount(labels.ravel())[1:].min() >= SMALLEST_VISIBLE_AREA, name


def test_there_are_enough_particles_and_enough_background(examples):
    for name, _, labels in examples:
        assert 40 <= labels.max() <= 120, name
        assert 0.10 <= (field_of_view(name, labels) > 0).mean() <= 0.35, name


def test_particles_are_brighter_than_the_background_for_the_filter(examples):
    for name, micrograph, labels in examples:
        image, labels = field_of_view(name, micrograph), field_of_view(name, labels)
        particles = np.bincount(labels.ravel(), image.ravel()) / np.bincount(labels.ravel())
        assert (particles[1:] >= threshold_li(image)).mean() >= 0.93, name
        assert particles[1:].mean() > 1.8 * particles[0], name


def test_a_threshold_alone_does_not_solve_them(examples):
    scores = []
    for name, micrograph, labels in examples:
        smooth = gaussian(field_of_view(name, as_share(micrograph)), sigma=1)
        found, true = smooth > threshold_li(smooth), field_of_view(name, labels) > 0
        scores.append((found & true).sum() / (found | true).sum())
    assert 0.65 < np.mean(scores) < 0.85


def test_info_bar_is_dark_has_text_and_no_particles(examples):
    name = next(name for name, options in EXAMPLES.items() if options.get("info_bar"))
    _, micrograph, labels = next(example for example in examples if example[0] == name)
    bar = micrograph[-INFO_BAR_HEIGHT:]
    assert np.median(bar) == 0 and 0.02 < (bar > 100).mean() < 0.2
    assert (bar[0] == 0).all() and (micrograph[-INFO_BAR_HEIGHT - 1] > 0).all()
    assert not labels[-INFO_BAR_HEIGHT:].any()
    assert np.array_equal(bar, draw_info_bar(micrograph.shape[1]))


def test_a_seed_makes_one_image_and_another_seed_another():
    options = {"height": 300, "width": 320, "particles": 30}
    first, again, other = (
        make_example(np.random.default_rng(seed), **options) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_depth_changes_the_levels_not_the_picture():
    options = {"height": 300, "width": 320, "particles": 30}
    coarse, labels = make_example(np.random.default_rng(1), **options)
    fine, same_labels = make_example(np.random.default_rng(1), bits=16, **options)
    assert np.array_equal(labels, same_labels)
    assert np.abs(as_share(coarse) - as_share(fine)).max() < 1 / 255


def test_outlines_are_single_whole_particles_of_many_shapes():
    outlines = make_outlines()
    assert 20 <= len(outlines) <= 24
    shapes = []
    for name, outline in outlines:
        assert outline.shape == (64, 64) and outline.dtype == np.uint8
        assert set(np.unique(outline)) == {0, 255}, name
        assert not outline[[0, -1]].any() and not outline[:, [0, -1]].any(), name
        (particle,) = regionprops(label_regions(outline, connectivity=1))
        assert particle.euler_number == 1, name
        shapes.append(
            (
                particle.area,
                particle.solidity,
                particle.axis_minor_length / particle.axis_major_length,
            )
        )
    areas, solidities, ratios = np.array(shapes).T
    assert areas.max() > 2.5 * areas.min()
    assert solidities.min() > 0.9
    assert ratios.min() < 0.75 and ratios.max() > 0.9


def test_outlines_follow_from_the_seed():
    first, again, other = (make_outlines(seed, count=3) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for (_, a), (_, b) in zip(first, other, strict=True))


def test_numbering_keeps_the_largest_part_and_leaves_out_specks():
    labels = np.zeros((40, 40), np.int32)
    labels[0:10, 0:10] = 7  # the largest part of 7
    labels[20:28, 0:8] = 7  # 64 pixels, another part of it
    labels[0:10, 20:30] = 3
    labels[30:37, 20:28] = 5  # 56 pixels: below the smallest visible area
    numbered = number_particles(labels)
    assert numbered.dtype == np.uint16
    assert sorted(np.unique(numbered)) == [0, 1, 2]
    assert {numbered[5, 5], numbered[5, 25]} == {1, 2}
    assert not numbered[20:].any()
    assert cv2.countNonZero(numbered) == 200

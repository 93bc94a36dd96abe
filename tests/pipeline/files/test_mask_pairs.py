"""Which masks can be measured, and what is said of the others."""

import numpy as np
import pytest
from PIL import Image

from pipeline.files.mask_pairs import find_mask_pairs, read_mask_or_labels, read_mask_pair
from pipeline.image_files import write_image

MICROGRAPH = np.random.default_rng(0).integers(0, 255, (60, 50)).astype(np.uint8)
MASK = np.zeros((60, 50), np.uint8)
MASK[10:20, 10:20] = 255


@pytest.fixture
def folders(tmp_path):
    for name in ("masks", "images"):
        (tmp_path / name).mkdir()
    for stem in ("a", "b"):
        write_image(tmp_path / "masks" / f"{stem}.tif", MASK)
        write_image(tmp_path / "images" / f"{stem}.png", MICROGRAPH)
    return tmp_path / "masks", tmp_path / "images"


def test_pairs_by_name(folders):
    pairs, warnings = find_mask_pairs(*folders, None)
    names = [(mask.name, image.name) for mask, image in pairs]
    assert names == [("a.tif", "a.png"), ("b.tif", "b.png")]
    assert warnings == []


def test_images_without_a_mask_are_warned_of_and_probabilities_passed_over(folders):
    masks, images = folders
    write_image(images / "c.png", MICROGRAPH)
    write_image(masks / "a_raw.tif", np.random.default_rng(0).random((60, 50), np.float32))
    pairs, (warning,) = find_mask_pairs(masks, images, None)
    assert len(pairs) == 2
    assert warning == ("1 of 3 micrographs not measured, as there is no mask of the same name: c.")


def test_a_mask_that_is_called_raw_is_a_mask_where_there_is_no_other(folders):
    masks, images = folders
    write_image(masks / "c_raw.tif", MASK)
    write_image(images / "c_raw.png", MICROGRAPH)
    assert len(find_mask_pairs(masks, images, None)[0]) == 3


def test_probabilities_of_a_mask_that_was_deleted_are_none(folders):
    masks, images = folders
    (deleted,) = (path for path in masks.iterdir() if path.stem == "a")
    write_image(masks / "a_raw.tif", np.zeros(MASK.shape, np.float32))
    deleted.unlink()
    pairs, (warning,) = find_mask_pairs(masks, images, None)
    assert len(pairs) == 1 and "not measured" in warning


def test_masks_without_a_micrograph_are_warned_of(folders):
    masks, images = folders
    write_image(masks / "z.tif", MASK)
    pairs, (warning,) = find_mask_pairs(masks, images, None)
    assert len(pairs) == 2
    assert "1 mask has no micrograph of the same name, left out: z" in warning


def test_no_pair_at_all(folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for pair in ((empty, folders[1]), (folders[0], empty)):
        with pytest.raises(FileNotFoundError, match="has a micrograph of the same name"):
            find_mask_pairs(*pair, None)


def test_all_that_cannot_be_measured_is_listed_at_once(folders):
    masks, images = folders
    grey = MASK.copy()
    grey[0, :3] = (1, 2, 3)
    write_image(masks / "a.tif", grey)
    write_image(masks / "b.tif", MASK[:, :-1])
    for stem in ("c", "d"):
        write_image(images / f"{stem}.png", MICROGRAPH)
    write_image(masks / "c.tif", np.vstack([MASK, MASK]))
    (masks / "d.tif").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="These masks cannot be measured") as raised:
        find_mask_pairs(masks, images, None)
    text = str(raised.value)
    assert "a.tif is not a mask: it has 5 grey values from 0 to 255" in text
    assert "b.tif has 60 x 49 pixels" in text and "60 x 50; expected the same width" in text
    assert "c.tif has 120 x 50 pixels" in text
    assert "d.tif cannot be read as an image" in text


def test_maps_of_classes_and_full_8_bit_label_maps_are_refused_with_what_to_do(folders):
    masks, images = folders
    write_image(masks / "a.tif", np.where(MASK > 0, 2, 1).astype(np.uint8))
    numbers = np.kron(np.arange(256).reshape(16, 16), np.ones((3, 3), int)).astype(np.uint8)
    write_image(masks / "b.tif", numbers)
    write_image(images / "b.png", np.zeros((48, 48), np.uint8))
    with pytest.raises(ValueError, match="These masks cannot be measured") as raised:
        find_mask_pairs(masks, images, None)
    text = str(raised.value)
    assert "a.tif looks like a map of classes, not of particles: its numbers are 1 to 2" in text
    assert "b.tif holds the numbers 1 to 255 in 8 bits" in text and "as 16 bit" in text


def test_long_lists_are_cut(folders):
    masks, images = folders
    for number in range(14):
        write_image(masks / f"{number}.tif", MICROGRAPH)
        write_image(images / f"{number}.png", MICROGRAPH)
    with pytest.raises(ValueError, match=r"\.\.\. and 4 more"):
        find_mask_pairs(masks, images, None)


@pytest.mark.parametrize(
    ("mask_rows", "image_crop", "expected"), [(60, None, 60), (60, 40, 40), (45, None, 45)]
)
def test_both_are_cut_to_the_rows_they_share(folders, mask_rows, image_crop, expected):
    masks, images = folders
    write_image(masks / "a.tif", MASK[:mask_rows])
    mask, micrograph = read_mask_pair(masks / "a.tif", images / "a.png", image_crop)
    np.testing.assert_array_equal(mask, MASK[:expected] > 0)
    np.testing.assert_array_equal(micrograph, MICROGRAPH[:expected])


@pytest.mark.parametrize("high", [1, 255, 65535])
def test_any_second_value_is_white(folders, high):
    masks, images = folders
    write_image(masks / "a.tif", (MASK > 0).astype(np.uint16) * high)
    find_mask_pairs(masks, images, None)
    assert read_mask_pair(masks / "a.tif", images / "a.png", None)[0].sum() == 100


def coloured(ending, numbers=2):
    """Return touching squares of (red, green, red and green ...), as an image or with a palette."""
    labels = np.zeros((60, 50), np.uint8)
    for number in range(numbers):
        labels[10:20, 10 * number : 10 * number + 10] = number + 1
    palette = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)], np.uint8)
    if ending == ".gif":
        image = Image.fromarray(labels)
        image.putpalette(palette.ravel().tolist())
        return image
    return Image.fromarray(palette[labels])


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize("numbers", [2, 3])
def test_particles_that_differ_by_colour_alone_are_not_taken_for_one(folders, ending, numbers):
    masks, images = folders
    (masks / "a.tif").unlink()
    coloured(ending, numbers).save(masks / f"a{ending}")
    words = rf"a\{ending} holds {numbers} colours besides black, greys and white"
    with pytest.raises(ValueError, match=words):
        find_mask_pairs(masks, images, None)
    with pytest.raises(ValueError, match=words):
        read_mask_or_labels(masks / f"a{ending}")


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".gif"])
def test_a_mask_of_one_colour_and_a_grey_one_saved_as_colour_are_masks(folders, ending):
    masks, images = folders
    (masks / "a.tif").unlink()
    for image in (coloured(ending, 1), Image.fromarray(np.dstack([MASK] * 3))):
        image.save(masks / f"a{ending}")
        assert len(find_mask_pairs(masks, images, None)[0]) == 2
        assert read_mask_or_labels(masks / f"a{ending}").sum() == 100

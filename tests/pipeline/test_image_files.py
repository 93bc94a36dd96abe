"""Image files: listed, paired, read as masks and micrographs, written whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline import image_files
from pipeline.checks.files import LONGEST_NAME_BYTES
from pipeline.files.whole_files import DISK_IS_FULL
from pipeline.image_files import (
    image_size,
    list_images,
    pair_by_stem,
    read_image,
    read_mask,
    read_micrograph,
    write_image,
)

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
GREY_16 = RNG.integers(0, 2**16, (20, 30)).astype(np.uint16)
COLOUR = RNG.integers(0, 256, (20, 30, 3), np.uint8)


def test_mask_is_above_half_of_its_range(tmp_path):
    write_image(tmp_path / "a.tif", np.array([[10, 20, 21, 30]], np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), [[False, False, True, True]])


@pytest.mark.parametrize("white", [1, 255])
def test_a_constant_mask_is_all_particle_if_white_and_none_if_black(tmp_path, white):
    for value, is_particle in ((white, True), (0, False)):
        write_image(tmp_path / "a.tif", np.full((2, 2), value, np.uint8))
        assert (read_mask(tmp_path / "a.tif") == is_particle).all()
        assert (read_mask(tmp_path / "a.tif", invert=True) != is_particle).all()


def test_micrograph_is_cropped(tmp_path):
    write_image(tmp_path / "a.tif", GREY)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif", 12), GREY[:12])
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif"), GREY)
    with pytest.raises(ValueError, match=r"a\.tif: image crop 0: expected"):
        read_micrograph(tmp_path / "a.tif", 0)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.bmp", "a.gif", "a.jpg"])
def test_size_from_the_header(tmp_path, name):
    Image.fromarray(GREY).save(tmp_path / name)
    assert image_size(tmp_path / name) == (20, 30)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path, value):
    image = np.ones((4, 4), np.float32)
    image[2, 3] = value
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(ValueError, match=r"a\.tif contains NaN or infinite values"):
        read_image(tmp_path / "a.tif")


def test_complex_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.complex64))
    with pytest.raises(ValueError, match=r"a\.tif has pixels of type complex64"):
        read_image(tmp_path / "a.tif")


def test_missing_file(tmp_path):
    for read in (read_image, image_size):
        with pytest.raises(FileNotFoundError, match=r"nothing\.tif does not exist"):
            read(tmp_path / "nothing.tif")


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.tif", GREY),
        ("a.tif", GREY_16),
        ("a.tif", GREY.astype(np.float32) / 255),
        ("a.png", GREY),
        ("a.png", GREY_16),
        ("a.bmp", GREY),
    ],
)
def test_what_is_written_is_read(tmp_path, name, image):
    write_image(tmp_path / name, image)
    found = read_image(tmp_path / name)
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)
    content = (tmp_path / name).read_bytes()
    write_image(tmp_path / name, image)
    assert (tmp_path / name).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.bmp"])
def test_colour_is_written_as_rgb(tmp_path, name):
    write_image(tmp_path / name, COLOUR)
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(np.asarray(image), COLOUR)


@pytest.mark.parametrize(
    ("name", "image"),
    [("a.png", GREY.astype(np.float32)), ("a.jpg", GREY_16), ("a.gif", GREY), ("a.xyz", GREY)],
)
def test_formats_that_cannot_hold_the_image(tmp_path, name, image):
    with pytest.raises(
        ValueError, match=rf"cannot write {image.dtype} images as .{name[-3:]}.*tif"
    ):
        write_image(tmp_path / name, image)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.bmp"])
def test_a_full_disk_leaves_what_was_there_and_names_the_file(tmp_path, name):
    resource = pytest.importorskip("resource")
    write_image(tmp_path / name, GREY)
    large = RNG.integers(0, 256, (300, 300), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"(No space left|too large).*{name}") as error:
            write_image(tmp_path / name, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.errno in DISK_IS_FULL
    np.testing.assert_array_equal(read_image(tmp_path / name), GREY)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x" * 221 + ".tif", "ü" * 110 + ".PNG"])
def test_the_longest_names_allowed_leave_room_for_the_results(tmp_path, name):
    assert LONGEST_NAME_BYTES - 2 < len(name.encode()) <= LONGEST_NAME_BYTES
    stem = name[: name.rindex(".")]
    for result in (f"{stem}-aug_99999.tif", f"{stem}_raw.tif", f"{stem}_RoiSet.png"):
        write_image(tmp_path / result, GREY)
        np.testing.assert_array_equal(read_image(tmp_path / result), GREY)


def test_listing(tmp_path):
    for name in (
        "b.TIF",
        "a.jpeg",
        "c.Gif",
        ".hidden.tif",
        "notes.txt",
        "tif",
        "long" * 50 + ".png",
    ):
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["a.jpeg", "b.TIF", "c.Gif", "long" * 50 + ".png"]
    assert list_images(tmp_path / "folder.tif") == []
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere does not exist"):
        list_images(tmp_path / "nowhere")


def test_pairs(tmp_path):
    images = [tmp_path / "b.tif", tmp_path / "a.png"]
    masks = [tmp_path / "a.tif", tmp_path / "b.TIF"]
    assert pair_by_stem(images, masks) == [(images[1], masks[0]), (images[0], masks[1])]
    with pytest.raises(ValueError, match=r"1 file has no partner .*b\.TIF"):
        pair_by_stem(images[1:], masks)
    with pytest.raises(ValueError, match=r"1 file has no partner .*a\.png"):
        pair_by_stem(images, masks[1:])
    with pytest.raises(ValueError, match=r"a\.png and .*a\.tif have the same name but for"):
        pair_by_stem([*images, masks[0]], masks)


def test_an_accented_letter_is_one_however_it_is_written():
    one, two = Path("a/Gr\u00f6\u00dfe.tif"), Path("b/Gro\u0308\u00dfe.png")
    assert one.stem != two.stem
    assert pair_by_stem([one], [two]) == [(one, two)]


def test_full_memory_need_not_be_a_fault_of_the_file(tmp_path, monkeypatch):
    def full(path):
        raise MemoryError

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    monkeypatch.setattr(image_files, "decode", full)
    with pytest.raises(ValueError, match=r"a.tif cannot be read .*End other programs or cut it"):
        read_image(tmp_path / "a.tif")


def test_a_name_of_another_format_makes_no_header_with_a_random_number(tmp_path):
    """tifffile goes by the name: microscopes write .ome.tif, and masks are named alike."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "image.ome.tif", np.eye(20, dtype=np.float32))
    first, second = ((tmp_path / folder / "image.ome.tif").read_bytes() for folder in "ab")
    assert first == second and b"OME" not in first

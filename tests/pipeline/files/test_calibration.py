"""Pixel sizes of the images of a run: which unit follows, and what does not go together."""

import logging

import numpy as np
import pytest
import tifffile

from pipeline.files.calibration import calibrate, check_pixel_sizes, mixed_scales


@pytest.fixture
def write(tmp_path):
    """A function: name, pixel size in nm, or (width, height), or None -> an image that says so."""

    def write_one(name, size_nm=None):
        path = tmp_path / name
        sides = size_nm if isinstance(size_nm, tuple) else (size_nm or 1,) * 2
        known = {
            "imagej": True,
            "metadata": {"unit": "nm"},
            "resolution": tuple(1 / side for side in sides),
        }
        tifffile.imwrite(path, np.zeros((6, 8), np.uint8), **(known if size_nm else {}))
        return path

    return write_one


def test_the_source_is_said(write, caplog):
    caplog.set_level(logging.INFO)
    found, unit, warnings = calibrate([write("a.tif", 2.5), write("b.tif", 2.5)], None)
    assert found == [(2.5, "ImageJ calibration")] * 2
    assert (unit, warnings) == ("nm", [])
    assert "pixel size 2.5 nm, from: ImageJ calibration" in caplog.text


def test_different_sizes_are_warned_of(write):
    _, unit, (warning,) = calibrate([write("a.tif", 2.5), write("b.tif", 5)], None)
    assert unit == "nm"
    assert "differ (2.5 to 5 nm)" in warning


def test_one_image_without_a_size_puts_all_in_pixels(write):
    found, unit, (warning,) = calibrate([write("a.tif", 2.5), write("b.tif")], None)
    assert unit == "px"
    assert found[1] == (None, "none")
    assert "1 of 2 images carry no pixel size (b.tif)" in warning


@pytest.mark.parametrize("pixel_size_nm", [None, 2])
def test_pixels_that_are_not_square_are_warned_of_whatever_the_option_says(
    write, caplog, pixel_size_nm
):
    paths = [write("a.tif", (2, 3)), write("b.tif", 2)]
    found, _, warnings = calibrate(paths, pixel_size_nm)
    assert found[0][0] == pixel_size_nm
    (warning,) = [one for one in warnings if "not square" in one]
    assert "1 of 2 images are not square, as their metadata say (a.tif: 2 x 3 nm)" in warning
    assert "Image > Scale" in warning
    check_pixel_sizes(paths)
    assert warning in caplog.messages


def test_one_image_without_a_size_beside_different_ones_is_refused(write):
    paths = [write("a.tif", 2.5), write("b.tif"), write("c.tif", 5)]
    words = r"1 of 3 images carry no pixel size \(b.tif\), and those of the others differ "
    with pytest.raises(ValueError, match=words + r"\(2.5 to 5 nm\).*Analyze > Set Scale"):
        calibrate(paths, None)
    (problem,) = check_pixel_sizes(paths)
    assert "b.tif" in problem
    assert calibrate(paths, 4)[1] == "nm"


def test_sizes_that_are_refused_are_not_warned_of_besides(write, caplog):
    """Where the problem is told, that particles look different to the networks is no more news."""
    assert len(check_pixel_sizes([write("a.tif", 2.5), write("b.tif"), write("c.tif", 5)])) == 1
    assert caplog.text == ""


@pytest.mark.parametrize(("sizes", "warned"), [((2.5, 5.0, 5.0), True), ((2.5, 2.9, 2.5), False)])
def test_another_magnification_is_warned_of_before_training(write, caplog, sizes, warned):
    paths = [write(f"{name}.tif", size) for name, size in zip("abc", sizes, strict=True)]
    assert check_pixel_sizes(paths) == []
    words = "pixel sizes differ (2.5 to 5 nm; the largest: b.tif, c.tif)"
    assert (words in caplog.text) is warned and bool(caplog.text) is warned


@pytest.mark.parametrize("sizes", [[], [None, None], [2.5, None, 2.51], [2.5, 5]])
def test_scales_that_go_together(sizes):
    assert mixed_scales({f"{index}.tif": size for index, size in enumerate(sizes)}) == []


def test_the_option_overrides_files_without_a_size(write):
    found, unit, warnings = calibrate([write("a.tif"), write("b.tif")], 5)
    assert found == [(5.0, "option pixel_size_nm")] * 2
    assert (unit, warnings) == ("nm", [])


def test_files_that_contradict_the_option_are_named(write):
    paths = [write("a.tif", 2.5), write("b.tif", 5.02), write("c.tif"), write("d.tif", 10)]
    found, unit, (warning,) = calibrate(paths, 5)
    assert (found, unit) == ([(5.0, "option pixel_size_nm")] * 4, "nm")
    assert "PIXEL_SIZE_NM is 5, but the metadata of 2 of 4 images say otherwise" in warning
    assert "(a.tif: 2.5 nm, d.tif: 10 nm). 5 nm is used" in warning


def test_metadata_that_the_option_replaces_are_not_complained_of(tmp_path, caplog):
    (tmp_path / "a.tif").write_bytes(b"no image")
    assert calibrate([tmp_path / "a.tif"], 5)[2] == []
    assert caplog.text == ""


def test_images_that_were_resized_are_named(tmp_path):
    text = "[Scan]\r\nPixelWidth=2e-009\r\nPixelHeight=2e-009\r\n[Image]\r\nResolutionX=8\r\n"
    paths = [tmp_path / f"{width}.tif" for width in (8, 4)]
    for path, width in zip(paths, (8, 4), strict=True):
        image = np.zeros((6, width), np.uint8)
        tifffile.imwrite(path, image, extratags=[(34682, 2, 0, text, True)], metadata=None)
    found, _, (warning,) = calibrate(paths, None)
    assert [size for size, _ in found] == [pytest.approx(2)] * 2
    assert "1 of 2 images are not as wide" in warning
    assert "4.tif: 4 pixels, stored with 8" in warning and "set PIXEL_SIZE_NM" in warning
    # The option is what the user knows better.
    assert "wide" not in " ".join(calibrate(paths, 1.0)[2])


@pytest.mark.parametrize(("larger", "warned"), [(1.21, True), (1.19, False)])
def test_a_fifth_more_is_another_magnification(write, caplog, larger, warned):
    assert check_pixel_sizes([write("a.tif", 1), write("b.tif", larger)]) == []
    assert ("pixel sizes differ" in caplog.text) is warned


def test_text_files_that_tell_no_pixel_size_are_told_of_before_training(write, caplog):
    paths = [write("a.tif"), write("b.tif"), write("c.tif", 2.5)]
    for name in ("a", "c"):
        paths[0].with_name(f"{name}.txt").write_text("magnification 5000")
    assert check_pixel_sizes(paths) == []
    assert "No pixel size is found in the text files beside a.tif, so" in caplog.text
    assert len(caplog.messages) == 1
    caplog.clear()
    paths[0].with_suffix(".txt").write_text("\n".join(["[SemImageFile]", "PixelSize=2.5"]))
    assert check_pixel_sizes(paths) == []
    assert caplog.messages == []

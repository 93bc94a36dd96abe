"""Limits of what a header may promise before an image is decoded."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.files import decoders
from pipeline.image_files import image_size, read_image

GREY = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)


def _png_header(height, width):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 200) + b"IDAT" + bytes(200)


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (40_000, 40_000), (10_000, 10_000)])
def test_headers_that_promise_too_much(tmp_path, size):
    (tmp_path / "a.png").write_bytes(_png_header(*size))
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(size[0])
        tiff.pages[0].tags["ImageWidth"].overwrite(size[1])
    for name in ("a.png", "a.tif"):
        for read in (read_image, image_size):
            with pytest.raises(ValueError, match=rf"{name} claims {size[0]} x {size[1]} pixels"):
                read(tmp_path / name)


@pytest.mark.parametrize("side", [2048, 4096])
@pytest.mark.parametrize(
    ("name", "compression"),
    [("a.png", None), ("g4.tif", "group4"), ("zip.tif", "tiff_deflate"), ("gif.gif", None)],
)
def test_bilevel_masks_without_a_particle_are_small_files_and_sound(
    tmp_path, name, compression, side
):
    path = tmp_path / name
    how = {"compression": compression} if compression else {}
    Image.new("1", (side, side)).save(path, **how)
    assert side**2 > decoders.MAX_PIXELS_PER_BYTE * path.stat().st_size or name == "gif.gif"
    assert image_size(path) == (side, side)
    assert not read_image(path).any()


@pytest.mark.parametrize(("dtype", "allowed"), [("u1", 8192), ("u2", 5792), ("f8", 2896)])
def test_a_small_file_may_promise_64_megabytes(tmp_path, dtype, allowed):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype), compression="zlib")
    for side, is_too_much in ((allowed, False), (allowed + 1, True)):
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
            for tag in ("ImageLength", "ImageWidth", "RowsPerStrip"):
                tiff.pages[0].tags[tag].overwrite(side)
        words = rf"claims {side} x {side} pixels" if is_too_much else "cannot be read"
        with pytest.raises(ValueError, match=words):
            read_image(tmp_path / "a.tif")


def test_a_jpeg_that_holds_far_less_than_it_promises_is_refused(tmp_path):
    """Decoders fill up with grey what is missing before its end."""
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 4000, 4000)
    (tmp_path / "a.jpg").write_bytes(content)
    Image.fromarray(GREY).save(tmp_path / "a.tif", compression="jpeg")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        for tag in ("ImageLength", "ImageWidth", "RowsPerStrip"):
            tiff.pages[0].tags[tag].overwrite(4000)
    for name in ("a.jpg", "a.tif"):
        with pytest.raises(ValueError, match=rf"{name} claims 4000 x 4000 pixels"):
            read_image(tmp_path / name)


@pytest.fixture
def smaller(monkeypatch):
    """Make the limits smaller by 10,000: a side of 200 pixels stands for 20,000."""
    for name in ("MAX_PIXELS", "MAX_BYTES"):
        monkeypatch.setattr(decoders, name, getattr(decoders, name) // 10_000)


def write_zeros(path, side, dtype, samples):
    shape = (side, side, samples) if samples > 1 else (side, side)
    photometric = "rgb" if samples > 1 else "minisblack"
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric=photometric)


@pytest.mark.parametrize(
    ("side", "dtype", "samples"),
    [(230, "u1", 1), (230, "u2", 1), (230, "f4", 1), (230, "u1", 3), (180, "u2", 3)],
)
def test_large_images_are_allowed(smaller, tmp_path, side, dtype, samples):
    write_zeros(tmp_path / "a.tif", side, dtype, samples)
    assert read_image(tmp_path / "a.tif").shape == image_size(tmp_path / "a.tif") == (side, side)


@pytest.mark.parametrize(("dtype", "samples", "size"), [("f8", 1, 8), ("f8", 4, 32), ("u2", 4, 8)])
def test_the_bytes_of_a_pixel_count(smaller, tmp_path, dtype, samples, size):
    write_zeros(tmp_path / "a.tif", 200, dtype, samples)
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=rf"claims 200 x 200 pixels of {size} bytes"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize(("dtype", "is_allowed"), [("u1", True), ("u2", False)])
def test_the_bytes_of_a_pixel_of_a_png_count(smaller, tmp_path, dtype, is_allowed):
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((200, 200, 3), dtype))[1])
    if is_allowed:
        assert read_image(path).shape == (200, 200)
        return
    with pytest.raises(ValueError, match=r"a.png claims 200 x 200 pixels of 6 bytes"):
        read_image(path)

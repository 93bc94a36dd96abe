"""PNGs that hold all their pixels, and such whose pixels end early though checksums are right."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.files import png_pixels
from pipeline.image_files import read_image

CHANNELS = {"grey": 0, "colour": 2, "grey with alpha": 4, "colour with alpha": 6}


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(path, rows, *, width=30, height=20, bits=8, colour_type=0, interlacing=0, parts=1):
    """Write a PNG from the bytes of its rows, compressed, in so many chunks."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlacing)
    packed = zlib.compress(rows)
    length = -(-len(packed) // parts)
    data = [packed[start : start + length] for start in range(0, len(packed), length)]
    chunks = [chunk(b"IHDR", header), *(chunk(b"IDAT", part) for part in data), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour_type", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("parts", [1, 3])
def test_one_byte_less_than_promised_is_too_little(tmp_path, bits, colour_type, parts):
    whole = 20 * (1 + 30 * png_pixels.CHANNELS[colour_type] * bits // 8)
    options = {"bits": bits, "colour_type": colour_type, "parts": parts}
    assert read_image(write_png(tmp_path / "a.png", bytes(whole), **options)).shape == (20, 30)
    for missing in (1, whole // 2, whole):
        path = write_png(tmp_path / "a.png", bytes(whole - missing), **options)
        words = f"its pixels end early: {whole - missing} bytes of the {whole} that its header"
        with pytest.raises(ValueError, match=rf"a\.png cannot be read .*{words}"):
            read_image(path)


@pytest.mark.parametrize(("bits", "row"), [(1, 4), (2, 8), (4, 15)])
def test_rows_of_few_bits_end_with_a_whole_byte(tmp_path, bits, row):
    rows = bytes(20 * (1 + row))
    read_image(write_png(tmp_path / "a.png", rows, bits=bits))
    with pytest.raises(ValueError, match="end early"):
        read_image(write_png(tmp_path / "a.png", rows[1:], bits=bits))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 5), (3, 7), (8, 8), (9, 17), (20, 30)])
def test_interlaced_images_have_the_rows_of_seven_passes(tmp_path, size):
    # As many bytes as Pillow's decoder takes from them: with the last one missing it stops early.
    height, width = size
    promised = png_pixels._promised_bytes(
        struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlacing := 1)
    )
    rows = b"".join(
        b"\0" + bytes([255]) * len(range(column, width, step))
        for top, column, down, step in png_pixels.ADAM7
        for _ in range(top, height, down)
        if len(range(column, width, step))
    )
    assert len(rows) == promised
    options = {"width": width, "height": height, "interlacing": interlacing}
    path = write_png(tmp_path / "a.png", rows, **options)
    np.testing.assert_array_equal(read_image(path), np.full(size, 255, np.uint8))
    with pytest.raises(ValueError, match=f"end early: {promised - 1} bytes of the {promised}"):
        read_image(write_png(tmp_path / "a.png", rows[:-1], **options))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_what_pillow_writes_is_whole(tmp_path, mode):
    image = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    if mode == "I;16":
        Image.fromarray(image.astype(np.uint16) * 257).save(tmp_path / "a.png")
    else:
        Image.fromarray(image).convert(mode).save(tmp_path / "a.png", optimize=True)
    assert read_image(tmp_path / "a.png").shape == (20, 30)


def test_no_more_is_inflated_than_is_needed_to_know():
    packed = zlib.compress(bytes(10**8))
    parts = io.BytesIO(packed)
    read = []
    pieces = iter(lambda: read.append(None) or parts.read(1000), b"")
    assert 5000 <= png_pixels._inflated_bytes(pieces, 5000) < 10**7
    assert len(read) == 1
    assert png_pixels._inflated_bytes(iter([packed]), 10**9) == 10**8
    assert png_pixels._inflated_bytes(iter([packed[: len(packed) // 2]]), 10**9) < 10**8

"""Strips and tiles that inflate to what the header promises, and to more."""

import lzma
import struct
import zlib

import numpy as np
import pytest
import tifffile

from pipeline.files import inflated_sizes
from pipeline.image_files import read_image

BILEVEL = np.random.default_rng(0).integers(0, 2, (20, 30), np.uint8).astype(bool)
COLOUR = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def pack(compression, content):
    return lzma.compress(content) if compression == "lzma" else zlib.compress(content)


def write_packed(path, compression, strips, **options):
    """Write an image of 20 x 32 pixels from what its strips (of 8 rows) or tiles inflate to."""
    packed = iter([pack(compression, content) for content in strips])
    how = {"shape": (20, 32), "dtype": np.uint8, "compression": compression, "rowsperstrip": 8}
    how |= options
    tifffile.imwrite(path, packed, **how, photometric="minisblack", metadata=None)
    return path


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}])
@pytest.mark.parametrize("more", [0, 1, 10**6])
def test_one_byte_more_than_promised_is_too_much(tmp_path, compression, options, more):
    promised = 16 * 32 if options else 8 * 32
    contents = [bytes(promised), bytes(promised + more), bytes(promised)][: 2 if options else 3]
    path = write_packed(tmp_path / "a.tif", compression, contents, **options)
    if not more:  # the last strip or tile is whole, though the image ends before
        assert read_image(path).shape == (20, 32)
        return
    with pytest.raises(ValueError, match=rf"a\.tif is damaged: .* more than the {promised} bytes"):
        read_image(path)


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_what_is_as_promised_is_read(tmp_path, compression, planes):
    colour = COLOUR if planes == "contig" else np.moveaxis(COLOUR, -1, 0)
    how = {"photometric": "rgb", "planarconfig": planes, "rowsperstrip": 8}
    tifffile.imwrite(tmp_path / "a.tif", colour, compression=compression, **how)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), COLOUR.mean(axis=-1), rtol=1e-6)


def test_the_rows_of_bilevel_images_begin_with_a_byte_of_their_own(tmp_path):
    rows = np.packbits(BILEVEL, axis=-1).tobytes()
    assert len(rows) == 20 * 4
    for more in (0, 1):
        path = write_packed(
            tmp_path / f"{more}.tif",
            "zlib",
            [rows + bytes(more)],
            shape=(20, 30),
            dtype=bool,
            bitspersample=1,
            rowsperstrip=20,
        )
        if not more:
            np.testing.assert_array_equal(read_image(path), BILEVEL * 255)
            continue
        with pytest.raises(ValueError, match="more than the 80 bytes"):
            read_image(path)


def test_bits_in_the_other_order_are_inflated_too(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tests.pipeline.files.test_inflated_sizes.pack",
        lambda _, content: zlib.compress(content).translate(inflated_sizes.BITS_REVERSED),
    )
    path = write_packed(
        tmp_path / "a.tif", "zlib", [bytes(8 * 32 + 1)] * 3, extratags=[(65000, 3, 1, 2)]
    )
    fill_order = 266  # which tifffile does not write
    content = path.read_bytes()
    assert content.count(struct.pack("<H", 65000)) == 1
    path.write_bytes(content.replace(struct.pack("<H", 65000), struct.pack("<H", fill_order)))
    with pytest.raises(ValueError, match="more than the 256 bytes"):
        read_image(path)


def test_no_more_is_inflated_than_is_needed_to_know():
    assert len(inflated_sizes._inflate(zlib.compress(bytes(10**6)), 8, 11)) == 11
    two_streams = lzma.compress(bytes(5)) + lzma.compress(bytes(10**6))
    assert len(inflated_sizes._inflate(two_streams, inflated_sizes.LZMA, 11)) == 11

"""Decoders: every format and type without loss, damaged files refused by name."""

import io
import re

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.image_files import image_size, read_image, write_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
GREY_16 = RNG.integers(0, 2**16, (20, 30)).astype(np.uint16)
COLOUR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
MEAN = COLOUR.astype(float).sum(axis=-1) / 3


def save(path, image, **options):
    """Write as other programs do: Pillow, or tifffile for what Pillow cannot write."""
    Image.fromarray(image).save(path, **options)
    return path


@pytest.mark.parametrize("ending", [".tif", ".TIFF", ".png", ".PNG", ".bmp", ".gif"])
def test_grey_images_keep_their_values(tmp_path, ending):
    image = read_image(save(tmp_path / f"Größe 1 µm{ending}", GREY))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, GREY)


@pytest.mark.parametrize("palette", [(0, 0, 0, 255, 255, 255), (255, 255, 255, 0, 0, 0)])
@pytest.mark.parametrize("bits", [1, 8])
def test_bmps_of_two_colours_are_read_whatever_their_bits(tmp_path, bits, palette):
    """Pillow takes those of 8 bit for such of one bit, and what it says of them is noise."""
    mask = np.zeros((40, 61), np.uint8)
    mask[5:21, 9:40] = 1
    image = Image.fromarray(mask, "P" if bits == 8 else "L")
    if bits == 8:
        image.putpalette(palette)
        expected = mask * 255 if palette[0] == 0 else (1 - mask) * 255
    else:
        image, expected = Image.fromarray(mask > 0), mask * 255
    image.save(tmp_path / "a.bmp")
    assert int.from_bytes((tmp_path / "a.bmp").read_bytes()[28:30], "little") == bits
    np.testing.assert_array_equal(read_image(tmp_path / "a.bmp"), expected)


@pytest.mark.parametrize("one_of_256", [256, 257])
def test_palettes_of_tiffs_are_read_however_white_is_written(tmp_path, one_of_256):
    greys = np.array([0, 200, 255, 17], np.uint16)
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, :4] = greys * one_of_256
    index = RNG.integers(0, 4, (8, 9)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=colormap)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), greys[index])


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.float32, np.float64])
def test_colours_of_32_bit_are_read_without_loss(tmp_path, kind):
    image = (RNG.random((7, 9, 3)) * 2**31).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    expected = image.astype(np.float64).mean(axis=-1)
    if kind == np.float32:  # as grey images of that type
        expected = expected.astype(np.float32)
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", "<>")
def test_tiffs_of_any_type_are_read_without_loss(tmp_path, dtype, byteorder):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        image = RNG.normal(size=(7, 9)).astype(kind)
    else:
        limits = np.iinfo(kind)
        image = RNG.integers(limits.min, limits.max, (7, 9), kind, endpoint=True)
    tifffile.imwrite(tmp_path / "a.tif", image, byteorder=byteorder)
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == kind
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "tiff_lzma"])
@pytest.mark.parametrize("image", [GREY, GREY_16, GREY.astype(np.float32)], ids=["u1", "u2", "f4"])
def test_compressed_tiffs(tmp_path, compression, image):
    found = read_image(save(tmp_path / "a.tif", image, compression=compression))
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pixels_are_not_turned_whatever_the_compression(tmp_path, compression, orientation):
    """As in ImageJ, and so in the masks; what cannot be read so is refused."""
    path = tmp_path / "a.tif"
    save(path, GREY, compression=compression, tiffinfo={274: orientation})
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].tags.valueof(274) == orientation
    if compression == "tiff_lzw" and orientation != 1:
        with pytest.raises(ValueError, match=rf"Orientation is {orientation}; 1 is read\)"):
            read_image(path)
    else:
        np.testing.assert_array_equal(read_image(path), GREY)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("image", [GREY, GREY_16], ids=["u1", "u2"])
def test_white_is_zero_is_inverted_whatever_the_compression(tmp_path, compression, image):
    path = save(tmp_path / "a.tif", image, compression=compression)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["PhotometricInterpretation"]
        assert tag.value == tifffile.PHOTOMETRIC.MINISBLACK
        place = tag.valueoffset
    path.write_bytes(content[:place] + b"\0\0" + content[place + 2 :])
    np.testing.assert_array_equal(read_image(path), ~image)


def lzw(content):
    """Return bytes as LZW codes of 9 bits, a byte each, the table cleared before it grows."""
    codes = []
    for start in range(0, len(content), 200):
        codes += [256, *content[start : start + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def write_compressed(path, image, compression, content, **how):
    """Write a TIFF whose only strip is ``content``, by the number of a compression."""
    tifffile.imwrite(path, image, rowsperstrip=image.shape[0], metadata=None, **how)
    file = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags, order = tiff.pages.first.tags, "little" if tiff.byteorder == "<" else "big"
        values = {"Compression": compression, "StripOffsets": len(file)}
        values["StripByteCounts"] = len(content)
        for name, value in values.items():
            tag = tags[name]
            assert tag.count == 1
            size = {3: 2, 4: 4}[tag.dtype]
            file[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, order)
    path.write_bytes(bytes(file) + content)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("kind", ["f4", "i2", "u2", "u4", "f8"])
def test_compressed_numbers_of_each_kind_and_byte_order_are_what_they_were(
    tmp_path, kind, byteorder, photometric
):
    """Or the file is refused: greys that are others go unnoticed."""
    image = (100 * RNG.normal(size=(7, 9)) + 1000).astype(kind)
    stored = lzw(image.astype(byteorder + kind).tobytes())
    path = tmp_path / "a.tif"
    write_compressed(path, image, 5, stored, byteorder=byteorder, photometric=photometric)
    try:
        found = read_image(path)
    except ValueError as error:
        assert kind == "u2" and byteorder == ">" and photometric == "miniswhite"
        assert "cannot be read as an image: it is compressed by LZW, and that" in str(error)
        return
    seen = image if photometric == "minisblack" else -image if kind[0] == "f" else ~image
    np.testing.assert_array_equal(found, seen)


@pytest.mark.parametrize("kind", ["f4", "i2", "u1"])
def test_white_is_zero_is_inverted_whatever_the_kind_of_number(tmp_path, kind):
    """As ImageJ writes what is shown with an inverted look-up table."""
    image = (10 * RNG.normal(size=(7, 9)) + 100).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")
    found = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, -image if kind == "f4" else ~image)


def test_a_palette_of_two_colours(tmp_path):
    mask = np.zeros((8, 16), bool)
    mask[2:5, 3:9] = True
    white_and_black = (320, "H", 6, (65535, 0) * 3, True)
    how = {"photometric": "minisblack", "extratags": [white_and_black], "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", mask, **how)
    content = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place = tiff.pages.first.tags["PhotometricInterpretation"].valueoffset
    (tmp_path / "a.tif").write_bytes(content[:place] + b"\3\0" + content[place + 2 :])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.where(mask, 0, 255))


def test_a_header_of_several_numbers_where_one_belongs_is_refused_at_once(tmp_path):
    """Found by fuzz_readers.py: two widths times a height of 500 million took 12 GB."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        entry, rows = tags["ImageWidth"].offset, tags["ImageLength"].valueoffset
    content[entry + 2 : entry + 8] = b"\3\0\2\0\0\0"  # two numbers of 16 bit
    content[rows : rows + 4] = (5 * 10**8).to_bytes(4, "little")
    path.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=r"a\.tif is damaged: its header says several"):
            read(path)


def test_a_compression_that_is_not_known_is_named(tmp_path):
    image = np.zeros((7, 9), np.uint8)
    write_compressed(tmp_path / "a.tif", image, 34712, b"no such codes", photometric="minisblack")
    with pytest.raises(ValueError, match=r"by JPEG2000, and that failed .* uncompressed\."):
        read_image(tmp_path / "a.tif")


def test_16_bit_png_stays_16_bit(tmp_path):
    for name, image in (("grey.png", GREY_16), ("colour.png", np.dstack([GREY_16] * 3))):
        (tmp_path / name).write_bytes(cv2.imencode(".png", image)[1])
        np.testing.assert_array_equal(read_image(tmp_path / name), GREY_16)
    assert read_image(tmp_path / "grey.png").dtype == np.uint16


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.bmp", "lzw.tif", "alpha.png", "alpha.tif"])
def test_colour_becomes_the_plain_mean(tmp_path, name):
    image = np.dstack([COLOUR, GREY]) if "alpha" in name else COLOUR
    save(tmp_path / name, image, **({"compression": "tiff_lzw"} if "lzw" in name else {}))
    found = read_image(tmp_path / name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, MEAN, atol=1e-4)


def test_colour_in_separate_planes(tmp_path):
    planes = np.moveaxis(COLOUR, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), MEAN, atol=1e-4)


def test_jpeg_is_close(tmp_path):
    smooth = cv2.GaussianBlur(GREY, (0, 0), 3)
    found = read_image(save(tmp_path / "a.JPG", smooth, quality=95))
    assert np.abs(found.astype(int) - smooth).max() <= 4


def test_grey_with_alpha(tmp_path):
    pixels = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(255 - GREY)])
    pixels.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), GREY)


def test_alpha_in_tiffs(tmp_path):
    grey_alpha = np.dstack([GREY, 255 - GREY])
    how = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "grey.tif", grey_alpha, extrasamples=["unassalpha"], **how)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.tif"), GREY)
    # OpenCV does not say that its fourth channel is alpha.
    blue_first = np.dstack([COLOUR[..., ::-1], GREY])
    (tmp_path / "opencv.tif").write_bytes(cv2.imencode(".tif", blue_first)[1])
    np.testing.assert_allclose(read_image(tmp_path / "opencv.tif"), MEAN, atol=1e-4)


def test_bilevel_images(tmp_path):
    for name in ("a.png", "a.tif", "a.bmp"):
        save(tmp_path / name, GREY > 100)
        np.testing.assert_array_equal(read_image(tmp_path / name), (GREY > 100) * 255)


def test_white_is_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", 255 - GREY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize("shape", [(1, 20, 30), (20, 30, 1)])
def test_axes_of_length_one_are_dropped(tmp_path, shape):
    tifffile.imwrite(tmp_path / "a.tif", GREY.reshape(shape))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY)


def _save_with_palette(path, palette):
    tifffile.imwrite(path, GREY, photometric="palette", colormap=palette.astype(np.uint16))


def test_grey_palette_gives_the_index(tmp_path):
    ramp = np.tile(np.arange(256) * 257, (3, 1))
    _save_with_palette(tmp_path / "a.tif", ramp)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY)
    assert read_image(tmp_path / "a.tif").dtype == np.uint8
    # Zeiss: every ninth entry a colour for annotations.
    ramp[:, 9::9] = [[65535], [0], [0]]
    _save_with_palette(tmp_path / "zeiss.tif", ramp)
    np.testing.assert_array_equal(read_image(tmp_path / "zeiss.tif"), GREY)


def test_other_palettes_give_their_grey(tmp_path):
    palette = RNG.integers(0, 256, (3, 256))
    _save_with_palette(tmp_path / "a.tif", palette * 257)
    pixels = Image.fromarray(GREY).convert("P")
    pixels.putpalette(palette.T.astype(np.uint8).tobytes())
    pixels.save(tmp_path / "a.png")
    pixels.save(tmp_path / "a.gif")
    for name in ("a.tif", "a.png", "a.gif"):
        expected = palette.mean(axis=0)[GREY]
        np.testing.assert_allclose(read_image(tmp_path / name), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_an_animation_is_refused(tmp_path, name):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=rf"{name} has shape \(2, 20, 30\); expected a grey"):
            read(tmp_path / name)


def test_thumbnail_beside_the_image_is_ignored(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY)
        tiff.write(GREY[::4, ::4], subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize(
    ("pixels", "options", "shape"),
    [
        (np.stack([GREY] * 4), {"photometric": "minisblack"}, r"\(4, 20, 30\)"),
        (np.stack([COLOUR] * 4), {"photometric": "rgb"}, r"\(4, 20, 30, 3\)"),
        (np.stack([GREY] * 5), {"imagej": True}, r"\(5, 20, 30\)"),
        (
            np.stack([GREY] * 5, -1),
            {"photometric": "minisblack", "planarconfig": "contig"},
            r"\(20, 30, 5\)",
        ),
        *(
            (
                np.stack([GREY] * channels, -1),
                {"photometric": "minisblack", "planarconfig": "contig"},
                rf"\(20, 30, {channels}\)",
            )
            for channels in (2, 3, 4)  # of several detectors, none of them an alpha
        ),
        (np.stack([GREY] * 4, -1), {"photometric": "separated"}, r"\(20, 30, 4\)"),
        (
            np.stack([GREY] * 4, -1),
            {"photometric": "rgb", "extrasamples": ["unspecified"]},
            r"\(20, 30, 4\)",
        ),
    ],
)
def test_stacks_are_refused(tmp_path, pixels, options, shape):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=rf"a\.tif has shape {shape}; expected a grey or RGB"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.bmp", "a.gif"])
@pytest.mark.parametrize("content", [b"not an image", bytes(1000)])
def test_other_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as an image .*export it again"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
def test_an_empty_file_is_called_empty(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=rf"{name} is empty \(0 bytes\)\. Copy or export"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("written", "named", "words"),
    [
        ("a.jpg", "b.tif", "is a JPG file with the ending .tif. Rename it to b.jpg."),
        ("a.png", "b.TIFF", "is a PNG file with the ending .TIFF. Rename it to b.png."),
        ("a.tif", "b.png", "is a TIF file with the ending .png. Rename it to b.tif."),
    ],
)
def test_a_wrong_ending_is_said_with_the_right_one(tmp_path, written, named, words):
    write_image(tmp_path / written, GREY)
    (tmp_path / written).rename(tmp_path / named)
    with pytest.raises(ValueError, match=re.escape(f"{named} {words}")):
        read_image(tmp_path / named)


def test_odd_bits_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, bitspersample=8)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        content[file.pages[0].tags["BitsPerSample"].valueoffset] = 12
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tif has 12 bits per pixel, which are not read"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_brightness_and_colour_difference_become_grey(tmp_path, compression):
    colour = Image.fromarray(np.stack([GREY, GREY[::-1], GREY[:, ::-1]], -1))
    colour.convert("YCbCr").save(tmp_path / "a.tif", compression=compression)
    expected = np.asarray(colour).mean(axis=-1)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), expected, atol=4)


def _files():
    smooth = cv2.GaussianBlur(GREY, (0, 0), 2)
    files = {}
    for name, compression in (
        ("a.png", None),
        ("a.jpg", None),
        ("a.bmp", None),
        ("a.gif", None),
        ("a.tif", None),
        ("lzw.tif", "tiff_lzw"),
        ("zip.tif", "tiff_deflate"),
    ):
        content = io.BytesIO()
        file_format = Image.registered_extensions()[name[-4:]]
        Image.fromarray(smooth).save(content, file_format, compression=compression)
        files[name] = content.getvalue()
    return files


FILES = _files()
FUZZ = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(st.sampled_from(sorted(FILES)), st.floats(0, 0.9))
def test_truncated_files_are_refused(tmp_path, name, share):
    path = tmp_path / name
    path.write_bytes(FILES[name][: int(share * len(FILES[name]))])
    with pytest.raises(ValueError, match=rf"{name} "):
        read_image(path)


@FUZZ
@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7))))
def test_flipped_bits_give_an_image_or_a_clear_error(tmp_path, name, flips):
    content = bytearray(FILES[name])
    for place, bit in flips:
        content[int(place * (len(content) - 1))] ^= 1 << bit
    path = tmp_path / name
    path.write_bytes(content)
    try:
        image = read_image(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert image.ndim == 2
        assert image.dtype.kind in "uif"

"""Pixel sizes as microscopes and programs write them, each in a file made here."""

import struct

import numpy as np
import pytest
import tifffile

from pipeline.files.pixel_size import (
    SOURCES,
    read_oblong_sides,
    read_pixel_size,
    read_stored_width,
    texts_beside,
)

IMAGE = np.zeros((6, 8), np.uint8)


def zeiss(size="7.344 nm", exact="7.343750e-009"):
    numbers = f"0\r\n0\r\n0\r\n{exact}\r\n5.000000e+004\r\n"
    return f"{numbers}DP_ZOOM\r\nZoom = Off\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = {size}\r\n"


def write(path, *tags, **options):
    extra = [(code, 2, 0, text, True) for code, text in tags]
    tifffile.imwrite(path, IMAGE, extratags=extra, metadata=None, software=False, **options)
    return path


@pytest.mark.parametrize(
    ("size", "exact", "expected"),
    [
        ("7.344 nm", "7.343750e-009", 7.34375),
        ("1.250 µm", "1.2499e-006", 1249.9),
        ("500.0 pm", "9.9e-009", 0.5),  # the unnamed number is another one
        ("7.344 nm", "7.354e-009", 7.344),  # as here, by more than rounding
    ],
)
def test_zeiss(tmp_path, size, exact, expected):
    # Tifffile decodes what is not ASCII as Windows does.
    tag = zeiss(size, exact).encode("cp1252")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, extratags=[(34118, 7, len(tag), tag, True)], metadata=None)
    assert read_pixel_size(path) == (pytest.approx(expected, rel=1e-12), "Zeiss metadata")


@pytest.mark.parametrize("tag", [34680, 34682])
@pytest.mark.parametrize("section", ["Scan", "EScan", "IScan"])
def test_fei_and_thermo_fisher(tmp_path, tag, section):
    text = f"[User]\r\nDate=1\r\n[{section}]\r\nPixelWidth=1.35e-009\r\nPixelHeight=1.35e-009\r\n"
    found = read_pixel_size(write(tmp_path / "a.tif", (tag, text)))
    assert found == (pytest.approx(1.35), "FEI or Thermo Fisher metadata")


@pytest.mark.parametrize("height", [2.5, 2.75])
def test_olympus_and_jeol(tmp_path, height):
    header = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 1, 100, b"name", 1)
    body = struct.pack("<10xhdd8xd2x34s32s", -9, 2.5, height, 1000.0, b"camera", b"type")
    block = header + struct.pack("<hhI", 1, 1, 0) + body
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, byteorder="<", extratags=[(33560, 7, len(block), block, True)], metadata=None
    )
    # The block points to its own data by the place in the file, and the tag is that of 4 bytes.
    content = bytearray(path.read_bytes())
    start = content.index(b"SIS0")
    struct.pack_into("<I", content, start + len(header) + 4, start + len(header) + 8)
    path.write_bytes(content)
    if height == 2.5:
        assert read_pixel_size(path) == (pytest.approx(2.5), "Olympus or JEOL metadata")
    else:
        assert read_pixel_size(path) is None
        assert read_oblong_sides(path) == pytest.approx((2.5, height))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        (b"nm\0", 1),
        (b"nm", 1),
        (b"nm\0\0", 1),
        ("µm\0".encode("latin-1"), 1000),
        ("µm\0".encode(), 1000),
        ("µm\0".encode("utf-16-le"), 1000),
        ("μm\0".encode("utf-16-le"), 1000),  # Greek mu
        ("nm".encode("utf-16-le"), 1),
    ],
)
def test_gatan(tmp_path, unit, factor):
    path = tmp_path / "a.tif"
    units = [(code, 1, len(unit), unit, True) for code in (65003, 65004)]
    sides = [(code, 12, 1, 0.25, True) for code in (65009, 65010)]
    tifffile.imwrite(path, IMAGE, extratags=units + sides, metadata=None)
    assert read_pixel_size(path) == (pytest.approx(0.25 * factor), "Gatan metadata")


def test_width_and_height_of_gatan_have_units_of_their_own(tmp_path):
    units = [(65003, 1, 3, b"nm\0", True), (65004, 1, 3, b"pm\0", True)]
    sides = [(65009, 12, 1, 0.25, True), (65010, 12, 1, 300.0, True)]
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=units + sides, metadata=None)
    assert read_oblong_sides(tmp_path / "a.tif") == pytest.approx((0.25, 0.3))


def test_a_unit_of_gatan_that_is_not_known_is_told_of(tmp_path, caplog):
    units = [(code, 1, 4, b"eV\0\0", True) for code in (65003, 65004)]
    sides = [(code, 12, 1, 0.25, True) for code in (65009, 65010)]
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=units + sides, metadata=None)
    assert read_pixel_size(tmp_path / "a.tif") is None
    assert "Gatan metadata" in caplog.text


@pytest.mark.parametrize("unit", [b"1/nm\0", b"\0"])
def test_diffraction_patterns_of_gatan_have_none(tmp_path, caplog, unit):
    path = tmp_path / "a.tif"
    units = [(code, 1, len(unit), unit, True) for code in (65003, 65004)]
    sides = [(code, 12, 1, 0.25, True) for code in (65009, 65010)]
    tifffile.imwrite(path, IMAGE, extratags=units + sides, metadata=None)
    assert read_pixel_size(path) is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (34118, f"{zeiss()}DP_IMAGE_STORE\r\nStore resolution = 1024 * 768\r\n"),
        (34680, "[User]\r\nDate=1\r\n[Image]\r\nResolutionX=1024\r\nResolutionY=884\r\n"),
        (34682, "[User]\r\nDate=1\r\n[Image]\r\nResolutionX=1024\r\nResolutionY=884\r\n"),
    ],
)
def test_the_width_that_the_microscope_stored(tmp_path, tag, text):
    assert read_stored_width(write(tmp_path / "a.tif", (tag, text))) == 1024


@pytest.mark.parametrize("name", ["a.tif", "b.png"])
def test_the_width_that_hitachi_and_jeol_stored_stands_in_the_text_beside(tmp_path, name):
    write(tmp_path / name)
    assert read_stored_width(tmp_path / name) is None
    text = (tmp_path / name).with_suffix(".txt")
    text.write_text("DataSize=1280x960", encoding="utf-8")  # of another program
    assert read_stored_width(tmp_path / name) is None
    for content in (HITACHI, JEOL):
        text.write_bytes(content.encode())
        assert read_stored_width(tmp_path / name) == 1280


def test_a_stored_width_that_is_not_there_or_cannot_be_read(tmp_path):
    damaged = (34680, "[User]\r\nDate=1\r\n[Image]\r\nResolutionX=wide\r\n")
    without = (34118, zeiss())
    for tags in ([damaged], [without], []):
        assert read_stored_width(write(tmp_path / "a.tif", *tags)) is None
    (tmp_path / "b.tif").write_bytes(b"II*\0damaged")
    assert read_stored_width(tmp_path / "b.tif") is None
    assert read_stored_width(tmp_path / "c.png") is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("nm", 1 / 7.34375, 7.34375),
        ("um", 400, 2.5),
        ("\\u00B5m", 400, 2.5),
        ("micron", 80, 12.5),
        ("microns", 80, 12.5),
        ("nanometers", 0.4, 2.5),
        ("Micrometres", 400, 2.5),
        ("Angstroms", 0.04, 2.5),
        ("\\u00C5", 0.04, 2.5),
        ("pm", 4e-4, 2.5),
        ("picometers", 4e-4, 2.5),
        ("mm", 4e5, 2.5),
        ("Millimetres", 4e5, 2.5),
        ("cm", 4e6, 2.5),
        ("centimeter", 4e6, 2.5),
        ("m", 4e8, 2.5),
        ("meters", 4e8, 2.5),
    ],
)
def test_imagej(tmp_path, unit, per_unit, expected):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    assert read_pixel_size(path) == (pytest.approx(expected, rel=1e-6), "ImageJ calibration")


@pytest.mark.parametrize(("unit", "nm_per_unit"), [("nm", 1), ("um", 1000), ("mm", 1e6)])
def test_a_scale_has_the_same_pixel_size_in_every_unit(tmp_path, unit, nm_per_unit):
    # 1024 pixels in 50 um: by their fractions of integers, 48.828125 or 48.82812499999999.
    per_unit = 1024 / 50_000 * nm_per_unit
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, IMAGE, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    assert read_pixel_size(path)[0] == 48.828125


@pytest.mark.parametrize(("unit", "expected"), [("nm", 3.2), ("µm", 3200.0)])
def test_ome(tmp_path, unit, expected):
    path = tmp_path / "a.ome.tif"
    metadata = {"PhysicalSizeX": 3.2, "PhysicalSizeXUnit": unit}
    metadata |= {"PhysicalSizeY": 3.2, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, IMAGE, ome=True, metadata=metadata)
    assert read_pixel_size(path) == (pytest.approx(expected), "OME metadata")


@pytest.mark.parametrize(
    ("attributes", "sides"),
    [
        ('PhysicalSizeX="0.5"', (500, 500)),  # in micrometres, as OME says, and square
        ('PhysicalSizeX="0.5" PhysicalSizeY="0.75"', (500, 750)),
        ('PhysicalSizeX="0.5" PhysicalSizeY="500" PhysicalSizeYUnit="nm"', (500, 500)),
    ],
)
def test_what_ome_leaves_out_is_what_its_standard_says(tmp_path, attributes, sides):
    xml = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    xml += f'<Image ID="Image:0"><Pixels SizeX="8" SizeY="6" {attributes}/></Image></OME>'
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, description=xml, metadata=None)
    if sides[0] == sides[1]:
        assert read_pixel_size(tmp_path / "a.tif") == (pytest.approx(sides[0]), "OME metadata")
    else:
        assert read_oblong_sides(tmp_path / "a.tif") == pytest.approx(sides)


def test_resolution_in_centimetres(tmp_path):
    path = write(tmp_path / "a.tif", resolution=(1e7 / 4.5, 1e7 / 4.5), resolutionunit="CENTIMETER")
    assert read_pixel_size(path) == (pytest.approx(4.5), "TIFF resolution")


@pytest.mark.parametrize(
    ("resolution", "unit"),
    [
        ((72, 72), "INCH"),
        ((28.35, 28.35), "CENTIMETER"),
        ((472.44, 472.44), "CENTIMETER"),
        ((1, 1), "NONE"),
    ],
)
def test_resolutions_for_printing_are_no_pixel_size(tmp_path, resolution, unit):
    path = write(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit)
    assert read_pixel_size(path) is None


def test_the_microscope_comes_before_the_resolution(tmp_path):
    path = write(
        tmp_path / "a.tif",
        (34118, zeiss()),
        resolution=(1e7 / 4.5, 1e7 / 4.5),
        resolutionunit="CENTIMETER",
    )
    assert read_pixel_size(path) == (7.34375, "Zeiss metadata")


def test_each_source_comes_before_those_below_it(tmp_path):
    # One file that holds four sizes; without its first source, the next is taken.
    fei = "[Scan]\r\nPixelWidth=2e-009\r\nPixelHeight=2e-009\r\n"
    sources = {
        "Zeiss metadata": (34118, 2, 0, zeiss(), True),
        "FEI or Thermo Fisher metadata": (34682, 2, 0, fei, True),
        "ImageJ calibration": (270, 2, 0, "ImageJ=1.52i\nunit=um\n", True),
        "TIFF resolution": None,
    }
    path, left = tmp_path / "a.tif", dict(sources)
    found = []
    while left:
        tifffile.imwrite(
            path,
            IMAGE,
            extratags=[tag for tag in left.values() if tag],
            resolution=(1e4, 1e4),
            resolutionunit="CENTIMETER",
            metadata=None,
        )
        found.append(read_pixel_size(path)[1])
        del left[found[-1]]
    assert found == list(sources)
    order = list(SOURCES)
    assert order.index("FEI or Thermo Fisher metadata") < order.index("Olympus or JEOL metadata")
    assert order.index("ImageJ calibration") < order.index("OME metadata")


def test_unreadable_metadata_are_passed_over_with_a_warning(tmp_path, caplog):
    path = write(
        tmp_path / "a.tif",
        (34118, zeiss("7.344 furlong")),
        resolution=(1e7 / 4.5, 1e7 / 4.5),
        resolutionunit="CENTIMETER",
    )
    assert read_pixel_size(path) == (pytest.approx(4.5), "TIFF resolution")
    assert "a.tif: Zeiss metadata: the pixel size there cannot be read" in caplog.text


@pytest.mark.parametrize("size", ["0.0 nm", "-3.0 nm", "12.0 mm"])
def test_impossible_sizes_are_passed_over(tmp_path, caplog, size):
    assert read_pixel_size(write(tmp_path / "a.tif", (34118, zeiss(size)))) is None
    assert "no micrograph has pixels of" in caplog.text


def test_pixels_that_are_not_square_are_passed_over(tmp_path, caplog):
    text = "[Scan]\r\nPixelWidth=1e-9\r\nPixelHeight=2e-9\r\n"
    assert read_pixel_size(write(tmp_path / "a.tif", (34682, text))) is None
    assert "not square (1 x 2 nm)" in caplog.text


@pytest.mark.parametrize(("height", "is_square"), [(1.004e-9, True), (1.006e-9, False)])
def test_sides_that_differ_by_half_a_percent_are_no_square(tmp_path, height, is_square):
    text = f"[Scan]\r\nPixelWidth=1e-9\r\nPixelHeight={height}\r\n"
    path = write(tmp_path / "a.tif", (34682, text))
    assert (read_pixel_size(path) is not None) == is_square
    assert (read_oblong_sides(path) is None) == is_square


def test_pixels_that_one_source_says_to_be_square_are_not_oblong(tmp_path):
    oblong = (34682, "[Scan]\r\nPixelWidth=1e-9\r\nPixelHeight=2e-9\r\n")
    options = {"resolution": (1e7, 1e7), "resolutionunit": "CENTIMETER"}
    path = write(tmp_path / "a.tif", oblong, **options)
    assert read_pixel_size(path) == (pytest.approx(1), "TIFF resolution")
    assert read_oblong_sides(path) is None


def test_other_formats_and_damaged_files_have_none(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "a.tif").write_bytes(b"no image")
    assert read_pixel_size(tmp_path / "a.png") is None
    assert read_pixel_size(tmp_path / "a.tif") is None
    assert "a.tif: the metadata cannot be read" in caplog.text


HITACHI = "[SemImageFile]\r\nInstructName=SU8000\r\nDataSize=1280x960\r\nPixelSize=2.480469\r\n"
JEOL = (
    "$SEM_DATA_VERSION 1\r\n$CM_MAG 50000\r\n$CM_FULL_SIZE 1280 960\r\n$$SM_MICRON_BAR 120\r\n"
    "$$SM_MICRON_MARKER 300nm\r\n"
)
TESCAN = "[MAIN]\r\nPixelSizeX=1.25e-9\r\nPixelSizeY=1.25e-9\r\n[SEM]\r\nHV=15000\r\n"


@pytest.mark.parametrize(
    ("image", "name", "text", "found"),
    [
        ("a b.bmp", "a b.txt", HITACHI, (2.480469, "Hitachi text file")),
        ("a.tif", "a.txt", HITACHI, (2.480469, "Hitachi text file")),
        ("a.tif", "a.TXT", HITACHI, (2.480469, "Hitachi text file")),
        ("a.jpg", "a.txt", JEOL, (2.5, "JEOL text file")),
        ("a.jpg", "a.txt", JEOL.replace("300nm", "1.2um"), (10, "JEOL text file")),
        ("a.jpg", "a.txt", JEOL.replace("300nm", "0.3 \xb5m"), (2.5, "JEOL text file")),
        ("a.jpg", "a.txt", JEOL.replace("$$SM_MICRON_BAR", "$$BAR"), None),
        ("a.png", "a.hdr", TESCAN, (1.25, "TESCAN header file")),
        ("a.tif", "a-tif.hdr", TESCAN, (1.25, "TESCAN header file")),
        ("a.TIF", "a-TIF.HDR", TESCAN, (1.25, "TESCAN header file")),
        ("a.tif", "a-png.hdr", TESCAN, None),
        ("a.tif", "a.txt", "PixelSize=2.5 is what I guess", None),
        ("a.tif", "a.hdr", "[MAIN]\r\nMagnification=5000", None),
    ],
)
def test_text_files_beside_an_image(tmp_path, image, name, text, found, caplog):
    (tmp_path / image).touch()
    if image.lower().endswith(".tif"):
        write(tmp_path / image)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert read_pixel_size(tmp_path / image) == found
    assert caplog.text == ""


def test_what_the_image_says_itself_comes_before_what_lies_beside_it(tmp_path):
    path = write(tmp_path / "a.tif", (34680, "[Scan]\r\nPixelWidth=1.35e-009\r\n"))
    (tmp_path / "a.txt").write_text(HITACHI)
    assert read_pixel_size(path)[1] == "FEI or Thermo Fisher metadata"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HITACHI.replace("2.480469", "many"), "the pixel size there cannot be read"),
        (HITACHI.replace("2.480469", "0"), "no micrograph has pixels of 0 x 0 nm"),
        (HITACHI.replace("2.480469", "nan"), "no micrograph has pixels of nan x nan nm"),
        (JEOL.replace("300nm", "300px"), "the pixel size there cannot be read"),
        (JEOL.replace("BAR 120", "BAR 0"), "the pixel size there cannot be read"),
    ],
)
def test_nonsense_beside_an_image_is_passed_over_and_said(tmp_path, text, words, caplog):
    (tmp_path / "a.txt").write_text(text)
    assert read_pixel_size(tmp_path / "a.bmp") is None
    assert words in caplog.text
    caplog.clear()
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a-bmp.hdr").write_text(TESCAN.replace("Y=1.25", "Y=2.5"))
    assert read_pixel_size(tmp_path / "a.bmp") is None
    assert "the pixels are not square (1.25 x 2.5 nm)" in caplog.text


def test_a_text_file_counts_once_where_names_may_be_written_either_way(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text(HITACHI)
    if not (tmp_path / "a.TXT").exists():  # as on such a system
        (tmp_path / "a.TXT").hardlink_to(text)
    assert texts_beside(tmp_path / "a.bmp") == [text]

"""Damaged files give a clear error or a right result. In full: benchmarks/fuzz_readers.py."""

import os
import time
import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from benchmarks.damaged_files import (
    DAMAGES,
    damage,
    make_bombs,
    make_originals,
    make_promises,
)
from benchmarks.fuzz_readers import MEGABYTES_ALLOWED, ask, judge, must_be_equal, run, start_reader
from pipeline.checks.files import check_images
from pipeline.image_files import image_size, read_image

ORIGINALS = make_originals(np.random.default_rng(0))

same_folder = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_damaged_files_neither_hang_nor_crash_nor_pass_for_whole(tmp_path):
    result = run(300, 1, tmp_path)
    assert result["wrong"] == 0
    assert result["clear_errors"] + result["right_results"] >= 300
    assert result["memory_growth_mb"] < MEGABYTES_ALLOWED


@pytest.mark.parametrize(
    ("call", "seconds", "verdict"),
    [((os.abort,), 300, "crash"), ((time.sleep, 600), 1, "hang")],
)
def test_a_hang_and_a_crash_would_be_seen(call, seconds, verdict):
    reader, process = start_reader()
    assert ask(reader, process, *call, seconds=seconds) == verdict
    reader.shutdown(wait=False)


@same_folder
@given(
    original=st.sampled_from(ORIGINALS),
    kind=st.sampled_from(DAMAGES),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_damage_gives_a_clear_error_or_a_right_result(tmp_path, original, kind, seed):
    ending, content, image = original
    path = tmp_path / f"damaged{ending}"
    path.write_bytes(damage(content, kind, np.random.default_rng(seed)))
    verdict = judge(path, image if must_be_equal(ending, kind) else None)
    assert verdict in ("error", "right")


@same_folder
@given(content=st.binary(max_size=200), ending=st.sampled_from([".tif", ".png", ".jpg", ".gif"]))
def test_bytes_that_are_no_image_are_refused(tmp_path, content, ending):
    path = tmp_path / f"random{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read as an image|is empty|is a ... file"):
        read_image(path)


@pytest.mark.parametrize("ending", [".tif", ".png", ".jpg", ".bmp", ".gif"])
def test_a_header_that_promises_a_billion_pixels_takes_no_memory(tmp_path, ending):
    for number, (_, content) in enumerate(
        file for file in make_promises(33_000) if file[0] == ending
    ):
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=r"claims 33000 x 33000 pixels|cannot be read"):
                read_image(path)
            assert tracemalloc.get_traced_memory()[1] < 5e6
        finally:
            tracemalloc.stop()


def test_a_strip_that_inflates_to_more_than_promised_is_refused_in_little_memory(tmp_path):
    for number, (ending, content) in enumerate(make_bombs(megabytes=64)):
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=r"tif is damaged: .* more than the 4096 bytes"):
                read_image(path)
            assert tracemalloc.get_traced_memory()[1] < 5e6
        finally:
            tracemalloc.stop()


@same_folder
@given(
    image=arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.float32]),
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    byteorder=st.sampled_from(["<", ">"]),
    bigtiff=st.booleans(),
)
def test_whole_tiffs_of_every_type_are_read_without_loss(tmp_path, image, byteorder, bigtiff):
    path = tmp_path / "whole.tif"
    tifffile.imwrite(path, image, byteorder=byteorder, bigtiff=bigtiff, photometric="minisblack")
    read = read_image(path)
    assert read.dtype == image.dtype
    np.testing.assert_array_equal(read, image)
    assert image_size(path) == image.shape


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path):
    content = bytearray(next(file for ending, file, _ in ORIGINALS if ending == ".png"))
    # The last pixels' checksum: before IEND with its length and its own checksum, 12 bytes.
    content[-13] ^= 1
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.png cannot be read as an image .*checksum"):
        read_image(path)


def test_compressed_pixels_that_cannot_be_decoded_are_refused(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 52), np.uint8)
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    content[start + 2 : start + 10] = b"\xff" * 8  # codes that the table does not have yet
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.tif cannot be read as an image"):
        read_image(path)


@pytest.mark.parametrize("mode", ["grey", "colour"])
def test_a_palette_gives_the_same_whether_compressed_or_not(tmp_path, mode):
    index = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    pixels = Image.fromarray(index).convert("P")
    if mode == "colour":
        pixels.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    for name, compression in (("raw.tif", "raw"), ("lzw.tif", "tiff_lzw")):
        pixels.save(tmp_path / name, compression=compression)
    raw, lzw = read_image(tmp_path / "raw.tif"), read_image(tmp_path / "lzw.tif")
    assert raw.dtype == lzw.dtype
    np.testing.assert_array_equal(raw, lzw)


def test_every_damaged_file_of_a_folder_is_named_once(tmp_path):
    rng = np.random.default_rng(3)
    damaged = []
    for number, (ending, content, image) in enumerate(ORIGINALS):
        path = tmp_path / f"{number:02d}{ending}"
        path.write_bytes(damage(content, "truncated", rng))
        if judge(path, image) == "error":
            damaged.append(path)
    problems, sizes = check_images("INPUT_DIR_IMAGES", tmp_path, None, None)
    assert len(damaged) >= 15
    assert len(problems) == len(damaged)
    for path, problem in zip(damaged, problems, strict=True):
        assert problem.startswith(str(path))
    assert not sizes.keys() & set(damaged)

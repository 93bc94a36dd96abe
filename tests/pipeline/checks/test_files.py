import errno
import os
import shutil
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.checks.earlier_steps import check_named_models
from pipeline.checks.files import check_images, warn_of_many_tiles
from pipeline.checks.true_masks import check_true_masks
from pipeline.files.records import fingerprint
from pipeline.image_files import list_images, read_image, write_image
from tests.pipeline.files.test_info_bar import with_bar

TILE = (48, 64)


@pytest.fixture
def images(tmp_path):
    """Three whole micrographs of 60 x 80."""
    folder = tmp_path / "Input Images"
    folder.mkdir()
    for number in range(3):
        tifffile.imwrite(folder / f"{number}.tif", micrograph(number))
    return folder


def micrograph(seed=0, shape=(60, 80), dtype=np.uint8):
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


def problems_of_images(folder, tile=TILE, image_crop=None):
    return check_images("INPUT_DIR_IMAGES", folder, image_crop, tile)[0]


def test_good_images_have_no_problem_and_give_their_sizes(images):
    problems, sizes = check_images("INPUT_DIR_IMAGES", images, None, TILE)
    assert problems == []
    assert list(sizes.values()) == [(60, 80)] * 3


def test_a_missing_folder(tmp_path):
    (problem,) = problems_of_images(tmp_path / "Imput")
    assert problem.startswith("INPUT_DIR_IMAGES: The folder ")
    assert "Imput does not exist. Make it and put images in." in problem


def test_an_empty_folder(tmp_path):
    (problem,) = problems_of_images(tmp_path)
    assert (
        f"INPUT_DIR_IMAGES: {tmp_path} holds too few micrographs: 0, of at least 1. Add" in problem
    )
    assert "Add files ending in .tif, .tiff, .png" in problem


def test_a_folder_of_other_files_says_what_is_there(tmp_path):
    for name in ("a.dm3", "b.DM3", "notes.txt", ".hidden.xyz", "README"):
        (tmp_path / name).write_text("x")
    (problem,) = problems_of_images(tmp_path)
    assert "not read: 2 with .dm3, 1 with no ending." in problem


def test_of_many_images_that_are_too_small_some_are_named(images):
    for number in range(3, 12):
        write_image(images / f"{number}.tif", micrograph(number))
    problems = problems_of_images(images, tile=(64, 64))
    assert len(problems) == 6
    assert all("has 60 x 80 pixels" in problem for problem in problems[:5])
    assert problems[5] == "... and 7 more images are smaller than a tile."


def test_files_that_are_passed_over_are_warned_of(images, caplog):
    for name in ("Thumbs.db", "notes.txt"):
        (images / name).write_text("x")
    assert problems_of_images(images) == [] and "not read" not in caplog.text
    for name in ("a.dm3", "b.dm3", "c.webp"):
        (images / name).write_text("x")
    assert problems_of_images(images) == []
    assert f"{images}: other files there are not read: 2 with .dm3, 1 with .webp" in caplog.text


def test_images_in_folders_below_are_told_of(images, caplog):
    for name in ("day 1", ".hidden", "empty"):
        (images / name).mkdir()
    for name in ("day 1", ".hidden"):
        write_image(images / name / "b.tif", np.zeros((9, 9), np.uint8))
    assert problems_of_images(images) == []
    assert f"{images}: other files there are not read: 1 image in the folder day 1" in caplog.text
    for path in images.glob("*.*"):
        if path.is_file():
            path.unlink()
    (problem,) = problems_of_images(images)
    assert "other files there are not read: 1 image in the folder day 1." in problem


def test_micrographs_in_which_nothing_is_to_be_seen(images, caplog):
    path, *others = sorted(images.glob("*.tif"))
    write_image(path, np.full((60, 80), 80, np.uint8))
    assert problems_of_images(images) == []
    assert f"{path} is the same value everywhere" in caplog.text
    for path in others:
        write_image(path, np.full((60, 80), 80, np.uint8))
    (problem,) = problems_of_images(images)
    assert f"there is nothing to see in any of the {1 + len(others)} micrographs" in problem


def test_a_folder_that_is_missing_is_given_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = problems_of_images(Path("Input_Images"))
    assert f"(looked for as {tmp_path / 'Input_Images'})" in problem


def test_unreadable_and_truncated_files(images):
    (images / "text.png").write_text("this is no image")
    (images / "empty.jpg").write_bytes(b"")
    whole = (images / "0.tif").read_bytes()
    (images / "cut.tif").write_bytes(whole[: len(whole) // 2])
    problems = problems_of_images(images)
    assert len(problems) == 3
    for name, problem in zip(("cut.tif", "empty.jpg", "text.png"), problems, strict=True):
        assert str(images / name) in problem
    assert "truncated" in problems[0]
    assert "cannot be read as an image" in problems[2]
    assert "export it again" in problems[2]


@pytest.mark.parametrize("shape", [(4, 60, 80), (60, 80, 5)])
def test_a_stack_and_five_channels(images, shape):
    tifffile.imwrite(images / "a.tif", micrograph(shape=shape), photometric="minisblack")
    (problem,) = problems_of_images(images)
    assert f"{images / 'a.tif'} has shape {shape}" in problem
    assert "expected a grey or RGB image. Export one plane or channel, CMYK as RGB." in problem


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinite_values(images, value):
    image = micrograph(dtype=np.float32)
    image[5, 5] = value
    tifffile.imwrite(images / "a.tif", image)
    (problem,) = problems_of_images(images)
    assert "a.tif contains NaN or infinite values" in problem


def test_images_smaller_than_a_tile_get_the_largest_tile_that_fits(images):
    tifffile.imwrite(images / "low.tif", micrograph(shape=(47, 90)))
    tifffile.imwrite(images / "narrow.tif", micrograph(shape=(90, 50)))
    low, narrow = problems_of_images(images)
    assert "low.tif has 47 x 90 pixels (height x width, without the info bar)" in low
    assert "less than a tile of 48 x 64" in low
    assert "narrow.tif has 90 x 50 pixels" in narrow
    for problem in (low, narrow):
        assert "The largest tile that fits every image is 47 x 50" in problem
        assert "set TILE_SIZE_H to at most 47 and TILE_SIZE_W to at most 50" in problem


def test_an_image_too_small_for_any_tile_does_not_lower_the_others(images):
    tifffile.imwrite(images / "low.tif", micrograph(shape=(47, 90)))
    tifffile.imwrite(images / "tiny.tif", micrograph(shape=(10, 90)))
    low, tiny = problems_of_images(images)
    assert "largest tile that fits every image is 47 x 64" in low
    assert "tiny.tif has 10 x 90 pixels" in tiny
    assert "No tile fits, the smallest is 46 x 46: remove it." in tiny


@pytest.mark.parametrize(
    ("number", "wanted", "warned"), [(1000, 2000, True), (999, 2000, False), (1000, 20000, False)]
)
def test_very_many_tiles_are_said_before_the_run(caplog, number, wanted, warned):
    # 300 rows of 100 with an overlap are four tiles, 400 columns five; the smallest holds none.
    sizes = [(300, 400)] * number + [(50, 400)]
    warn_of_many_tiles(sizes, (100, 100), 1.0, wanted)
    words = f"up to 20,000 tiles of 100 x 100, 10 times NUM_SIMULATED_MASKS ({wanted})"
    assert (words in caplog.text) == warned


def test_the_info_bar_does_not_count(images):
    problems = problems_of_images(images, image_crop=47)
    assert len(problems) == 3
    assert "0.tif has 47 x 80 pixels" in problems[0]


def test_how_many_info_bars_are_left_out_is_said(images, caplog):
    caplog.set_level("INFO")
    tifffile.imwrite(images / "cropped.tif", micrograph(9, shape=(48, 80)))
    problems_of_images(images, image_crop=48)
    assert "info bar left out of 3 of 4 micrographs (IMAGE_CROP)" in caplog.text
    caplog.clear()
    problems_of_images(images, image_crop=None)
    assert "info bar" not in caplog.text


@pytest.mark.parametrize(("image_crop", "warned"), [("auto", True), (None, False)])
def test_bars_that_are_not_at_the_bottom_are_told_of(images, caplog, image_crop, warned):
    for path in sorted(images.iterdir())[:2]:
        image = read_image(path).copy()
        image[:10] = 255
        write_image(path, image)
    check_images("INPUT_DIR_IMAGES", images, image_crop, None)
    words = "2 micrographs have a bar or a margin of one value at the top edge ("
    assert (words in caplog.text) == warned


def test_images_in_which_no_bar_was_found_are_named_if_others_of_their_size_have_one(
    tmp_path, caplog
):
    for number in range(3):
        image = with_bar(number, height=40)
        image[300:] = image[300:] if number else micrograph(shape=(40, 400))
        write_image(tmp_path / f"{number}.tif", image)
    assert problems_of_images(tmp_path, image_crop="auto") == []
    assert "Of images of 400 x 340 pixels some are used whole (0.tif), of others" in caplog.text
    assert "the lowest 40 rows are left out" in caplog.text
    (tmp_path / "0.tif").unlink()
    caplog.clear()
    assert problems_of_images(tmp_path, image_crop="auto") == []
    assert "used whole" not in caplog.text


def test_images_of_fewer_rows_than_are_kept_are_named_if_they_have_an_info_bar(tmp_path, caplog):
    write_image(tmp_path / "with bar.tif", with_bar(0, height=40))  # 340 rows
    write_image(tmp_path / "cut before.tif", with_bar(1, height=40)[:300])
    write_image(tmp_path / "taller.tif", micrograph(shape=(440, 400)))
    assert problems_of_images(tmp_path, image_crop=340) == []
    (message,) = caplog.messages
    assert message.startswith("1 micrograph has no more rows than IMAGE_CROP (340), but what looks")
    assert "taken for a part of the image: with bar.tif. Lower IMAGE_CROP" in message
    caplog.clear()
    assert problems_of_images(tmp_path, image_crop=300) == []
    assert not caplog.messages


def test_without_tiles_small_images_pass(images):
    tifffile.imwrite(images / "tiny.tif", micrograph(shape=(10, 10)))
    assert problems_of_images(images, tile=None) == []


def test_two_files_with_one_stem(images):
    cv2.imwrite(str(images / "1.png"), micrograph(1))
    (problem,) = problems_of_images(images)
    assert (
        f"{images / '1.png'} and {images / '1.tif'} have the same name but for the end" in problem
    )
    assert "Rename all but one" in problem


@pytest.mark.parametrize("other", ["Probe.png", "pro\u0308be.png", "PRÖBE.png"])
def test_names_that_are_one_on_other_systems(images, other):
    for name in ("probe.tif", "pr\u00f6be.tif"):
        tifffile.imwrite(images / name, micrograph())
    cv2.imencode(".png", micrograph(1))[1].tofile(images / other)
    (problem,) = problems_of_images(images)
    assert other in problem and "(or upper and lower case)" in problem


def test_a_name_like_a_result_of_another(images):
    tifffile.imwrite(images / "0_raw.tif", micrograph())
    (problem,) = problems_of_images(images)
    assert "0_raw.tif has the name of a result of" in problem
    assert "Rename one" in problem


def test_unusual_names_work(images):
    long = "x" * 196
    for name in ("two words.tif", "Größe µ ñ.tif", f"{long}.tif", "UPPER.TIF"):
        shutil.copy(images / "0.tif", images / name)
    cv2.imwrite(str(images / "capital.png"), micrograph())
    (images / "capital.png").rename(images / "capital.PNG")
    problems, sizes = check_images("INPUT_DIR_IMAGES", images, None, TILE)
    assert problems == []
    assert len(sizes) == 8


def test_a_name_that_leaves_no_room_for_the_results(images):
    shutil.copy(images / "0.tif", images / ("x" * 230 + ".tif"))
    (problem,) = problems_of_images(images)
    assert "has a name of 234 bytes; allowed are 225" in problem


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow text only")
def test_a_name_that_is_no_text_is_said_with_the_other_problems(images, caplog):
    latin_1 = os.fsencode(images) + b"/Gr\xf6\xdfe.tif"
    shutil.copy(images / "0.tif", latin_1)
    shutil.copy(images / "0.tif", latin_1.replace(b".tif", b".dm\xb5"))
    (images / "bad.png").write_text("no image")
    name, bad = problems_of_images(images)
    assert rf"{images} holds a file named 'Gr\udcf6\udcdfe.tif', which is not UTF-8" in name
    assert "bad.png cannot be read" in bad
    assert r"other files there are not read: 1 with .dm\udcb5" in caplog.text
    assert len(fingerprint(list_images(images))) == 32


def test_links_that_lead_nowhere(images):
    (images / "gone.tif").symlink_to(images.parent / "moved.tif")
    (images / "loop.tif").symlink_to("loop.tif")
    (images / "linked.tif").symlink_to("0.tif")
    (images / ".hidden.tif").symlink_to("nothing.tif")
    gone, loop = problems_of_images(images)
    assert f"gone.tif is a link to {images.parent / 'moved.tif'}, which does not exist" in gone
    assert "loop.tif is a link to loop.tif" in loop


def test_a_file_in_place_of_the_folder(images):
    (problem,) = problems_of_images(images / "0.tif")
    assert f"INPUT_DIR_IMAGES: {images / '0.tif'} is a file, not a folder." in problem


def test_a_file_that_may_not_be_read_is_not_called_damaged(images, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pipeline.image_files.decode", refuse)
    problem = problems_of_images(images)[0]
    assert f"{images / '0.tif'} may not be read (Permission denied). Change its perm" in problem
    assert "damaged" not in problem


def test_a_file_on_a_drive_that_is_gone_is_not_called_damaged(images, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("pipeline.image_files.decode", fail)
    problem = problems_of_images(images)[0]
    assert f"{images / '0.tif'} could not be read (Input/output error). Look at the d" in problem
    assert "damaged" not in problem


def test_hidden_files_and_folders_are_ignored(images):
    (images / ".hidden.tif").write_bytes(b"no image")
    (images / "folder.tif").mkdir()
    assert problems_of_images(images) == []


def test_few_images_and_flat_images_are_warned_of(images, caplog):
    (images / "1.tif").unlink()
    tifffile.imwrite(images / "2.tif", np.full((60, 80), 9, np.uint8))
    assert problems_of_images(images) == []
    assert "2.tif is the same value everywhere" in caplog.text
    assert "2 micrographs are few to train on; results get better from about 3 on" in caplog.text
    caplog.clear()
    assert check_images("INPUT_DIR_IMAGES", images, None, None, to_train=False)[0] == []
    assert "2.tif is the same value everywhere" in caplog.text
    assert "few to train on" not in caplog.text


def test_folders_below_one_that_may_not_be_entered(tmp_path, monkeypatch):
    def refuse(path, **how):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (problem,) = check_true_masks("TRUE_MASKS_DIR", tmp_path / "closed" / "a")
    assert "TRUE_MASKS_DIR: the folder" in problem and "(Permission denied)" in problem
    call = ("4", "translate_images", {"cyclegan_dir": str(tmp_path), "cyclegan_model": "a"})
    (problem,) = check_named_models([call])
    assert "one of: none so far" in problem


def test_a_folder_without_permission_to_read(images, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    (problem,) = problems_of_images(images)
    assert f"INPUT_DIR_IMAGES: the folder {images} cannot be read (Permission denied)" in problem
    assert "change its permission or the option" in problem


def test_memory_is_that_of_one_image(tmp_path):
    whole = micrograph(shape=(1000, 1000))
    for number in range(12):
        tifffile.imwrite(tmp_path / f"{number}.tif", whole)
    tracemalloc.start()
    try:
        assert problems_of_images(tmp_path) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All twelve would be 12 MB.
    assert peak < 4.5 * whole.nbytes


def test_the_tile_must_fit_the_images_as_enlarged(images):
    def problems(tile, scale):
        return check_images("INPUT_DIR_IMAGES", images, None, tile, scale)[0]

    assert problems((120, 160), 2.0) == []
    first, *_ = problems((121, 160), 2.0)
    words = "120 x 160 pixels (height x width, without the info bar, at MICROGRAPH_SCALE = 2)"
    assert words in first and "set TILE_SIZE_H to at most 120" in first
    assert "30 x 40 pixels" in problems(TILE, 0.5)[0]


def test_enlarged_images_must_not_be_larger_than_any_can_be_read(images, monkeypatch):
    monkeypatch.setattr("pipeline.checks.files.MAX_PIXELS", 4 * 60 * 80)
    assert check_images("INPUT_DIR_IMAGES", images, None, None, 2.0)[0] == []
    problems, _ = check_images("INPUT_DIR_IMAGES", images, None, None, 3.0)
    words = "180 x 240 pixels, at MICROGRAPH_SCALE = 3. Allowed are 19200 in all: lower"
    assert len(problems) == 3 and words in problems[0]


@pytest.mark.parametrize("name", ["c.png", "c.tif", "c.jpg", "c.bmp", "c.gif"])
@pytest.mark.parametrize("kind, said", [("grey", False), ("writing", False), ("false", True)])
def test_false_colours_are_warned_of(images, caplog, name, kind, said):
    grey = cv2.GaussianBlur(micrograph(9), (0, 0), 3)
    colours = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if kind == "writing":
        colours[50:54, 10:40] = (0, 255, 255)
    elif kind == "false":
        colours = cv2.applyColorMap(grey, cv2.COLORMAP_JET)
    cv2.imwrite(str(images / name), colours)
    if name == "c.gif":
        Image.fromarray(colours[..., ::-1]).quantize(256).save(images / name)
    assert problems_of_images(images) == []
    warning = f"1 micrograph is of false colours or with coloured overlays ({name})"
    assert (warning in caplog.text) == said

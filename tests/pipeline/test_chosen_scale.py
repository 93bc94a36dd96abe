"""The scale that outlines want, and that the tiles that are there have."""

from copy import deepcopy

import numpy as np
import pytest

from pipeline.chosen_scale import with_scale
from pipeline.files.records import write_json
from pipeline.image_files import write_image
from pipeline.running.output_folders import MADE_WITH
from tests.pipeline.micrographs.test_micrograph_scale import write_outlines


def call(number, scale="auto"):
    return number, "name", {"micrograph_scale": scale, "seed": 1}


def test_auto_is_what_the_outlines_want_and_numbers_stay(tmp_path):
    masks = str(write_outlines(tmp_path / "masks", [10]))
    options = {"INPUT_DIR_MASKS": masks, "MICROGRAPH_SCALE": "auto", "SEED": 1}
    calls = [call("0"), ("3", "name", {"seed": "auto"}), call("4", 1.5)]
    given, calls_given = dict(options), deepcopy(calls)
    assert with_scale(options, calls) == (
        options | {"MICROGRAPH_SCALE": 2.0},
        [call("0", 2.0), ("3", "name", {"seed": "auto"}), call("4", 1.5)],
    )
    assert (options, calls) == (given, calls_given)
    assert with_scale(options, None) == (options | {"MICROGRAPH_SCALE": 2.0}, None)
    numbers = options | {"MICROGRAPH_SCALE": 0.5}
    assert with_scale(numbers, [call("0")]) == (numbers, [call("0", 2.0)])
    assert with_scale({"SEED": 1}, []) == ({"SEED": 1}, [])
    assert with_scale(options | {"INPUT_DIR_MASKS": 5}, None)[0]["MICROGRAPH_SCALE"] == 1
    inverted = {"INPUT_DIR_MASKS": write_outlines(tmp_path / "black", [10], invert=True)}
    # What is around the particle was taken for it, of which the checks tell.
    assert with_scale(options | inverted, None)[0]["MICROGRAPH_SCALE"] < 1
    inverted |= {"INVERT_INPUT_MASKS": True}
    assert with_scale(options | inverted, None)[0]["MICROGRAPH_SCALE"] == 2


@pytest.mark.parametrize(
    ("tile", "bar", "scale"),
    [
        ((48, 64), 0, 0.33),
        ((49, 64), 0, 0.5),  # the smaller micrograph has 144 x 300 pixels
        ((48, 100), 0, 0.5),
        ((48, 64), 1, 0.5),
        ((100, 100), 0, 1.0),
        ((500, 500), 0, 1.0),  # of which the checks tell
        (("48", 64), 0, 0.33),
    ],
)
def test_auto_reduces_no_further_than_a_tile_fits_every_micrograph(
    tmp_path, caplog, tile, bar, scale
):
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate([(300, 300), (144, 300)]):
        write_image(images / f"{number}.png", np.zeros(size, np.uint8))
    (images / "damaged.png").write_bytes(b"no image")
    options = {
        "INPUT_DIR_MASKS": write_outlines(tmp_path / "masks", [70] * 3),
        "INPUT_DIR_IMAGES": images,
        "IMAGE_CROP": 144 - bar,
        "TILE_SIZE_H": tile[0],
        "TILE_SIZE_W": tile[1],
        "MICROGRAPH_SCALE": "auto",
    }
    assert with_scale(options, None)[0]["MICROGRAPH_SCALE"] == scale
    words = f"a tile of {tile[0]} x {tile[1]} does not fit every micrograph, so they see them at "
    assert (f"at 0.33, but then {words}{scale:g}." in caplog.text) == (scale != 0.33)
    options |= {"INPUT_DIR_IMAGES": tmp_path / "none", "TILE_SIZE_H": 48}
    assert with_scale(options, None)[0]["MICROGRAPH_SCALE"] == 0.33


@pytest.mark.parametrize(
    ("record", "steps", "outlines", "scale"),
    [
        ({"micrograph_scale": 3.0}, ("4", "5"), True, 3.0),  # a step alone goes on as begun
        ({"seed": 1}, ("6a",), True, 1.0),  # of before there was a scale
        ({"micrograph_scale": 3.0}, ("0", "4"), True, 2.0),  # tiles are cut anew
        ({"micrograph_scale": 3.0}, ("0", "4"), False, 3.0),
        (None, ("4",), True, 2.0),
        (None, ("4",), False, 1.0),
    ],
)
def test_steps_that_run_alone_go_on_at_the_scale_of_the_tiles(
    tmp_path, record, steps, outlines, scale
):
    folder = write_outlines(tmp_path / "masks", [10] * outlines)
    (tmp_path / "data" / "trainA").mkdir(parents=True)
    if record:
        write_json(tmp_path / "data" / "trainA" / MADE_WITH, record)
    options = {"INPUT_DIR_MASKS": folder, "CYCLEGAN_DIR": tmp_path, "MICROGRAPH_SCALE": "auto"}
    _, calls = with_scale(options, [call(number) for number in steps])
    assert calls == [call(number, scale) for number in steps]

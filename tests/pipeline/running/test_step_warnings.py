"""Warnings of each step's last run: collected once each, kept by step, given to the report."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline.files.records import read_json, write_json
from pipeline.image_files import write_image
from pipeline.running.run_lock import identity_of
from pipeline.running.step_table import STEPS
from pipeline.running.step_warnings import (
    MOST,
    collected,
    note_checks,
    note_warnings,
    place_of,
    warnings_before,
)

PROJECT = Path(__file__).resolve().parents[3]


def test_warnings_are_collected_once_each_and_nothing_else(caplog):
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("pipeline.somewhere")
    with collected() as messages:
        logger.info("said")
        for number in (1, 2, 1):
            logger.warning("mind %d", number)
        logger.error("failed")
    logger.warning("afterwards")
    assert messages == ["mind 1", "mind 2"]
    with collected() as messages:
        logger.warning("mind %s", "part\udcff.png")  # a name that is no UTF-8
    assert messages == ["mind part\\udcff.png"]


def test_a_step_gets_those_of_the_steps_before_and_a_new_run_replaces_its_own(tmp_path):
    assert warnings_before(tmp_path, "7") == {}
    note_warnings(tmp_path, "6b", ["faint"])
    note_warnings(tmp_path, "0", ["many tiles"])
    note_checks(tmp_path, ["0", "1", "2"], ["no bar"])
    note_warnings(tmp_path, "7", ["few images"])
    note_warnings(tmp_path, "2", [])
    before = warnings_before(tmp_path, "7")
    assert before == {"checks 0": ["no bar"], "0": ["many tiles"], "6b": ["faint"]}
    assert list(before) == ["checks 0", "0", "6b"]
    assert list(warnings_before(tmp_path, "3")) == ["checks 0", "0"]
    assert list(warnings_before(tmp_path, "7", unused=["0"])) == ["checks 0", "6b"]
    note_warnings(tmp_path, "0", [])
    assert list(warnings_before(tmp_path, "7")) == ["checks 0", "6b"]
    note_warnings(tmp_path, "0", [str(number) for number in range(MOST + 5)])
    assert warnings_before(tmp_path, "7")["0"][-1].startswith("... and 5 more warnings, in ")
    (tmp_path / "warnings.json").write_text('{"0": "damaged", "6b"')
    assert warnings_before(tmp_path, "7") == {}


def test_warnings_stay_where_a_step_is_run_again_with_the_same(tmp_path):
    """Of what is finished already it says nothing, though it is as doubtful as before."""
    note_warnings(tmp_path, "3", ["the contrast is inverted", "slow"], "same")
    note_warnings(tmp_path, "3", ["slow", "another"], "same")
    said = ["the contrast is inverted", "slow", "another"]
    assert warnings_before(tmp_path, "7") == {"3": said}
    note_warnings(tmp_path, "3", [], "same")
    assert warnings_before(tmp_path, "7") == {"3": said}
    many = [str(number) for number in range(MOST + 2)]
    for _ in range(2):  # those that are not told are no message of their own
        note_warnings(tmp_path, "3", many, "same")
        left_out = len(said) + len(many) - MOST
        assert warnings_before(tmp_path, "7")["3"][MOST].startswith(f"... and {left_out} more")
    note_warnings(tmp_path, "3", ["new"], "of other options")
    assert warnings_before(tmp_path, "7") == {"3": ["new"]}
    for of_all_anew in (None, None):
        note_warnings(tmp_path, "3", ["newer"], of_all_anew)
        assert warnings_before(tmp_path, "7") == {"3": ["newer"]}


def test_what_is_said_before_named_steps_is_kept_beside_what_was_said_of_all(tmp_path):
    """Other micrographs may be measured than those that networks were trained with."""
    note_checks(tmp_path, list(STEPS), ["colours in a.tif"])
    note_checks(tmp_path, ["6b", "7"], ["no bar in b.tif"])
    note_warnings(tmp_path, "6b", ["faint"])
    note_checks(tmp_path, ["7"], ["no bar in b.tif", "another pixel size"])
    before = warnings_before(tmp_path, "7")
    assert list(before.items()) == [
        ("checks 0", ["colours in a.tif"]),
        ("checks 6b", ["no bar in b.tif"]),
        ("6b", ["faint"]),
        ("checks 7", ["another pixel size"]),
    ]
    assert [place_of(key) for key in before] == [
        "Before the first step",
        "Before step 6b, run later",
        "Step 6b, segmenting the micrographs",
        "Before step 7, run later",
    ]
    note_checks(tmp_path, ["6b", "7"], [])
    assert list(warnings_before(tmp_path, "7")) == ["checks 0", "6b"]
    note_checks(tmp_path, ["7"], ["b.tif"])
    note_checks(tmp_path, [], ["of no step"])
    assert list(warnings_before(tmp_path, "7")) == ["checks 0", "6b", "checks 7"]
    note_checks(tmp_path, list(STEPS), [])
    assert list(warnings_before(tmp_path, "7")) == ["6b"]


def test_of_a_step_that_is_not_used_the_checks_are_told_all_the_same(tmp_path):
    note_checks(tmp_path, ["1", "2", "7"], ["no bar"])
    note_warnings(tmp_path, "1", ["blurs"])
    assert warnings_before(tmp_path, "7", unused=["1"]) == {"checks 1": ["no bar"]}


def test_a_steps_process_notes_what_it_warned_of(tmp_path):
    image = np.random.default_rng(0).integers(30, 60, (192, 288)).astype(np.uint8)
    image[:, :144] += 100
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.tif", image)
    keywords = {"images_dir": str(tmp_path / "images"), "cyclegan_dir": str(tmp_path / "gan")}
    keywords |= {"tile_height": 48, "tile_width": 48, "num_tiles": 2, "min_overlap": 0}
    keywords |= {"dark_background": True, "image_crop": None, "micrograph_scale": 1.0, "seed": 0}
    job = {"number": "0", "function": "prepare_images", "keywords": keywords, "devices": {}}
    job |= {"log_file": str(tmp_path / "log.txt"), "parent": identity_of(os.getpid())}
    write_json(tmp_path / "job.json", job)
    command = [sys.executable, "-m", "pipeline.run_step", str(tmp_path / "job.json")]
    subprocess.run(command, check=True, cwd=PROJECT, capture_output=True)
    (message,) = read_json(tmp_path / "warnings.json")["0"]
    assert "times NUM_SIMULATED_MASKS" in message
    (tmp_path / "warnings.json").unlink()
    (tmp_path / "warnings.json").mkdir()  # so that they cannot be noted
    subprocess.run(command, check=True, cwd=PROJECT, capture_output=True)  # which fails no step

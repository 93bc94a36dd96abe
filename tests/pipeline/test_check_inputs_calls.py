"""The checks before a run are given what they are to look at, and what they find is told."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.check_inputs import check_inputs
from pipeline.checks.gpu_memory import Memory
from pipeline.files.records import write_json
from pipeline.image_files import write_image
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import STEPS
from tests.pipeline.test_check_inputs import problems_of
from tests.pipeline.test_fuzz_check_inputs import project
from tests.start_process import default_calls, leave_outputs


@pytest.fixture
def options(tmp_path):
    """The options of a project with two good micrographs, outlines and true masks."""
    return project(tmp_path) | {"MICROGRAPH_SCALE": 1.0}


def call_alone(options, number):
    """Return the call of one step, for which what it reads of others is there."""
    (call,) = (call for call in default_calls(options) if call[0] == number)
    keywords = {"output_dir": options["OUTPUT_DIR_UNET"], **call[2]}
    for earlier in STEPS[number].reads:
        leave_outputs(earlier, keywords)
    return [call]


def write_outlines(options, radius, invert=False):
    disk = cv2.circle(np.zeros((32, 32), np.uint8), (16, 16), radius, 255, -1)
    for path in Path(options["INPUT_DIR_MASKS"]).iterdir():
        write_image(path, 255 - disk if invert else disk)


def test_a_file_where_a_folder_is_to_be_written_is_told_of(options):
    Path(options["RESULTS_DIR"]).touch()
    (problem,) = problems_of(options)
    assert problem.startswith(f"RESULTS_DIR is {options['RESULTS_DIR']}, but")


@pytest.mark.parametrize(("number", "is_told"), [(None, True), ("6a", True), ("6b", False)])
def test_a_network_s_folder_is_to_be_writable_where_a_step_writes_it(
    options, monkeypatch, number, is_told
):
    calls = number and call_alone(options, number)
    (Path(options["UNET_DIR"]) / "Models").mkdir(parents=True, exist_ok=True)
    # A superuser may write anywhere, so the answer of the system is replaced.
    may_write = lambda path: options["UNET_DIR"] not in str(path)  # noqa: E731
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK or may_write(path))
    if not is_told:
        check_inputs(options, calls)
        return
    assert all(problem.startswith("UNET_DIR is") for problem in problems_of(options, calls))


def test_tiles_of_another_scale_are_told_of(options):
    calls = call_alone(options, "4")
    record = Path(options["CYCLEGAN_DIR"]) / "data" / "trainA" / MADE_WITH
    record.parent.mkdir()
    write_json(record, {"micrograph_scale": 1.0})
    check_inputs(options, calls)
    write_json(record, {"micrograph_scale": 2.0})
    (problem,) = problems_of(options, calls)
    assert "Step 4 (translate_images) is to work at MICROGRAPH_SCALE = 1, but step 0" in problem


@pytest.mark.parametrize(
    ("name", "value"), [("USE_GPUS_NO", [1]), ("USE_GPU_FOR_WHOLE_IMAGE_INFERENCE", True)]
)
def test_gpus_that_are_asked_for_are_to_be_there(options, monkeypatch, name, value):
    monkeypatch.setattr("pipeline.checks.machine.count_gpus", lambda: 0)
    check_inputs(options)
    (problem,) = problems_of(options | {name: value})
    assert problem.startswith(f"{name} is {value}, but this machine has no")


def test_outlines_are_black_on_white_where_the_option_says_so(options):
    write_outlines(options, 8, invert=True)
    check_inputs(options | {"INVERT_INPUT_MASKS": True})
    problems = problems_of(options)
    assert len(problems) == 2
    assert all("is inverted: a black particle on white" in problem for problem in problems)


def test_outlines_may_be_as_small_as_the_scales_of_step_2_allow(options):
    write_outlines(options, 4)
    augmented = options | {"OUTLINE_SOURCE": "augmented"}
    check_inputs(augmented, default_calls(augmented))
    drawn = options | {"OUTLINE_SOURCE": "wgan"}
    problems = problems_of(drawn, default_calls(drawn))
    assert len(problems) == 2
    assert all("a particle of which step 2 has nothing left" in problem for problem in problems)


def test_the_memory_of_the_gpu_that_is_chosen_is_looked_at(options, monkeypatch, caplog):
    monkeypatch.setattr("pipeline.checks.machine.count_gpus", lambda: 2)
    memory = {"all": Memory(80.0, 79.5), (1,): Memory(1.0, 0.9)}
    monkeypatch.setattr("pipeline.checks.gpu_memory.gpu_memory", lambda chosen: memory[chosen])
    calls = default_calls(options)
    check_inputs(options, calls)
    assert "may not fit" not in caplog.text
    check_inputs(options | {"USE_GPUS_NO": (1,)}, calls)
    for name in ("train_cyclegan", "train_unet"):
        batch = next(keywords["batch_size"] for _, step, keywords in calls if step == name)
        assert f"{name}: {batch} tiles in a batch may not fit into the GPU's 1 GiB" in caplog.text


@pytest.mark.parametrize(
    ("number", "is_told"),
    [(None, True), ("0", True), ("4", False), ("6a", True), ("6b", False), ("7", False)],
)
def test_micrographs_may_be_few_where_nothing_is_trained(options, caplog, number, is_told):
    check_inputs(options, number and call_alone(options, number))
    assert ("2 micrographs are few to train on" in caplog.text) == is_told

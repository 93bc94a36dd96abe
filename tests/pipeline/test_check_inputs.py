import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile

from pipeline.check_inputs import check_inputs
from pipeline.checks.values import UNKNOWN
from pipeline.files.records import write_json
from pipeline.running.step_table import STEPS
from tests.start_process import default_calls, default_options, leave_outputs


@pytest.fixture
def options(tmp_path):
    """The default options, with folders of good images and outlines."""
    options = default_options(tmp_path) | {
        "TILE_SIZE_H": 48,
        "TILE_SIZE_W": 64,
        "NUM_SIMULATED_MASKS": 2,
        "CYCLEGAN_FILTERS": 4,
    }
    for name in ("INPUT_DIR_IMAGES", "INPUT_DIR_MASKS"):
        Path(options[name]).mkdir()
    image = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:24] = 255
    for number in range(3):
        cv2.imwrite(str(tmp_path / "Input_Images" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "Input_Masks" / f"{number}.png"), mask)
    return options


def problems_of(options, calls=None):
    with pytest.raises(ValueError) as caught:
        check_inputs(options, calls)
    first, *problems = str(caught.value).splitlines()
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    assert first == f"{count} found before the run:"
    return problems


def test_good_input_passes_and_nothing_is_written(options, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    check_inputs(options)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("function", ["train_unet", "measure_particles"])
def test_idle_gpus_are_told_of_where_a_network_runs(options, monkeypatch, caplog, function):
    caplog.set_level("INFO")
    monkeypatch.setattr("pipeline.checks.machine.count_gpus", lambda: 2)
    calls = [call for call in default_calls(options) if call[1] == function]
    monkeypatch.setattr("pipeline.check_inputs.check_earlier_steps", lambda calls: [])
    check_inputs(options, calls)
    assert ("training uses the first of 2 GPUs" in caplog.text) == (function == "train_unet")


def test_all_problems_come_in_one_error_a_line_each(options, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflaw")
    (tmp_path / "Input_Images" / "bad.tif").write_text("no image")
    cv2.imwrite(str(tmp_path / "Input_Masks" / "empty.png"), np.zeros((32, 32), np.uint8))
    options["WGAN_EPOCS"] = options.pop("WGAN_EPOCHS")
    options["SEED"] = "random"
    text = "\n".join(problems_of(options))
    assert len(text.splitlines()) == 6
    for words in (
        "WGAN_EPOCS is no option of StartProcess.py. Did you mean WGAN_EPOCHS?",
        "WGAN_EPOCHS is missing",
        "SEED is 'random'",
        'KERAS_BACKEND is "tensorflaw"',
        "bad.tif cannot be read",
        "empty.png has the same value everywhere",
    ):
        assert words in text


def test_wrong_options_do_not_stop_the_check_of_the_files(options, tmp_path):
    (tmp_path / "Input_Images" / "bad.tif").write_text("no image")
    problems = problems_of(options | {"TILE_SIZE_W": "wide", "IMAGE_CROP": -1})
    assert len(problems) == 3
    problems = problems_of({"INPUT_DIR_IMAGES": options["INPUT_DIR_IMAGES"]})
    assert "bad.tif" in problems[-1]


def test_a_wrong_value_handed_to_steps_is_said_once(options):
    options["TILE_SIZE_W"] = 5
    calls = [
        ("0", "prepare_images", {"tile_width": 5, "min_overlap": -2}),
        ("4", "translate_images", {"tile_width": 5}),
    ]
    problems = [problem for problem in problems_of(options, calls) if " is 5 " in problem]
    assert len(problems) == 1
    assert problems[0].startswith("TILE_SIZE_W is 5")
    assert any("prepare_images: min_overlap is -2" in one for one in problems_of(options, calls))


def test_advanced_options_are_checked_with_the_others(options):
    calls = default_calls(options)
    for _, step_name, keywords in calls:
        if step_name == "simulate_masks":
            keywords["grid_type"] = "SQUARE"
    problems = problems_of(options, calls)
    assert any("simulate_masks: grid_type is 'SQUARE'" in problem for problem in problems)


def test_generators_that_keep_the_contrast_must_not_turn_it_round(options):
    options["DARK_BACKGROUND"] = False
    calls = default_calls(options)
    check_inputs(options, calls)
    (training,) = (keywords for _, name, keywords in calls if name == "train_cyclegan")
    training["invert_images"] = False
    (problem,) = problems_of(options, calls)
    assert problem.startswith("train_cyclegan: same_contrast=True does not go with invert_images")
    assert "Allowed is invert_images=True, or same_contrast=False" in problem
    training["same_contrast"] = False
    check_inputs(options, calls)


def test_of_a_value_that_is_not_known_nothing_is_said(options):
    calls = default_calls(options)
    for _, _, keywords in calls:
        keywords |= {name: UNKNOWN for name in keywords if name not in ("grid_type", "threshold")}
    check_inputs(options, calls)
    calls[2][2]["grid_type"] = "SQUARE"
    (problem,) = problems_of(options, calls)
    assert "grid_type is 'SQUARE'" in problem


@pytest.mark.parametrize("number", ["7a", 7])
def test_a_misspelt_number_of_a_step_is_said_before_the_run(options, number):
    calls = [
        (number if step_name == "measure_particles" else known, step_name, keywords)
        for known, step_name, keywords in default_calls(options)
    ]
    (problem,) = problems_of(options, calls)
    assert f'measure_particles: its number is {number!r}; allowed is "7". Correct it' in problem


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian_unet", "Did you mean train_unet?"), ("import_outlines", "Correct the name")],
)
def test_a_call_that_is_no_step_is_said_before_the_run(options, name, hint):
    calls = [*default_calls(options), ("9", name, {})]
    (problem,) = problems_of(options, calls)
    assert f'"{name}" is no step.' in problem and hint in problem


def test_a_named_model_that_is_not_there_is_said_before_the_run(options):
    calls = default_calls(options)
    for _, _, keywords in calls:
        if "cyclegan_model" in keywords:
            keywords["cyclegan_model"] = "2026-01-31_12-00-00"
    (problem,) = (one for one in problems_of(options, calls) if "_model is" in one)
    assert "there is no such finished run" in problem and "none so far" in problem


def test_only_what_the_steps_write_needs_room(options, tmp_path, monkeypatch):
    full = SimpleNamespace(total=10**9, used=10**9 - 10**7, free=10**7)
    monkeypatch.setattr("pipeline.checks.disk.shutil.disk_usage", lambda place: full)
    calls = default_calls(options)
    assert any("GB free; the run will write about" in one for one in problems_of(options, calls))
    # It is told where the networks are, for its report.
    measuring = [call for call in calls if call[0] == "7"]
    leave_outputs("6b", {"output_dir": options["OUTPUT_DIR_UNET"]})
    check_inputs(options, measuring)


def test_step_6a_needs_the_micrographs_too(options, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.check_inputs.check_earlier_steps", lambda calls: [])
    calls = [call for call in default_calls(options) if call[1] == "train_unet"]
    check_inputs(options, calls)
    for file in (tmp_path / "Input_Images").iterdir():
        file.unlink()
    (problem,) = problems_of(options, calls)
    assert "INPUT_DIR_IMAGES" in problem and "Input_Images" in problem


def test_only_what_the_steps_need_is_read(options, tmp_path):
    (tmp_path / "Input_Masks" / "bad.png").write_text("no image")
    (tmp_path / "Input_Images" / "small.png").unlink(missing_ok=True)
    cv2.imwrite(str(tmp_path / "Input_Images" / "small.png"), np.eye(20, dtype=np.uint8))
    calls = default_calls(options)
    step_6b = [call for call in calls if call[0] == "6b"]
    step_0_and_1 = [call for call in calls if call[0] in "01"]
    leave_outputs("6a", step_6b[0][2])
    check_inputs(options, step_6b)
    text = "\n".join(problems_of(options, step_0_and_1))
    assert "bad.png cannot be read" in text
    assert "small.png has 20 x 20 pixels" in text


@pytest.mark.parametrize("step", ["4", "6b"])
@pytest.mark.parametrize("whole_image", [True, False])
def test_images_smaller_than_a_tile_stop_steps_that_cut_tiles(options, step, whole_image):
    options |= {"TILE_SIZE_H": 64, "RUN_INFERENCE_ON_WHOLE_IMAGE": whole_image}
    calls = [call for call in default_calls(options) if call[0] == step]
    for earlier in STEPS[step].reads:
        leave_outputs(earlier, calls[0][2])
    if whole_image:
        check_inputs(options, calls)
        return
    problems = problems_of(options, calls)
    assert len(problems) == 3
    assert "0.png has 60 x 80 pixels" in problems[0] and "a tile of 64 x 64" in problems[0]


@pytest.mark.parametrize(("learned_at", "fits"), [(1.0, True), (0.5, False)])
def test_tiles_are_cut_of_what_the_unet_sees(options, learned_at, fits):
    """A UNet trained before sees micrographs at its own scale, whatever the option is now."""
    options |= {"RUN_INFERENCE_ON_WHOLE_IMAGE": False, "TILE_SIZE_H": 48, "TILE_SIZE_W": 48}
    options |= {"MICROGRAPH_SCALE": 0.5 if fits else 1.0}
    calls = [call for call in default_calls(options) if call[0] == "6b"]
    leave_outputs("6a", calls[0][2])
    (run,) = Path(options["UNET_DIR"], "Models").iterdir()
    write_json(run / "options.json", {"options": {"micrograph_scale": learned_at}})
    if fits:
        check_inputs(options, calls)
        return
    problems = problems_of(options, calls)
    assert "0.png has 30 x 40 pixels" in problems[0] and "a tile of 48 x 48" in problems[0]


def write_scales(options):
    """Give the folder of micrographs two more that say different pixel sizes."""
    image = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    for size in (2, 5):
        path = Path(options["INPUT_DIR_IMAGES"]) / f"{size}_nm.tif"
        tifffile.imwrite(
            path, image, imagej=True, resolution=(1 / size,) * 2, metadata={"unit": "nm"}
        )


def test_scales_that_cannot_be_measured_together_are_said_before_the_run(options):
    write_scales(options)
    (problem,) = problems_of(options, default_calls(options))
    assert "3 of 5 images carry no pixel size (0.png, 1.png, 2.png)" in problem
    assert "differ (2 to 5 nm)" in problem
    check_inputs(options, default_calls(options | {"PIXEL_SIZE_NM": 3.0}))


def test_filters_that_would_be_in_pixels_for_some_are_said_before_the_run(options):
    image = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    path = Path(options["INPUT_DIR_IMAGES"]) / "2_nm.tif"
    tifffile.imwrite(path, image, imagej=True, resolution=(0.5, 0.5), metadata={"unit": "nm"})

    def calls(filters, **changes):
        return [
            (number, step, keywords | ({"filters": filters} if number == "7" else {}))
            for number, step, keywords in default_calls(options | changes)
        ]

    (problem,) = problems_of(options, calls({"area": (1000, None)}))
    assert "filters: area would be in pixels, because 3 of 4 images carry no pixel size" in problem
    check_inputs(options, calls({"convexity": (0.9, None)}))
    check_inputs(options, calls({"area": (1000, None)}, PIXEL_SIZE_NM=3.0))
    (problem,) = problems_of(options, calls({"aera": (1000, None)}))  # is wrong by itself
    assert "aera" in problem


def test_micrographs_that_perhaps_have_no_mask_may_differ_in_scale(options):
    write_scales(options)
    (step_7,) = (call for call in default_calls(options) if call[0] == "7")
    leave_outputs("6b", step_7[2] | {"output_dir": step_7[2]["masks_dir"]})
    check_inputs(options, [step_7])


def test_a_true_mask_without_a_micrograph_is_said_before_anything_is_trained(options):
    folder = Path(options["TRUE_MASKS_DIR"])
    folder.mkdir()
    for name in ("0.png", "nothere.png"):
        cv2.imwrite(str(folder / name), np.zeros((60, 80), np.uint8))
    calls = default_calls(options)
    (problem,) = problems_of(options, calls)
    assert "nothing to compare with: nothere.png" in problem
    # Alone, step 8 scores the masks that are there already.
    step_8 = [call for call in calls if call[0] == "8"]
    check_inputs(options, step_8)
    masks_dir = Path(step_8[0][2]["masks_dir"])
    masks_dir.mkdir(exist_ok=True)
    for name in ("0.tif", "nothere.tif"):
        cv2.imwrite(str(masks_dir / name), np.zeros((60, 80), np.uint8))
    check_inputs(options, step_8)
    (masks_dir / "nothere.tif").unlink()
    (problem,) = problems_of(options, step_8)
    assert f"without a mask of the same name (the ending may differ) in {masks_dir}" in problem
    step_8[0][2]["masks_dir"] = "elsewhere"
    check_inputs(options, calls)


def test_no_network_library_is_imported():
    code = (
        "import sys, pipeline.check_inputs\n"
        "bad = {'keras', 'tensorflow', 'torch'} & sys.modules.keys()\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)

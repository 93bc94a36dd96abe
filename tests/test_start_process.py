"""The whole script as a user runs it, with tiny options, on the backend of the environment."""

import json
import os
import re
import shutil
import signal
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.kill_test import broken_files, differences, kill, weights_of
from pipeline.image_files import read_image, write_image
from tests.tiny_project import (
    AS_PUBLISHED,
    MICROGRAPHS,
    PUBLISHED,
    TINY,
    make_project,
    micrograph,
    run_script,
    start_script,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a folder in which the whole workflow ran, and what it said."""
    folder = make_project(tmp_path_factory.mktemp("finished") / "with space")
    code, output = run_script(folder)
    assert code == 0, output
    return folder, output


def test_the_whole_workflow_on_mixed_images(finished):
    folder, output = finished
    titles = re.findall(r"(?m)^ *Step (\w+) of 8: ", output)
    assert titles == ["0", "1", "2", "3", "4", "5", "6a", "6b", "7", "8"]
    # What libraries tell of themselves is kept off the screen: TensorFlow, fontTools.
    lines = output.splitlines()
    assert [line for line in lines if not line.startswith("  ") or "pruned" in line] == []
    for name, _, _, height, width in MICROGRAPHS:
        stem = Path(name).stem
        for masks in ("Output_Masks_UNet", "Output_Masks_CycleGAN"):
            mask = read_image(folder / masks / f"{stem}.tif")
            assert mask.shape == (height, width) and mask.dtype == np.uint8
            assert set(np.unique(mask)) <= {0, 255}
        raw = read_image(folder / "Output_Masks_UNet" / f"{stem}_raw.tif")
        assert raw.dtype == np.float32 and 0 <= raw.min() <= raw.max() <= 1
    tiles = [read_image(path) for path in (folder / "2_CycleGAN/data/trainA").glob("*.tif")]
    assert len(tiles) >= 6
    assert all(tile.min() == 0 and tile.max() == 255 for tile in tiles)


def test_every_model_has_its_log_options_and_previews(finished):
    folder, _ = finished
    for models, count, sheets in (
        ("1_WGAN/Models", 4, "1_WGAN/Output_Images/*/Epoch_00004.png"),
        ("2_CycleGAN/Models", 2, "2_CycleGAN/images/*/A-B-A_Epoch_00002.png"),
        ("3_UNet/Models", 1, None),
    ):
        (run,) = (folder / models).iterdir()
        rows = (run / "training_log.csv").read_text().splitlines()
        assert len(rows) == 1 + count
        record = json.loads((run / "options.json").read_text())
        assert record["options"]["seed"] == 42
        assert record["backend"] == os.environ.get("KERAS_BACKEND", "tensorflow")
        assert record["versions"]["keras"]
        if sheets:
            (sheet,) = folder.glob(sheets)
            assert cv2.imread(str(sheet)) is not None


def the_json(folder, pattern):
    """Return the content of the one JSON file of this pattern."""
    (path,) = folder.glob(pattern)
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_ways_that_were_chosen_were_taken_by_all_steps(finished):
    """Those of the publication with torch, those of the defaults with tensorflow."""
    folder, _ = finished
    expected = PUBLISHED if AS_PUBLISHED else {name: not PUBLISHED[name] for name in PUBLISHED}
    expected |= {
        "UNET_TARGET": "mask" if AS_PUBLISHED else "instances",
        "UNET_TEST_TIME_FLIPS": False if AS_PUBLISHED else "rotations",
        "UNET_TEST_TIME_MAGNIFICATION": 1 if AS_PUBLISHED else 1.25,
        "UNET_GAP_WEIGHT": 0.0 if AS_PUBLISHED else 10.0,
        "MICROGRAPH_SCALE": 1 if AS_PUBLISHED else TINY["MICROGRAPH_SCALE"],
    }
    simulated = the_json(folder, "2_CycleGAN/data/trainB/made_with.json")
    cyclegan = the_json(folder, "2_CycleGAN/Models/*/options.json")["options"]
    translated = the_json(folder, "2_CycleGAN/generate_images/B/made_with.json")
    filtered = the_json(folder, "Output_Masks_CycleGAN/made_with.json")
    unet = the_json(folder, "3_UNet/Models/*/options.json")["options"]
    segmented = the_json(folder, "Output_Masks_UNet/made_with.json")
    assert {
        "DARK_BACKGROUND": unet["dark_background"],
        "RUN_INFERENCE_ON_WHOLE_IMAGE": segmented["whole_image"],
        "MATCH_SCENES": simulated["options"]["match_scenes"],
        "UNET_TARGET": unet["target"],
        "UNET_TEST_TIME_FLIPS": segmented["average_flips"],
        "UNET_TEST_TIME_MAGNIFICATION": segmented["magnification"],
        "UNET_VARY_IMAGING": unet["vary_imaging"],
        "UNET_GAP_WEIGHT": unet["gap_weight"],
        "MICROGRAPH_SCALE": unet["micrograph_scale"],
    } == expected
    tiles = the_json(folder, "2_CycleGAN/data/trainA/made_with.json")
    assert {
        made["micrograph_scale"] for made in (tiles, simulated["options"], translated, filtered)
    } == {unet["micrograph_scale"]}
    assert translated["whole_image"] == segmented["whole_image"]
    assert filtered["dark_background"] == simulated["options"]["dark_background"]
    assert filtered["dark_background"] == unet["dark_background"] != cyclegan["invert_images"]
    assert cyclegan["use_binary_crossentropy"] == AS_PUBLISHED

    networks = sorted(folder.glob("2_CycleGAN/Models/*/*.keras"))
    assert [path.stem for path in networks] == ["image_to_mask", "mask_to_image"]
    for path in networks:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["config"]
        assert config["name"] == path.stem
        used = {layer["config"].get("activation") for layer in config["layers"]}
        assert ("sigmoid" in used) == (AS_PUBLISHED and path.stem == "image_to_mask")


def test_a_second_run_has_nothing_to_do(finished):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "2_CycleGAN").rglob("*")}
    code, output = run_script(folder)
    assert code == 0
    # Step 8 is cheap and leaves nothing behind where there are no true masks.
    assert output.count("already done with the same options and inputs") >= 9
    assert {p: p.stat().st_mtime_ns for p in (folder / "2_CycleGAN").rglob("*")} == before


def test_single_steps_rerun_alone_and_make_what_is_gone(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "copy")
    mask = folder / "Output_Masks_CycleGAN" / "plain.tif"
    (model,) = folder.glob("1_WGAN/Models/*/model.keras")
    weights = weights_of(model)
    for path in (mask, model):
        path.unlink()
    code, output = run_script(folder, "1", "5")
    assert code == 0, output
    assert re.findall(r"(?m)^ *Step (\w+) of 8: ", output) == ["1", "5"]
    assert mask.exists()
    again = weights_of(model)  # in the same run's folder, from its last checkpoint
    assert again.keys() == weights.keys()
    assert all(np.array_equal(again[name], weights[name]) for name in weights)


def test_new_micrographs_need_no_new_training(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "copy")
    shutil.rmtree(folder / "Input_Images")
    (folder / "Input_Images").mkdir()
    new = micrograph(np.uint8, 1, 80, 90, seed=9, dark=AS_PUBLISHED)
    write_image(folder / "Input_Images" / "new.tif", new)
    code, output = run_script(folder, "6b", "7")
    assert code == 0, output
    masks = sorted(path.name for path in (folder / "Output_Masks_UNet").glob("*.tif"))
    assert masks == ["new.tif", "new_raw.tif"]
    earlier = {path.name for path in (folder / "Earlier_Results").rglob("*.tif")}
    assert earlier == {
        f"{Path(name).stem}{kind}.tif" for name, *_ in MICROGRAPHS for kind in ("", "_raw")
    }
    newest = max((folder / "Results").iterdir())
    measured = (newest / "images.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in measured] == ["new.tif"]


def test_masks_from_elsewhere_are_measured_without_any_network(tmp_path):
    folder = make_project(tmp_path)
    (folder / "Output_Masks_UNet").mkdir()
    for name, _, _, height, width in MICROGRAPHS:
        mask = cv2.circle(np.zeros((height, width), np.uint8), (30, 40), 12, 255, -1)
        write_image(folder / "Output_Masks_UNet" / f"{Path(name).stem}.tif", mask)
    code, output = run_script(folder, "7")
    assert code == 0, output
    (results,) = (folder / "Results").iterdir()
    rows = (results / "particles.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == len(MICROGRAPHS)


# The step alone is killed, or with it the script.
KILL_WHEN_THERE_IS = (
    ("1_WGAN/Models/*/checkpoints/0*", False),
    ("2_CycleGAN/Models/*/options.json", True),
    ("2_CycleGAN/generate_images/A/made_with.json", False),
)


def kill_when(folder, pattern, step_only):
    """Run the script and end it by SIGKILL as soon as a file of this kind is there."""
    process = start_script(folder)
    deadline = time.monotonic() + 3600
    while not list(folder.glob(pattern)):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.01)
    kill(process, folder, step_only)
    said, _ = process.communicate()
    # On a busy machine the moment may fall between two steps: the script itself is killed then.
    assert ("was ended by signal 9" in said) == (process.returncode != -signal.SIGKILL)
    assert step_only or process.returncode == -signal.SIGKILL
    assert broken_files(folder) == []


def test_killed_three_times_in_another_folder_it_ends_with_the_same_files(finished, tmp_path):
    """Every file of the project, so that this also shows that a run repeats itself."""
    undisturbed, _ = finished
    folder = make_project(tmp_path / "killed")
    for pattern, step_only in KILL_WHEN_THERE_IS:
        kill_when(folder, pattern, step_only)
    code, output = run_script(folder)
    assert code == 0, output
    assert "Step 0 of 8: folders and real tiles: already done" in output
    log = (folder / ".workflow" / "log.txt").read_text(encoding="utf-8")
    assert "going on with epoch" in log  # the WGAN, from its first checkpoint
    assert differences(folder, undisturbed) == []


@pytest.mark.parametrize(
    ("step", "maker"),
    [
        ("2", "step 1 (train_wgan)"),
        ("3", "step 0 (prepare_images)"),
        ("4", "step 3 (train_cyclegan)"),
        ("5", "step 2 (simulate_masks)"),
        ("6a", "step 4 (translate_images)"),
        ("6b", "step 6a (train_unet)"),
    ],
)
def test_a_step_without_its_input_names_the_step_that_makes_it(step, maker, tmp_path):
    code, output = run_script(make_project(tmp_path / "new"), step)
    assert code == 2
    assert f"needs what {maker} makes" in output
    assert "Traceback" not in output
    assert not list((tmp_path / "new").glob("[0-9]_*"))


def test_wrong_options_are_all_told_before_anything_is_written(tmp_path):
    folder = make_project(tmp_path / "wrong", {**TINY, "TILE_SIZE_W": "64", "UNET_EPOCHS": 0})
    code, output = run_script(folder)
    assert code == 2
    assert "TILE_SIZE_W" in output and "UNET_EPOCHS" in output
    assert sorted(path.name for path in folder.iterdir()) == [
        "Input_Images",
        "Input_Masks",
        "StartProcess.py",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("SEED = 42", "SEEED = 42", "SEEED is no option of StartProcess.py. Did you mean SEED?"),
        ("PRESET = 'quick'", "PRESET = 'fast'", "PRESET is 'fast' (str); allowed is"),
        ("PRESET = 'quick'", "PRESETT = 'quick'", "PRESETT is no option of StartProcess.py. Did"),
        (
            "RESUME = True",
            "RESUMES = True",
            "RESUMES is no option of StartProcess.py. Did you mean",
        ),
        (
            "RESUME = True",
            "RESUME, PRESET = True, 'published'",
            "PRESET is 'published', but was 'quick' where the preset was chosen: set it",
        ),
        ('USE_GPUS_NO = "all"', 'USE_GPU_NO = "all"', "Did you mean USE_GPUS_NO?"),
        ('ROOT_DIR = "./"', "ROOT_DIR = None", "ROOT_DIR is None (NoneType); allowed is the name"),
    ],
)
def test_a_wrong_option_hides_no_other_problem(before, after, words, tmp_path):
    folder = make_project(tmp_path / "wrong", {**TINY, "UNET_EPOCHS": 0})
    script = folder / "StartProcess.py"
    text = script.read_text(encoding="utf-8")
    assert before in text
    script.write_text(text.replace(before, after), encoding="utf-8")
    code, output = run_script(folder)
    assert code == 2
    assert words in output
    assert "UNET_EPOCHS is 0" in output
    assert "Traceback" not in output


def test_a_name_that_is_missing_in_the_steps_alone_is_said(tmp_path):
    folder = make_project(tmp_path / "wrong")
    script = folder / "StartProcess.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("num_tiles=NUM_SIMULATED_MASKS", "num_tiles=NUM"), "utf-8")
    code, output = run_script(folder)
    assert code == 2
    assert "1 problem found" in output
    assert "The calls of the steps use the name NUM, which StartProcess.py does not" in output
    assert "Traceback" not in output
    assert not (folder / ".workflow").exists()


def test_a_misspelt_option_hides_no_problem_in_the_step_calls(tmp_path):
    folder = make_project(tmp_path / "wrong")
    script = folder / "StartProcess.py"
    text = script.read_text(encoding="utf-8")
    for before, after in (
        ("SEED = 42", "SEEED = 42"),
        ("critic_steps=3", "critic_step=3"),
        ("preset(published=4, quick=6)", "preset(publishd=4, quick=6)"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    script.write_text(text, encoding="utf-8")
    code, output = run_script(folder)
    assert code == 2
    assert "Traceback" not in output
    assert "5 problems found" in output
    for words in (
        "SEEED is no option of StartProcess.py. Did you mean SEED?",
        "SEED is missing in StartProcess.py",
        "train_wgan: critic_step is no option of this step. Did you mean critic_steps?",
        "train_wgan: the option critic_steps is missing",
        "preset(publishd=4, quick=6) does not name both presets",
    ):
        assert words in output


def test_an_unknown_step_is_refused(tmp_path):
    code, output = run_script(make_project(tmp_path / "new"), "9")
    assert code != 0
    assert "No step 9; there are the steps 0, 1, 2, 3, 4, 5, 6a, 6b, 7, 8" in output


def test_ctrl_c_while_python_still_imports_ends_in_a_line(tmp_path):
    folder = make_project(tmp_path / "new")
    (folder / "numpy.py").write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    code, output = run_script(folder)
    assert code != 0
    assert output == "interrupted\n"


def test_other_errors_have_their_traceback(tmp_path):
    folder = make_project(tmp_path / "new")
    (folder / "numpy.py").write_text("raise RuntimeError('of a library')\n", encoding="utf-8")
    code, output = run_script(folder)
    assert code == 1
    assert output.startswith("Traceback") and output.endswith("RuntimeError: of a library\n")

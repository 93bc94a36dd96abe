import os

import pytest

from pipeline.checks.options import OPTION_CHECKS, check_options, describe_names_in_other_case
from tests.start_process import default_options


@pytest.fixture
def options(tmp_path):
    return default_options(tmp_path)


def test_the_defaults_are_allowed(options):
    assert check_options(options) == []


def test_every_option_of_start_process_has_a_check_and_no_other(options):
    assert options.keys() == OPTION_CHECKS.keys()


def test_a_misspelt_option_is_named_with_the_nearest(options):
    options["TILE_SIZE_WIDTH"] = options.pop("TILE_SIZE_W")
    unknown, missing = check_options(options)
    assert "TILE_SIZE_WIDTH is no option of StartProcess.py. Did you mean TILE_SIZE_W?" in unknown
    assert "TILE_SIZE_W is missing in StartProcess.py" in missing


def test_an_option_like_no_other_gets_no_suggestion(options):
    (problem,) = check_options(options | {"XYZZY": 1})
    assert "XYZZY is no option" in problem
    assert "Did you mean" not in problem


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PRESET", "fast", 'PRESET is \'fast\' (str); allowed is "published", "quick" or "auto"'),
        ("ROOT_DIR", "", "ROOT_DIR is '' (str); allowed is the name of a folder"),
        ("ROOT_DIR", None, "ROOT_DIR is None (NoneType)"),
        ("INPUT_DIR_IMAGES", 3, "INPUT_DIR_IMAGES is 3 (int)"),
        ("INPUT_DIR_MASKS", 3, "allowed is the name of a folder, in quotes"),
        ("OUTPUT_DIR_CYCLEGAN", 3, "allowed is the name of a folder"),
        ("OUTPUT_DIR_UNET", 3, "allowed is the name of a folder"),
        ("RESULTS_DIR", 3, "allowed is the name of a folder"),
        ("TRUE_MASKS_DIR", 3, "allowed is the name of a folder"),
        ("TILE_SIZE_W", 384.0, "TILE_SIZE_W is 384.0 (float); allowed is a whole number"),
        ("TILE_SIZE_H", 16, "allowed is a whole number of at least 46"),
        ("NUM_SIMULATED_MASKS", 1, "allowed is a whole number from 2 to 99,999"),
        ("INVERT_INPUT_MASKS", 1, "allowed is True or False"),
        ("WHEN_A_NETWORK_FAILS", "go on", 'allowed is "stop" or "warn"'),
        ("DETERMINISTIC", "yes", "allowed is True or False"),
        ("DARK_BACKGROUND", "False", "DARK_BACKGROUND is 'False' (str); allowed is True or False"),
        ("RUN_INFERENCE_ON_WHOLE_IMAGE", 1, "allowed is True or False"),
        ("IMAGE_CROP", "yes", 'allowed is "auto" or None, or a whole number of at least 1'),
        ("MICROGRAPH_SCALE", 0, 'allowed is "auto", or a number from 0.1 to 10'),
        ("PIXEL_SIZE_NM", 0, "allowed is None, or a number above 0"),
        ("SEED", -1, "allowed is a whole number from 0 to 4,294,967,295"),
        ("RESUME", None, "allowed is True or False"),
        ("CHECKPOINT_MINUTES", 0, "allowed is a number above 0"),
        ("PRECISION", "float16", 'allowed is "float32", "mixed_bfloat16" or "auto"'),
        (
            "USE_GPUS_NO",
            "two",
            '"all", or a whole number of at least 0, or a list of their numbers',
        ),
        ("USE_GPUS_NO", [], "a list of their numbers such as [0, 2]"),
        ("USE_GPU_FOR_WHOLE_IMAGE_INFERENCE", "maybe", 'allowed is "auto", True or False'),
        ("ALLOW_MEMORY_GROWTH", "yes", "allowed is True or False"),
        ("WGAN_BATCH_SIZE", 1, "allowed is a whole number of at least 2"),
        ("WGAN_EPOCHS", 0, "allowed is a whole number of at least 1"),
        ("MAX_PARTICLE_OVERLAP", 1.5, "allowed is a number from 0 to 1"),
        ("CYCLEGAN_BATCH_SIZE", 0, "allowed is a whole number of at least 1"),
        ("CYCLEGAN_EPOCHS", "50", "CYCLEGAN_EPOCHS is '50' (str)"),
        ("CYCLEGAN_USE_SKIPS", 0, "allowed is True or False"),
        ("CYCLEGAN_FILTERS", 0, "allowed is a whole number from 1 to 1,024"),
        ("GAUSSIAN_BLUR_AMOUNT", -0.5, "allowed is a number from 0 to 100"),
        ("UNET_BATCH_SIZE", True, "UNET_BATCH_SIZE is True (bool)"),
        ("UNET_EPOCHS", 1e3, "UNET_EPOCHS is 1000.0 (float)"),
        ("UNET_CONTRAST_OPTIMIZATION_RANGE", (99.5, 0.5), "the lower one first"),
        ("UNET_FILTERS", 3, "allowed is a whole number from 4 to 1,024"),
        ("USE_DATALOADER", "no", "allowed is True or False"),
        ("WGAN_DIR", 1, "allowed is the name of a folder"),
        ("CYCLEGAN_DIR", 1, "allowed is the name of a folder"),
        ("UNET_DIR", 1, "allowed is the name of a folder"),
        ("MATCH_SCENES", "True", "allowed is True or False"),
        ("OUTLINE_SOURCE", "gan", 'allowed is "wgan" or "augmented"'),
        ("UNET_TARGET", "masks", 'allowed is "mask" or "instances"'),
        ("UNET_TEST_TIME_FLIPS", "flips", 'allowed is True, "rotations" or False'),
        ("UNET_TEST_TIME_MAGNIFICATION", 0.5, "allowed is a number from 1 to 4"),
        ("UNET_VARY_IMAGING", 1, "allowed is True or False"),
        ("UNET_GAP_WEIGHT", -1, "allowed is a number of at least 0"),
        ("USE_XLA", "yes", 'allowed is "auto", or True or False'),
        ("TILE_SIZE_W", 10**400, "allowed is a whole number from 46 to 1,000,000,000"),
        ("ROOT_DIR", "C:\new\table", 'with / or two backslashes between its parts ("C:/new")'),
        ("INPUT_DIR_IMAGES", "~/data", "in full: ~ does not stand for your home folder here"),
    ],
)
def test_a_wrong_value_is_said_with_what_is_allowed(options, name, value, words):
    (problem,) = check_options(options | {name: value})
    assert problem.startswith(f"{name} is ")
    assert words in problem
    assert problem.endswith("Change it at the top of StartProcess.py.")


def test_the_range_of_every_option_is_tested():
    (mark,) = test_a_wrong_value_is_said_with_what_is_allowed.pytestmark
    assert {name for name, *_ in mark.args[1]} == OPTION_CHECKS.keys()


def test_options_in_other_case_are_told_of(options):
    names = options | {"Tile_Size_H": 64, "tile_size_w": 64, "preset": min, "run_workflow": 1}
    mixed, lower = describe_names_in_other_case(names)
    assert mixed.startswith("Tile_Size_H is not read: the names of options are in capitals, and T")
    assert lower.startswith("tile_size_w is not read") and "TILE_SIZE_W is one." in lower


def test_a_long_wrong_value_is_shortened(options):
    (problem,) = check_options(options | {"SEED": "x" * 5000})
    assert len(problem) < 200


def test_xla_does_not_go_with_deterministic(options, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # which has no XLA
    assert check_options(options | {"DETERMINISTIC": True, "USE_XLA": True}) == []
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    (problem,) = check_options(options | {"DETERMINISTIC": True, "USE_XLA": True})
    assert problem.startswith("DETERMINISTIC is True and USE_XLA is True, but not all of XLA's")
    assert 'Allowed with DETERMINISTIC = True is USE_XLA = "auto" or False' in problem
    for deterministic, use_xla in ((True, "auto"), (True, False), (False, True)):
        assert check_options(options | {"DETERMINISTIC": deterministic, "USE_XLA": use_xla}) == []


def test_a_backend_among_the_options_comes_too_late(options, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert check_options(options | {"KERAS_BACKEND": "tensorflow"}) == []
    (problem,) = check_options(options | {"KERAS_BACKEND": "torch"})
    assert problem.startswith(
        "KERAS_BACKEND = 'torch' has no effect in StartProcess.py: tensorflow"
    )
    assert "os.environ.setdefault at the top of the file" in problem


def test_an_output_folder_must_not_be_an_input_folder(options, tmp_path):
    (problem,) = check_options(
        options | {"OUTPUT_DIR_UNET": tmp_path / "Input_Images" / ".." / "Input_Images"}
    )
    assert "INPUT_DIR_IMAGES and OUTPUT_DIR_UNET are both" in problem
    assert "each needs a folder of its own" in problem


def test_input_must_not_lie_in_a_folder_that_is_emptied(options, tmp_path):
    (problem,) = check_options(options | {"INPUT_DIR_MASKS": tmp_path / "2_CycleGAN" / "masks"})
    assert "INPUT_DIR_MASKS is" in problem
    assert "inside of CYCLEGAN_DIR" in problem
    assert "which a run empties before it writes there" in problem
    (problem,) = check_options(options | {"INPUT_DIR_MASKS": tmp_path / "1_WGAN" / "masks"})
    assert "inside of WGAN_DIR" in problem
    assert "which is for what a run makes" in problem


@pytest.mark.skipif(os.name != "posix", reason="links need a permission on Windows")
def test_links_to_an_input_folder_are_seen_through(options, tmp_path):
    (tmp_path / "Input_Images").mkdir()
    (tmp_path / "Masks").symlink_to(tmp_path / "Input_Images")
    (problem,) = check_options(options | {"OUTPUT_DIR_CYCLEGAN": tmp_path / "Masks"})
    assert "INPUT_DIR_IMAGES and OUTPUT_DIR_CYCLEGAN are both" in problem


def test_results_must_not_lie_in_a_folder_that_is_emptied(options, tmp_path):
    (problem,) = check_options(
        options | {"RESULTS_DIR": tmp_path / "Output_Masks_UNet" / "Results"}
    )
    assert "RESULTS_DIR is" in problem
    assert "inside of OUTPUT_DIR_UNET" in problem
    assert "change one of the two" in problem


def test_the_true_masks_may_be_no_result(options):
    (problem,) = check_options(options | {"TRUE_MASKS_DIR": options["OUTPUT_DIR_UNET"]})
    assert "TRUE_MASKS_DIR and OUTPUT_DIR_UNET are both" in problem


def test_all_problems_come_at_once(options):
    problems = check_options(options | {"SEED": -1, "WGAN_EPOCHS": 0, "TILE": 5, "IMAGE_CROP": -1})
    assert len(problems) == 4

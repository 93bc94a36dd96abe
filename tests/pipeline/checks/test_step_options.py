import importlib
import inspect

import numpy as np
import pytest

from pipeline.checks import step_options as module
from pipeline.checks.step_options import (
    KEYWORD_CHECKS,
    KEYWORD_CHECKS_OF_STEP,
    check_combinations,
    check_step_options,
    step_keywords,
    wrong_keywords,
)
from pipeline.chosen_scale import with_scale
from tests.start_process import default_calls, default_options

_, CALLS = with_scale({}, default_calls(default_options()))
KEYWORDS = {step_name: keywords for _, step_name, keywords in CALLS}


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A step of its own, which would fail if it were imported."""
    (tmp_path / "train_example.py").write_text(
        "import a_network_library_that_is_not_there\n\n"
        "def helper(x):\n    pass\n\n"
        "def train_example(*, cyclegan_dir, epochs, use_random_rotation='DISABLE', pool_size=50):\n"
        "    pass\n"
    )
    monkeypatch.setattr(module, "STEPS_FOLDER", tmp_path)
    return {"cyclegan_dir": "2_CycleGAN", "epochs": 3}


def test_the_keywords_are_found_without_importing_the_step(step):
    assert step_keywords("train_example") == (
        {"cyclegan_dir", "epochs", "use_random_rotation", "pool_size"},
        {"cyclegan_dir", "epochs"},
    )
    assert check_step_options("train_example", step) == []


def test_an_unknown_keyword_is_named_with_the_nearest(step):
    (problem,) = check_step_options("train_example", step | {"poolsize": 5})
    assert "train_example: poolsize is no option of this step. Did you mean pool_size?" in problem
    assert "Correct it in the call of train_example in StartProcess.py." in problem


def test_a_missing_keyword_is_named(step):
    del step["epochs"]
    (problem,) = check_step_options("train_example", step)
    assert "train_example: the option epochs is missing" in problem


def test_a_wrong_value_is_said_with_what_is_allowed(step):
    (problem,) = check_step_options("train_example", step | {"use_random_rotation": "RANDM"})
    assert "train_example: use_random_rotation is 'RANDM' (str)" in problem
    assert 'allowed is "DISABLE", "RANDOM" or "PERLIN"' in problem


def test_every_keyword_of_start_process_has_a_check():
    for step_name, keywords in KEYWORDS.items():
        checked = KEYWORD_CHECKS.keys() | KEYWORD_CHECKS_OF_STEP.get(step_name, {}).keys()
        assert keywords.keys() <= checked, step_name


def test_no_check_is_left_over():
    used = set().union(*(keywords.keys() for keywords in KEYWORDS.values()))
    assert KEYWORD_CHECKS.keys() <= used | {"resume"}  # which the run adds


@pytest.mark.parametrize("step_name", KEYWORDS)
def test_the_default_calls_are_allowed(step_name):
    assert check_step_options(step_name, KEYWORDS[step_name]) == []


@pytest.mark.parametrize(
    ("step_name", "name", "value", "words"),
    [
        ("prepare_images", "min_overlap", -1, "of at least 0"),
        ("prepare_images", "num_tiles", 0, "from 2 to 99,999"),
        ("train_wgan", "batch_size", 1, "of at least 2"),
        ("train_wgan", "latent_size", 0, "of at least 1"),
        ("train_wgan", "critic_steps", 0.5, "a whole number"),
        ("train_wgan", "gradient_penalty_weight", -10, "a number of at least 0"),
        ("train_wgan", "learning_rate", 0, "above 0 and at most 1"),
        ("train_wgan", "beta_1", 1.0, "of at least 0 and below 1"),
        ("train_wgan", "beta_2", 1.5, "of at least 0 and below 1"),
        ("train_wgan", "checkpoint_minutes", -1, "a number above 0"),
        ("train_wgan", "preview_every", 0, "of at least 1"),
        ("simulate_masks", "wgan_model", "1_WGAN/Models/x", "a run folder such as"),
        ("simulate_masks", "grid_type", "hexagonal", '"HEXAGONAL", "CUBIC" or "DISABLE"'),
        ("simulate_masks", "grid_spacing_factor", 0, "above 0"),
        ("simulate_masks", "grid_noise_factor", -0.1, "from 0 to 10"),
        ("simulate_masks", "min_no_of_particles", 0, "of at least 1"),
        ("simulate_masks", "max_no_of_particles", "many", "a whole number"),
        ("simulate_masks", "use_perlin_noise", None, "True or False"),
        ("simulate_masks", "perlin_noise_threshold", 1.1, "from 0 to 1"),
        ("simulate_masks", "perlin_noise_frequency", 0, "a number above 0"),
        ("simulate_masks", "use_normal_distribution", "yes", "True or False"),
        ("simulate_masks", "scaling_mu", 0, "above 0"),
        ("simulate_masks", "scaling_sigma", -1, "from 0 to 10"),
        ("simulate_masks", "min_scaling", 0, "above 0"),
        ("simulate_masks", "max_scaling", 11, "at most 10"),
        ("simulate_masks", "use_random_rotation", True, '"DISABLE", "RANDOM" or "PERLIN"'),
        ("simulate_masks", "max_overlap", 2, "from 0 to 1"),
        ("train_cyclegan", "filters", 0, "from 1 to 1,024"),
        ("train_cyclegan", "lambda_cycle", 10.0, "two values in brackets"),
        ("train_cyclegan", "lambda_identity", (0.5, -1), "a number of at least 0"),
        ("train_cyclegan", "label_smoothing_factor", 1, "below 1"),
        ("train_cyclegan", "gaussian_noise_value", 1.1, "from 0 to 1"),
        ("train_cyclegan", "pool_size", -1, "of at least 0"),
        ("train_cyclegan", "constant_learning_rate_share", 75, "from 0 to 1"),
        ("train_cyclegan", "invert_images", 1, "True or False"),
        ("translate_images", "manage_overlap_mode", 3, "0, 1 or 2"),
        ("translate_images", "use_gpu_for_whole_image", "no", '"auto", True or False'),
        ("filter_masks", "threshold", 256, "from -255 to 255"),
        ("filter_masks", "min_distance", 0, "of at least 1"),
        ("train_unet", "filters", 2, "from 4 to 1,024"),
        ("train_unet", "contrast_range", (5, 101), "the lower one first"),
        ("train_unet", "least_fidelity", -0.5, "from 0 to 1"),
        ("train_unet", "validation_share", 0, "above 0 and below 1"),
        ("train_unet", "learning_rate_schedule", "COSINE", '"STEP_DECAY" or "LINEAR_DECAY", or a'),
        ("measure_particles", "filters", {"area": 50}, "the lowest and the highest value"),
        ("measure_particles", "filters", {"aera": (50, None)}, "ranges of what is measured: cent"),
        ("measure_particles", "exclude_border", "no", "True or False"),
        ("measure_particles", "pixel_size_nm", -2.5, "None, or a number above 0"),
    ],
)
def test_each_advanced_option_is_checked(step_name, name, value, words):
    assert name in KEYWORDS[step_name]
    wrong = wrong_keywords(step_name, KEYWORDS[step_name] | {name: value})
    assert wrong.keys() == {name}
    assert words in wrong[name]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"use_binary_crossentropy": True, "lambda_identity": (0.5, 0.5)},
            "use_binary_crossentropy=True does not go with lambda_identity=(0.5, 0.5)",
        ),
        (
            {"use_binary_crossentropy": True, "lambda_identity": (0, 0.1)},
            "Allowed is lambda_identity=(0, 0), or use_binary_crossentropy=False",
        ),
        (
            {"min_no_of_particles": 9, "max_no_of_particles": 8},
            "min_no_of_particles is 9 and max_no_of_particles is 8",
        ),
        (
            {"pool_size": 4, "batch_size": 5},
            "pool_size is 4 with batch_size 5; allowed is 0 for no pool, or at least 5",
        ),
        ({"min_scaling": 1.3, "max_scaling": 1.2}, "allowed is min_scaling up to max_scaling"),
        (
            {"use_normal_distribution": True, "scaling_mu": 1.0, "scaling_sigma": 0.5},
            "allowed is a sigma below 0.333",
        ),
        (
            {"min_overlap": 64, "tile_height": 64, "tile_width": 128},
            "min_overlap is 64, tile_height",
        ),
    ],
)
def test_options_that_do_not_go_together(options, words):
    (problem,) = check_combinations(options)
    assert words in problem


def test_noise_finer_than_the_pixels_does_not_go_with_the_tile():
    (problem,) = check_combinations({"perlin_noise_frequency": 40, "tile_height": 64})
    assert "perlin_noise_frequency is 40, tile_height 64" in problem
    assert "at most one period in two pixels" in problem


def test_options_that_go_together():
    assert check_combinations({"use_binary_crossentropy": True, "lambda_identity": (0, 0)}) == []
    assert check_combinations({"pool_size": 0, "batch_size": 5}) == []
    assert check_combinations({"pool_size": 5, "batch_size": 5}) == []
    assert check_combinations({"min_scaling": 1, "max_scaling": 1}) == []
    wide = {"use_normal_distribution": False, "scaling_mu": 1.0, "scaling_sigma": 0.5}
    assert check_combinations(wide) == []


@pytest.mark.parametrize("dark_background", [True, False])
def test_particles_are_bright_to_the_networks_whatever_they_are(dark_background):
    calls = default_calls(default_options() | {"DARK_BACKGROUND": dark_background})
    keywords = {step_name: keywords for _, step_name, keywords in calls}
    assert keywords["train_cyclegan"]["invert_images"] is not dark_background
    assert keywords["train_unet"]["dark_background"] is dark_background


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"diameter": (1, 2)}, "allowed is ranges of what is measured: centroid_y"),
        ({"area": (9, 2)}, "filters is {'area': (9, 2)} (dict); allowed is ranges by the name"),
        ({"area": (1, 2, 3)}, "area': (1, 2, 3)"),
        ({"area": ("small", None)}, "area': ('small', None)"),
        ({"area": (float("nan"), 5)}, "area': (nan, 5)"),
        ({"area": 50}, "area': 50}"),
    ],
)
def test_wrong_filters_are_explained(filters, words):
    step = KEYWORDS["measure_particles"]
    (problem,) = check_step_options("measure_particles", step | {"filters": filters})
    assert words in problem
    right = {"area": (50, None), "convexity": (0.8, 1.0), "touches_border": (None, 0)}
    assert check_step_options("measure_particles", step | {"filters": right}) == []


@pytest.mark.parametrize("step_name", KEYWORDS)
def test_a_step_called_from_python_refuses_what_a_run_would(step_name, tmp_path):
    step = getattr(importlib.import_module(f"pipeline.{step_name}"), step_name)
    options = KEYWORDS[step_name] | {
        name: tmp_path / name for name in KEYWORDS[step_name] if name.endswith("_dir")
    }
    assert {"resume", "earlier_warnings"} >= inspect.signature(step).parameters.keys() - options
    _, name = min((len(name), name) for name in options)
    wrong = options | {name: 1e300j}
    with pytest.raises(ValueError, match=rf"^{step_name}: {name} is 1e\+300j \(complex\)"):
        step(**wrong)
    del wrong[name]
    with pytest.raises(ValueError, match=f"{step_name}: the option {name} is missing"):
        step(**wrong)
    assert not any(tmp_path.iterdir())


def test_numbers_of_numpy_reach_a_step_as_pythons():
    seen = {}

    def prepare_images(**options):
        seen.update(options)

    step = module.refuses_wrong_options(prepare_images)
    given = {"num_tiles": np.int64(7), "dark_background": np.True_}
    step(**KEYWORDS["prepare_images"] | given)
    assert type(seen["num_tiles"]) is int and seen["num_tiles"] == 7
    assert seen["dark_background"] is True

"""The defaults in StartProcess.py are those of the publication, but where said, in both presets."""

import pytest

from tests.start_process import default_calls, default_options, published, quick


class Both(tuple):
    """The published value of an option, and that of the quick preset."""


# As published (v1.2.0), unless a comment says "ours".
OPTIONS = {
    "USE_GPUS_NO": "all",  # ours; published: 2
    "ROOT_DIR": "./",
    "INPUT_DIR_IMAGES": ".//Input_Images",
    "INPUT_DIR_MASKS": ".//Input_Masks",
    "OUTPUT_DIR_CYCLEGAN": ".//Output_Masks_CycleGAN",
    "OUTPUT_DIR_UNET": ".//Output_Masks_UNet",
    "TILE_SIZE_W": Both((384, 128)),
    "TILE_SIZE_H": Both((384, 128)),
    "NUM_SIMULATED_MASKS": Both((1000, 100)),
    "DARK_BACKGROUND": True,
    "RUN_INFERENCE_ON_WHOLE_IMAGE": True,
    "USE_GPU_FOR_WHOLE_IMAGE_INFERENCE": "auto",  # ours; published: False
    "ALLOW_MEMORY_GROWTH": True,
    "WGAN_BATCH_SIZE": Both((64, 16)),
    "WGAN_EPOCHS": Both((1000, 10)),
    "MAX_PARTICLE_OVERLAP": 0.5,
    "CYCLEGAN_BATCH_SIZE": Both((5, 1)),
    "CYCLEGAN_EPOCHS": Both((50, 10)),
    "CYCLEGAN_USE_SKIPS": Both((False, True)),
    "CYCLEGAN_FILTERS": Both((64, 8)),
    "GAUSSIAN_BLUR_AMOUNT": 0.0,
    "UNET_BATCH_SIZE": 5,
    "UNET_EPOCHS": Both((50, 8)),
    "UNET_CONTRAST_OPTIMIZATION_RANGE": (0.5, 99.5),
    "UNET_FILTERS": Both((16, 8)),
    "USE_DATALOADER": True,
    # Ours: the publication has no such options.
    "PRESET": "auto",
    "RESULTS_DIR": ".//Results",
    "TRUE_MASKS_DIR": ".//True_Masks",
    "WGAN_DIR": ".//1_WGAN",
    "CYCLEGAN_DIR": ".//2_CycleGAN",
    "UNET_DIR": ".//3_UNet",
    "INVERT_INPUT_MASKS": False,
    "IMAGE_CROP": "auto",
    "MICROGRAPH_SCALE": "auto",
    "PIXEL_SIZE_NM": None,
    "SEED": 42,
    "RESUME": True,
    "CHECKPOINT_MINUTES": 10,
    "PRECISION": Both(("float32", "auto")),
    "WHEN_A_NETWORK_FAILS": "stop",
    "DETERMINISTIC": False,
    "USE_XLA": "auto",
    "OUTLINE_SOURCE": Both(("wgan", "augmented")),
    "MATCH_SCENES": True,
    "UNET_TARGET": "instances",
    "UNET_TEST_TIME_FLIPS": "rotations",
    "UNET_TEST_TIME_MAGNIFICATION": 1.25,
    "UNET_VARY_IMAGING": True,
    "UNET_GAP_WEIGHT": 10.0,
}
# Of each step the advanced options; the others come from those above.
ADVANCED = {
    "0": {"min_overlap": 0},
    "1": {
        "latent_size": 128,
        "critic_steps": 3,
        "gradient_penalty_weight": 10.0,
        "learning_rate": 2e-4,
        "beta_1": 0.5,
        "beta_2": 0.9,
        "preview_every": 20,
    },
    "2": {
        "wgan_model": None,
        "grid_type": "HEXAGONAL",  # what the published default comes to
        "grid_spacing_factor": 0.125,
        "grid_noise_factor": 0.05,
        "min_no_of_particles": 100,
        "max_no_of_particles": 150,
        "use_perlin_noise": True,
        "perlin_noise_threshold": Both((0.5, 0.62)),
        "perlin_noise_frequency": Both((4, 6)),
        "use_normal_distribution": True,
        "scaling_mu": 1.0,
        "scaling_sigma": 0.10,
        "min_scaling": 0.75,
        "max_scaling": 1.25,
        "use_random_rotation": "DISABLE",
        "smoothing": "DISK",  # ours; published: a square
    },
    "3": {
        "use_resize_convolution": Both((False, True)),
        "use_binary_crossentropy": False,
        "lambda_cycle": (10.0, 10.0),
        "lambda_identity": (0.5, 0.5),
        "label_smoothing_factor": 0.0,
        "gaussian_noise_value": 0.0,
        "pool_size": 50,
        "learning_rate": 2e-4,
        "beta_1": 0.5,
        "constant_learning_rate_share": 0.75,
        "same_contrast": True,  # ours, on; those from here on off
    },
    "4": {"cyclegan_model": None, "min_overlap": 2, "manage_overlap_mode": 2},
    "5": {"threshold": -1, "watershed_lines": True, "min_distance": Both((9, 5))},
    "6a": {
        "use_brightness_and_contrast_augmentation": False,
        "most_steps": Both((None, 750)),  # ours, off in "published"
        "largest_particle_weight": 3.0,  # ours, None would be as published
        "least_fidelity": 0.0,  # ours: off
        "validation_share": 0.2,
        "learning_rate": 1e-3,
        "learning_rate_schedule": Both(("STEP_DECAY", "LINEAR_DECAY")),
        "batch_norm_momentum": Both((0.99, 0.9)),
    },
    "6b": {
        "usual_contrast": True,  # ours, on
        "unet_model": None,
        "min_overlap": 2,
        "manage_overlap_mode": 2,
        "threshold": -1,
        "watershed_lines": True,
        "min_distance": Both((9, 5)),
    },
    "7": {"exclude_border": True, "give_back_lines": True, "filters": {}},  # the second is ours
    "8": {"watershed_lines": True, "min_distance": Both((9, 5))},
}
# Of each step the options from above: keyword -> option.
EVERYWHERE = {
    "images_dir": "INPUT_DIR_IMAGES",
    "results_dir": "RESULTS_DIR",
    "true_masks_dir": "TRUE_MASKS_DIR",
    "wgan_dir": "WGAN_DIR",
    "cyclegan_dir": "CYCLEGAN_DIR",
    "unet_dir": "UNET_DIR",
    "tile_height": "TILE_SIZE_H",
    "tile_width": "TILE_SIZE_W",
    "dark_background": "DARK_BACKGROUND",
    "image_crop": "IMAGE_CROP",
    "micrograph_scale": "MICROGRAPH_SCALE",
    "seed": "SEED",
    "invert_masks": "INVERT_INPUT_MASKS",
    "checkpoint_minutes": "CHECKPOINT_MINUTES",
    "precision": "PRECISION",
    "when_failed": "WHEN_A_NETWORK_FAILS",
    "whole_image": "RUN_INFERENCE_ON_WHOLE_IMAGE",
    "use_gpu_for_whole_image": "USE_GPU_FOR_WHOLE_IMAGE_INFERENCE",
}
FROM_ABOVE = {
    "0": {"num_tiles": "NUM_SIMULATED_MASKS"},
    "1": {
        "masks_dir": "INPUT_DIR_MASKS",
        "batch_size": "WGAN_BATCH_SIZE",
        "epochs": "WGAN_EPOCHS",
    },
    "2": {
        "masks_dir": "INPUT_DIR_MASKS",
        "outline_source": "OUTLINE_SOURCE",
        "num_masks": "NUM_SIMULATED_MASKS",
        "max_overlap": "MAX_PARTICLE_OVERLAP",
        "match_scenes": "MATCH_SCENES",
    },
    "3": {
        "batch_size": "CYCLEGAN_BATCH_SIZE",
        "epochs": "CYCLEGAN_EPOCHS",
        "filters": "CYCLEGAN_FILTERS",
        "use_skip_connection": "CYCLEGAN_USE_SKIPS",
    },
    "5": {"output_dir": "OUTPUT_DIR_CYCLEGAN", "gaussian_blur_amount": "GAUSSIAN_BLUR_AMOUNT"},
    "6a": {
        "batch_size": "UNET_BATCH_SIZE",
        "epochs": "UNET_EPOCHS",
        "filters": "UNET_FILTERS",
        "target": "UNET_TARGET",
        "contrast_range": "UNET_CONTRAST_OPTIMIZATION_RANGE",
        "use_dataloader": "USE_DATALOADER",
        "vary_imaging": "UNET_VARY_IMAGING",
        "gap_weight": "UNET_GAP_WEIGHT",
    },
    "6b": {
        "output_dir": "OUTPUT_DIR_UNET",
        "average_flips": "UNET_TEST_TIME_FLIPS",
        "magnification": "UNET_TEST_TIME_MAGNIFICATION",
        "contrast_range": "UNET_CONTRAST_OPTIMIZATION_RANGE",
    },
    "7": {"masks_dir": "OUTPUT_DIR_UNET", "pixel_size_nm": "PIXEL_SIZE_NM"},
    "8": {"masks_dir": "OUTPUT_DIR_UNET"},
}
PRESETS = pytest.mark.parametrize("preset", [published, quick])


def chosen(table, preset):
    """Return a table with one value for each option."""
    return {
        name: preset(published=value[0], quick=value[1]) if isinstance(value, Both) else value
        for name, value in table.items()
    }


@PRESETS
def test_every_option_has_its_default(preset):
    assert default_options(preset=preset) == chosen(OPTIONS, preset)


@PRESETS
def test_every_advanced_option_has_its_default(preset):
    calls = default_calls(default_options(preset=preset), preset)
    assert [number for number, *_ in calls] == list(ADVANCED)
    for number, _, keywords in calls:
        expected = chosen(ADVANCED[number], preset)
        assert {name: keywords.get(name, "missing") for name in expected} == expected


@PRESETS
def test_every_option_reaches_the_steps_that_it_is_for(preset):
    """Each option has a value of its own here, so that none can stand for another."""
    options = {name: (name,) for name in OPTIONS} | {"OUTLINE_SOURCE": "wgan"}
    reached = set()
    for number, _, keywords in default_calls(options, preset):
        names = EVERYWHERE | FROM_ABOVE.get(number, {})
        for keyword, value in keywords.items():
            if keyword in ADVANCED[number]:
                continue
            if keyword == "invert_images":  # of step 3
                assert value is False
                reached.add("DARK_BACKGROUND")
                continue
            assert value == options[names[keyword]], (number, keyword)
            reached.add(names[keyword])
    # The others decide how all steps run, which, or where the folders are.
    assert set(OPTIONS) - reached == {
        "PRESET",
        "USE_GPUS_NO",
        "ROOT_DIR",
        "ALLOW_MEMORY_GROWTH",
        "DETERMINISTIC",
        "USE_XLA",
        "RESUME",
    }


@pytest.mark.parametrize(("source", "when_failed"), [("wgan", "stop"), ("augmented", "warn")])
def test_a_wgan_that_nothing_waits_for_need_not_stop_the_run(source, when_failed):
    options = default_options() | {"OUTLINE_SOURCE": source}
    (call,) = (keywords for number, _, keywords in default_calls(options) if number == "1")
    assert call["when_failed"] == when_failed

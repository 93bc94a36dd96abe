"""The advanced options inside the step calls: what each may be, and which go together."""

import ast
import functools
from collections.abc import Callable, Collection
from pathlib import Path

from pipeline.checks.options import (
    BLUR,
    CONTRAST_RANGE,
    CYCLEGAN_FILTERS,
    GPU_FOR_WHOLE_IMAGE,
    IMAGE_COUNT,
    IMAGE_CROP,
    MAGNIFICATION,
    MINUTES,
    OUTLINE_SOURCE,
    PIXEL_SIZE,
    POSITIVE,
    PRECISION,
    SCALE,
    SEED,
    SHARE,
    TEST_TIME_FLIPS,
    TILE_SIZE,
    UNET_FILTERS,
    UNET_TARGET,
    WEIGHT,
    WGAN_BATCH_SIZE,
    WHEN_FAILED,
    YES_NO,
    describe_wrong_value,
    suggest,
    wrong_values,
)
from pipeline.checks.values import (
    UNKNOWN,
    Check,
    as_plain,
    either,
    folder_name,
    measured_ranges,
    number,
    one_of,
    pair,
    run_name,
    whole_number,
)
from simulate.outlines import ROTATIONS, SMOOTHINGS
from simulate.positions import GRID_TYPES

STEPS_FOLDER = Path(__file__).parents[1]

OVERLAP = whole_number(0)
DECAY_RATE = number(0, 1, below=True)
FACTOR = number(0, 10, above=True)

# Every keyword of the step calls and what it may be. A new keyword gets its line here.
KEYWORD_CHECKS: dict[str, Check] = {
    # folders and models
    "images_dir": folder_name,
    "masks_dir": folder_name,
    "true_masks_dir": folder_name,
    "wgan_dir": folder_name,
    "cyclegan_dir": folder_name,
    "unet_dir": folder_name,
    "output_dir": folder_name,
    "results_dir": folder_name,
    "wgan_model": run_name,
    "cyclegan_model": run_name,
    "unet_model": run_name,
    # images and tiles
    "tile_height": TILE_SIZE,
    "tile_width": TILE_SIZE,
    "min_overlap": OVERLAP,
    "manage_overlap_mode": one_of(0, 1, 2),
    "num_tiles": IMAGE_COUNT,
    "dark_background": YES_NO,
    "invert_masks": YES_NO,
    "match_scenes": YES_NO,
    "average_flips": TEST_TIME_FLIPS,
    "magnification": MAGNIFICATION,
    "image_crop": IMAGE_CROP,
    "micrograph_scale": SCALE,
    "contrast_range": either(one_of(None), CONTRAST_RANGE),
    "whole_image": YES_NO,
    "use_gpu_for_whole_image": GPU_FOR_WHOLE_IMAGE,
    # training
    "resume": YES_NO,
    "seed": SEED,
    "precision": PRECISION,
    "when_failed": WHEN_FAILED,
    "batch_size": POSITIVE,
    "epochs": POSITIVE,
    "most_steps": either(one_of(None), POSITIVE),
    "learning_rate": number(0, 1, above=True),
    "beta_1": DECAY_RATE,
    "beta_2": DECAY_RATE,
    "batch_norm_momentum": DECAY_RATE,
    "latent_size": POSITIVE,
    "target": UNET_TARGET,
    "critic_steps": POSITIVE,
    "gradient_penalty_weight": WEIGHT,
    "preview_every": POSITIVE,
    "checkpoint_minutes": MINUTES,
    "use_skip_connection": YES_NO,
    "use_resize_convolution": YES_NO,
    "use_binary_crossentropy": YES_NO,
    "invert_images": YES_NO,
    "same_contrast": YES_NO,
    "lambda_cycle": pair(WEIGHT),
    "lambda_identity": pair(WEIGHT),
    # At 1 real and fake have the same target, and nothing is learned.
    "label_smoothing_factor": number(0, 1, below=True),
    "gaussian_noise_value": SHARE,
    "pool_size": whole_number(0),
    "constant_learning_rate_share": SHARE,
    "use_dataloader": YES_NO,
    "use_brightness_and_contrast_augmentation": YES_NO,
    "vary_imaging": YES_NO,
    "usual_contrast": YES_NO,
    "gap_weight": WEIGHT,
    "largest_particle_weight": either(one_of(None), number(0, above=True)),
    "least_fidelity": SHARE,
    "validation_share": number(0, 1, above=True, below=True),
    "learning_rate_schedule": either(
        one_of("STEP_DECAY", "LINEAR_DECAY"), number(0, 1, above=True)
    ),
    # simulated masks
    "outline_source": OUTLINE_SOURCE,
    "num_masks": IMAGE_COUNT,
    "grid_type": one_of(*GRID_TYPES),
    "grid_spacing_factor": FACTOR,
    "grid_noise_factor": number(0, 10),
    "min_no_of_particles": POSITIVE,
    "max_no_of_particles": POSITIVE,
    "use_perlin_noise": YES_NO,
    "perlin_noise_threshold": SHARE,
    "perlin_noise_frequency": number(0, above=True),
    "use_normal_distribution": YES_NO,
    "scaling_mu": FACTOR,
    "scaling_sigma": number(0, 10),
    "min_scaling": FACTOR,
    "max_scaling": FACTOR,
    "use_random_rotation": one_of(*ROTATIONS),
    "smoothing": one_of(*SMOOTHINGS),
    "max_overlap": SHARE,
    # masks and measurements
    "gaussian_blur_amount": BLUR,
    "threshold": number(-255, 255),
    "watershed_lines": YES_NO,
    "min_distance": POSITIVE,
    "pixel_size_nm": PIXEL_SIZE,
    "exclude_border": YES_NO,
    "give_back_lines": YES_NO,
}

# Keywords that mean something of their own in one step.
KEYWORD_CHECKS_OF_STEP: dict[str, dict[str, Check]] = {
    "train_wgan": {"batch_size": WGAN_BATCH_SIZE},
    "train_cyclegan": {"filters": CYCLEGAN_FILTERS},
    "train_unet": {"filters": UNET_FILTERS},
    "measure_particles": {"filters": measured_ranges},
}


def refuses_wrong_options(step: Callable) -> Callable:
    """Return a step's function that begins with the check of its options.

    StartProcess.py has them checked before a run; whoever calls a step from Python has it here.

    Raises
    ------
    ValueError
        If an option is missing, unknown, wrong, or does not go with another; a line for each.
    """

    @functools.wraps(step)
    def checked_step(**options):
        options = as_plain(options)
        if problems := check_step_options(step.__name__, options, place=""):
            raise ValueError("\n".join(problems))
        return step(**options)

    return checked_step


def step_keywords(step_name: str) -> tuple[set[str], set[str]]:
    """Return the names of all and of the required keywords of a step's function.

    They are read from the text of ``pipeline/<step_name>.py``: importing it would load a
    network library.
    """
    text = (STEPS_FOLDER / f"{step_name}.py").read_text(encoding="utf-8")
    given = next(
        node.args
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == step_name
    )
    keywords = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    required = {name.arg for name, default in keywords if default is None}
    return {name.arg for name in given.kwonlyargs}, required


def wrong_keywords(step_name: str, keywords: dict[str, object]) -> dict[str, str]:
    """Return, by keyword of a step call, what would be allowed where the value is not."""
    return wrong_values(keywords, KEYWORD_CHECKS | KEYWORD_CHECKS_OF_STEP.get(step_name, {}))


def check_step_options(
    step_name: str,
    keywords: dict[str, object],
    said: Collection[tuple[str, str]] = (),
    place: str = " in StartProcess.py",
) -> list[str]:
    """Return the problems of one step call, each in a line; an empty list if it can start.

    ``said``: wrong values, as their repr and what is allowed, that need not be said again;
    ``place``: where the call stands, for the messages.
    """
    known, required = step_keywords(step_name)
    where = f"Correct it in the call of {step_name}{place}."
    problems = [
        f"{step_name}: {name} is no option of this step.{suggest(name, known)} {where}"
        for name in keywords
        if name not in known
    ]
    problems += [
        f"{step_name}: the option {name} is missing. Add it to the call of {step_name}{place}."
        for name in sorted(required - keywords.keys())
    ]
    wrong = wrong_keywords(step_name, keywords)
    problems += [
        f"{step_name}: {describe_wrong_value(name, keywords[name], allowed)} {where}"
        for name, allowed in wrong.items()
        if (repr(keywords[name]), allowed) not in said
    ]
    right = {
        name: value
        for name, value in keywords.items()
        if name not in wrong and value is not UNKNOWN
    }
    return problems + [f"{step_name}: {problem}" for problem in check_combinations(right)]


def check_combinations(options: dict[str, object]) -> list[str]:
    """Return which advanced options of one call, each allowed by itself, do not go together."""
    problems = []
    for low, high in (
        ("min_no_of_particles", "max_no_of_particles"),
        ("min_scaling", "max_scaling"),
    ):
        if low in options and high in options and options[low] > options[high]:
            problems.append(
                f"{low} is {options[low]} and {high} is {options[high]}; allowed is {low} up to "
                f"{high}. Swap them."
            )
    mu, sigma = options.get("scaling_mu"), options.get("scaling_sigma")
    if options.get("use_normal_distribution") and mu and sigma and mu - 3 * sigma <= 0:
        problems.append(
            f"scaling_sigma is {sigma} with scaling_mu {mu}, so that the smallest scale, mu - 3 "
            f"sigma, is not above 0; allowed is a sigma below {mu / 3:.3g}. Lower scaling_sigma."
        )
    identity = options.get("lambda_identity")
    if options.get("use_binary_crossentropy") and identity and any(identity):
        problems.append(
            f"use_binary_crossentropy=True does not go with lambda_identity={identity}: masks from "
            "0 to 1 have no identity loss. Allowed is lambda_identity=(0, 0), or "
            "use_binary_crossentropy=False. Change one of them."
        )
    pool, batch = options.get("pool_size", 0), options.get("batch_size", 0)
    if 0 < pool < batch:
        problems.append(
            f"pool_size is {pool} with batch_size {batch}; allowed is 0 for no pool, or at least "
            f"{batch}. Raise pool_size or lower CYCLEGAN_BATCH_SIZE."
        )
    overlap = options.get("min_overlap", 0)
    frequency = options.get("perlin_noise_frequency", 0)
    for side in ("tile_height", "tile_width"):
        if side in options and frequency > options[side] / 2:
            problems.append(
                f"perlin_noise_frequency is {frequency}, {side} {options[side]}; allowed is at "
                "most one period in two pixels. Lower perlin_noise_frequency."
            )
        if side in options and overlap >= options[side]:
            problems.append(
                f"min_overlap is {overlap}, {side} {options[side]}; allowed is an overlap smaller "
                "than the tile. Lower min_overlap."
            )
    return problems

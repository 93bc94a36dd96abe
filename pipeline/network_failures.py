"""Networks that went wrong although their losses look right: known by what they put out.

What is found is said in words; WHEN_A_NETWORK_FAILS decides whether the step then stops.
Source: the ways in which such networks fail, as reported by users of the published workflow.
"""

import logging

import numpy as np

from pipeline.particle_masks import contrast_correlation
from simulate.outlines import carve_core

logger = logging.getLogger(__name__)

STOP, WARN = "stop", "warn"
CONSTANT = 0.01  # standard deviation of an image, as a share of the range it could have
FULL = 0.98  # share of an image's pixels from which on no background is left
MOST_EMPTY = 0.5  # share of a WGAN's outlines: with more, simulated masks are nearly empty
UNRELATED = 0.05  # correlation of a micrograph with its mask below which they have little in common


def act_on_failure(problem: str | None, when_failed: str) -> None:
    """Stop the step, or only say what was found; ``problem`` None is no problem.

    Raises
    ------
    ValueError
        With ``problem``, if ``when_failed`` is "stop".
    """
    if problem is None:
        return
    if when_failed == STOP:
        raise ValueError(f'{problem} To go on all the same: WHEN_A_NETWORK_FAILS = "{WARN}".')
    logger.warning(problem)


def describe_outlines(outlines: np.ndarray) -> str | None:
    """Return what is wrong with a sample of the WGAN's outlines, uint8 (n, h, w), or None."""
    cores = [carve_core(np.pad(outline, 1))[0] for outline in outlines]
    empty = sum(not core.any() for core in cores)
    if empty > MOST_EMPTY * len(cores):
        found = "hold no particle that is left after smoothing (about 10 pixels wide)"
    elif min(float(np.mean(outline > 127)) for outline in outlines) > FULL:
        found = "are white all over"
        empty = len(outlines)
    else:
        return None
    return (
        f"The WGAN has not learned to draw outlines: {empty} of {len(outlines)} samples {found}. "
        "Look at the sheets in 1_WGAN/Output_Images. Train for more epochs (WGAN_EPOCHS), with "
        'another SEED, or set OUTLINE_SOURCE = "augmented"; if the outlines in Input_Masks are '
        "smaller than 10 pixels, raise MICROGRAPH_SCALE."
    )


def describe_coverage(label_maps: list[np.ndarray], options: dict) -> str | None:
    """Return what is wrong if label maps, simulated by ``options``, are all empty or all full."""
    covered = [float(np.mean(labels > 0)) for labels in label_maps]
    if max(covered) > 0 and min(covered) < FULL:
        return None
    are_empty = max(covered) == 0
    found = "hold no particle" if are_empty else f"are full (more than {FULL:.0%} covered)"
    if options["match_scenes"]:
        what_to_do = (
            "That is how much of the tiles in 2_CycleGAN/data/trainA seems to be covered: look "
            "whether DARK_BACKGROUND is right for them, or set MATCH_SCENES = False"
        )
    else:
        what_to_do = f"To change that, {_change_of_coverage(are_empty, options)}"
    return (
        f"The first {len(covered)} simulated masks {found}. {what_to_do}. Look at the outlines "
        'too, in 1_WGAN/Output_Images, or in Input_Masks with OUTLINE_SOURCE = "augmented".'
    )


def _change_of_coverage(more: bool, options: dict) -> str:
    """Return which options to change so that simulated masks are covered more, or less."""
    # Of options that add particles, and of those that leave room for fewer.
    adding, thinning = ("raise", "lower") if more else ("lower", "raise")
    change = f"{thinning} grid_spacing_factor"
    if options["grid_type"] == "DISABLE":
        change = f"{adding} min_no_of_particles and max_no_of_particles"
    if options["use_perlin_noise"]:
        threshold = options["perlin_noise_threshold"]
        noise = f"{thinning} perlin_noise_threshold (it is {threshold}; allowed is 0 to 1)"
        # Where the noise leaves no place free, more particles find none.
        change = noise if more else f"{noise}, or {change}"
    elif not more:
        change = f"set use_perlin_noise to True, or {change}"
    return f"{change}, or enlarge the tiles" if more else change


def describe_translations(
    masks: np.ndarray, micrographs: np.ndarray, simulated: np.ndarray
) -> str | None:
    """Return what is wrong with a CycleGAN's fakes, if something is.

    Parameters
    ----------
    masks : uint8 (n, h, w), made from real micrographs.
    micrographs : uint8 (m, h, w), made from ``simulated``.
    simulated : uint8 (m, h, w), the masks, 0 outside the particles.
    """
    for name, images in (("masks", masks), ("micrographs", micrographs)):
        if all(image.std() < 255 * CONSTANT for image in images):
            return _describe_cyclegan(f"all of {len(images)} fake {name} are of one grey")
    pairs = zip(simulated, micrographs, strict=True)
    correlations = [abs(contrast_correlation(mask, image)) for mask, image in pairs]
    known = [value for value in correlations if not np.isnan(value)]  # of masks with particles
    if known and max(known) < UNRELATED:
        return _describe_cyclegan(
            f"the fake micrographs do not show the particles of their masks (correlation below "
            f"{UNRELATED} for all of {len(known)})"
        )
    return None


def _describe_cyclegan(found):
    return (
        f"The CycleGAN has failed: {found}. Look at the sheets in 2_CycleGAN/images. Train again "
        "with another SEED or more CYCLEGAN_EPOCHS; with few epochs, CYCLEGAN_USE_SKIPS = True "
        "helps, and masks that cover as much of a tile as the particles do in the micrographs."
    )


def describe_contrast(correlation: float, dark_background: bool) -> str | None:
    """Return what is wrong if the fake micrographs' mean correlation with the masks has the sign
    that ``dark_background`` does not expect."""
    expected = 1 if dark_background else -1
    if correlation * expected > -UNRELATED:
        return None
    return (
        f"The contrast is inverted: the particles of the fake micrographs are "
        f"{'darker' if dark_background else 'brighter'} than their background (correlation with "
        f"the masks {correlation:+.2f}), but DARK_BACKGROUND is {dark_background}. If that is "
        "right for these micrographs, the CycleGAN has exchanged particles and background: see "
        "the sheets in 2_CycleGAN/images; train it again with another SEED or with "
        "invert_images changed. Else change DARK_BACKGROUND."
    )


def describe_probabilities(empty: list[str], number: int, threshold: float) -> str | None:
    """Return what is wrong if the UNet sees no particle in all of ``number`` micrographs.

    ``empty`` names those in which it does not; a few of them may simply hold none. ``threshold``
    is what the probabilities, 0 to 255, were cut at; negative: Otsu's.
    """
    if len(empty) < number:
        return None
    all_of_them = f"any of {number} micrographs" if number > 1 else "the only micrograph"
    if threshold >= 0:
        return (
            f"No particle is left in {all_of_them} above the threshold of step 6b, "
            f"{threshold}. Lower it, or give -1 for Otsu's. If that finds none either, the UNet "
            "has failed, and this text then says what to do."
        )
    return (
        f"The UNet has failed: it finds no particle in {all_of_them}. Its "
        "probability is the same all over, or hardly anywhere above one half, or it takes no place "
        "for the inside of a particle. Compare the fake micrographs in "
        "2_CycleGAN/generate_images/A with yours: if they differ in brightness or texture, train "
        "step 3 for longer; if they are alike, train step 6a for more epochs (UNET_EPOCHS)."
    )

"""The scale at which the steps work, and whether each goes on at that of the steps before it, and
with tiles of their size."""

import logging
from contextlib import suppress
from pathlib import Path

from pipeline.checks.values import folder_name
from pipeline.files.records import read_record
from pipeline.image_files import list_images, read_micrograph
from pipeline.micrographs.micrograph_scale import AUTO, OF_STEPS, reduced, scale_for_outlines
from pipeline.micrographs.resampling import scaled_size
from pipeline.progress import progress
from pipeline.run_folders import finished_runs
from pipeline.running.cyclegan_folders import RAW_MASKS, TILES
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import NETWORKS, RUNS, Call, named, reads_of

logger = logging.getLogger(__name__)


def with_scale(options: dict, calls: list[Call] | None) -> tuple[dict, list[Call] | None]:
    """Return options and step calls with a number wherever MICROGRAPH_SCALE is "auto".

    Parameters
    ----------
    options : the options of StartProcess.py by name; some may be missing or wrong.
    calls : of the steps that will run; None for all steps.

    It is the scale that the outlines want (`scale_for_outlines`). Where step 0 is not to run, or no
    outline can be read, it is that of the tiles step 0 made before, so that a step that runs alone
    goes on as the others began. Without either it is 1.
    """
    asked = [options.get("MICROGRAPH_SCALE")]
    asked += [keywords.get("micrograph_scale") for *_, keywords in calls or []]
    if AUTO not in asked:
        return options, calls
    cuts_tiles = calls is None or any(number == "0" for number, *_ in calls)
    of_tiles = scale_of_tiles(options.get("CYCLEGAN_DIR"))
    scale = None if of_tiles and not cuts_tiles else _scale_of_outlines(options)
    scale = scale or of_tiles or 1.0
    if calls is not None:
        calls = [
            Call(
                *call, {k: scale if (k, v) == (OF_STEPS, AUTO) else v for k, v in keywords.items()}
            )
            for *call, keywords in calls
        ]
    if options.get("MICROGRAPH_SCALE") == AUTO:
        options = options | {"MICROGRAPH_SCALE": scale}
    return options, calls


def scale_of_tiles(cyclegan_dir) -> float | None:
    """Return the scale at which step 0 cut the tiles that are there, None where it is not known."""
    if cyclegan_dir is None or folder_name(cyclegan_dir):
        return None
    record = read_record(Path(cyclegan_dir) / TILES / MADE_WITH)
    return record.get(OF_STEPS, 1.0) if record else None  # there was no such option before


def scale_of_network(run_folder: Path) -> float | None:
    """Return the scale at which a network's run learned, None where its options do not say."""
    options = read_record(Path(run_folder) / "options.json").get("options")
    return options.get(OF_STEPS) if isinstance(options, dict) else None


def check_scale_of_network(network: str, run_folder: Path, scale: float) -> None:
    """Raise a ValueError if a run of "wgan" or "cyclegan" learned at another scale than this."""
    learned = scale_of_network(run_folder)
    if learned not in (None, scale):
        raise ValueError(
            f"The {NETWORKS[network].title} in {run_folder} learned at MICROGRAPH_SCALE = "
            f"{learned:g}, but it is {scale:g} now. Run {named(NETWORKS[network].step)} again, or "
            "set it as it was."
        )


def check_scale_of_tiles(cyclegan_dir: Path, scale: float) -> None:
    """Raise a ValueError if step 0 cut the tiles that are there at another scale than this."""
    cut_at = scale_of_tiles(cyclegan_dir)
    if cut_at not in (None, scale):
        raise ValueError(
            f"The tiles in {cyclegan_dir} were cut at MICROGRAPH_SCALE = {cut_at:g}, but it is "
            f"{scale:g} now. Run {named('0')} and the steps after it again, or set it as it was."
        )


def _scale_of_outlines(options):
    """Return the scale that the outlines want and at which a tile fits every micrograph, or None.

    Where none fits as they are the scale is 1; of that the checks tell.
    """
    masks_dir = options.get("INPUT_DIR_MASKS")
    if masks_dir is None or folder_name(masks_dir):
        return None
    wanted = scale_for_outlines(masks_dir, options.get("INVERT_INPUT_MASKS") is True)
    tile = options.get("TILE_SIZE_H"), options.get("TILE_SIZE_W")
    if wanted is None or wanted >= 1 or not all(isinstance(side, int) for side in tile):
        return wanted
    sizes = _sizes_of_micrographs(options)
    times = round(1 / wanted)
    while times > 1 and not _fits(tile, sizes, reduced(times)):
        times -= 1
    if (scale := reduced(times)) != wanted:
        logger.warning(
            'MICROGRAPH_SCALE = "auto": your outlines are so large that the networks should see '
            "them at %g, but then a tile of %d x %d does not fit every micrograph, so they see "
            "them at %g. Few whole particles are in a tile then: smaller tiles (TILE_SIZE_H, "
            "TILE_SIZE_W), or larger micrographs, allow more",
            *(wanted, *tile, scale),
        )
    return scale


def _fits(tile, sizes, scale):
    """Return whether a tile (height, width) fits images of these sizes, so resized."""
    seen = [scaled_size(size, scale) for size in sizes]
    return all(size[0] >= tile[0] and size[1] >= tile[1] for size in seen)


def _sizes_of_micrographs(options):
    """Return the different (height, width) of the readable micrographs, without info bar."""
    images_dir, image_crop = options.get("INPUT_DIR_IMAGES"), options.get("IMAGE_CROP", "auto")
    sizes = set()
    if images_dir is not None and not folder_name(images_dir):
        with suppress(OSError):
            for file in progress(list_images(images_dir), "micrographs measured"):
                with suppress(OSError, ValueError, TypeError):
                    sizes.add(read_micrograph(file, image_crop).shape)
    return sizes


def check_scale(calls: list[Call]) -> list[str]:
    """Return one problem for each step that would go on at another scale than one before it that
    is not to run."""
    running = {number for number, *_ in calls}
    problems = []
    for number, step_name, keywords in calls:
        scale = keywords.get("micrograph_scale")
        for earlier, what, before in _scales_before(number, keywords, running):
            # What is no number, the checks of options and files tell of.
            known = isinstance(scale, int | float) and isinstance(before, int | float)
            if known and scale != before:
                problems.append(
                    f"Step {number} ({step_name}) is to work at MICROGRAPH_SCALE = {scale:g}, but "
                    f"{named(earlier)} {what} at {before:g}. Run all steps "
                    f"again, or set MICROGRAPH_SCALE = {before:g}."
                )
                break
    return problems


def check_tile_size(calls: list[Call]) -> list[str]:
    """Return the problem of simulated masks of another size than the tiles of before, which the
    CycleGAN would refuse after the masks of before are replaced."""
    running = {number: keywords for number, _, keywords in calls}
    keywords = running.get("2", {})
    folder, sides = keywords.get("cyclegan_dir"), ("tile_height", "tile_width")
    if "0" in running or folder_name(folder) or not keywords.keys() >= set(sides):
        return []
    now = [keywords[side] for side in sides]
    before = read_record(Path(folder) / TILES / MADE_WITH).get("tile_size", now)
    if now == before or not all(isinstance(side, int) for side in now):
        return []
    return [
        "Step 2 (simulate_masks) is to make masks of TILE_SIZE_H x TILE_SIZE_W = {} x {} pixels, "
        "but step 0 (prepare_images) cut its tiles to {} x {}, and the CycleGAN needs both alike. "
        "Run step 0 again, too, or set the sizes as they were.".format(*now, *before)
    ]


def scale_of_unet(calls: list[Call]) -> float | None:
    """Return the scale of the UNet that step 6b runs; None if not known, or still to train."""
    running = {number: keywords for number, _, keywords in calls}
    keywords = running.get("6b", {})
    if "6a" in running and not keywords.get("unet_model"):
        return None
    return _scale_of_model("unet", keywords)


def _scales_before(number, keywords, running):
    """Yield what a step works with that none of those ``running`` makes: the step that made it,
    what it is in words, and its scale, None where that is not known."""
    cyclegan_dir = keywords.get("cyclegan_dir")
    if "0" not in running:
        yield "0", "made its tiles", scale_of_tiles(cyclegan_dir)
    from_wgan = "1" in reads_of(number, keywords.get("outline_source"))
    if from_wgan and ("1" not in running or keywords.get("wgan_model")):
        yield "1", "trained its WGAN", _scale_of_model("wgan", keywords)
    if number == "4" and ("3" not in running or keywords.get("cyclegan_model")):
        yield "3", "trained its CycleGAN", _scale_of_model("cyclegan", keywords)
    if number in ("5", "6a") and "4" not in running and not folder_name(cyclegan_dir):
        record = read_record(Path(cyclegan_dir) / RAW_MASKS / MADE_WITH)
        yield "4", "translated", record.get("micrograph_scale")


def _scale_of_model(network, keywords):
    folder, run = keywords.get(f"{network}_dir"), keywords.get(f"{network}_model")
    if folder_name(folder) or (run and not isinstance(run, str)):
        return None
    runs = [Path(folder) / RUNS / run] if run else finished_runs(network, folder)
    return scale_of_network(runs[-1]) if runs else None

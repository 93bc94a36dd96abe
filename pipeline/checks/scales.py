"""Whether each step goes on at the scale of the steps before it, and with tiles of their size."""

from pathlib import Path

from pipeline.checks.values import is_folder_name
from pipeline.files.records import read_record
from pipeline.run_folders import finished_runs
from pipeline.running.cyclegan_folders import RAW_MASKS, TILES
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.recorded_scales import scale_of_network, scale_of_tiles
from pipeline.running.step_table import RUNS, Call, named, reads_of


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
    if "0" in running or not is_folder_name(folder) or not keywords.keys() >= set(sides):
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
    if "0" not in running and is_folder_name(cyclegan_dir):
        yield "0", "made its tiles", scale_of_tiles(cyclegan_dir)
    from_wgan = "1" in reads_of(number, keywords.get("outline_source"))
    if from_wgan and ("1" not in running or keywords.get("wgan_model")):
        yield "1", "trained its WGAN", _scale_of_model("wgan", keywords)
    if number == "4" and ("3" not in running or keywords.get("cyclegan_model")):
        yield "3", "trained its CycleGAN", _scale_of_model("cyclegan", keywords)
    if number in ("5", "6a") and "4" not in running and is_folder_name(cyclegan_dir):
        record = read_record(Path(cyclegan_dir) / RAW_MASKS / MADE_WITH)
        yield "4", "translated", record.get("micrograph_scale")


def _scale_of_model(network, keywords):
    folder, run = keywords.get(f"{network}_dir"), keywords.get(f"{network}_model")
    if not is_folder_name(folder) or (run and not isinstance(run, str)):
        return None
    runs = [Path(folder) / RUNS / run] if run else finished_runs(network, folder)
    return scale_of_network(runs[-1]) if runs else None

"""At which scale steps before worked, and that one goes on at it."""

from pathlib import Path

from pipeline.files.records import read_record
from pipeline.run_folders import recorded_options
from pipeline.running.cyclegan_folders import TILES
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import NETWORKS, named


def scale_of_tiles(cyclegan_dir: Path) -> float | None:
    """Return the scale at which step 0 cut the tiles that are there, None where it is not known."""
    record = read_record(Path(cyclegan_dir) / TILES / MADE_WITH)
    # There was no such option before.
    return record.get("micrograph_scale", 1.0) if record else None


def scale_of_network(run_folder: Path) -> float | None:
    """Return the scale at which a network's run learned, None where its options do not say."""
    return recorded_options(run_folder).get("micrograph_scale")


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

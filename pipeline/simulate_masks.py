"""Step 2: simulated mask images from outlines that the WGAN has learned to draw, or from yours."""

import logging
from pathlib import Path

import numpy as np

from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.records import fingerprint, read_record
from pipeline.files.whole_files import copy_whole
from pipeline.image_files import list_images, read_image, write_image, write_missing
from pipeline.particle_masks import as_mask
from pipeline.progress import progress
from pipeline.run_folders import newest_run
from pipeline.running.cyclegan_folders import (
    COVERED_SHARES,
    SCENES,
    SIMULATED_LABELS,
    SIMULATED_MASKS,
    SINGLES,
    TEST_MASKS,
    TILES,
)
from pipeline.running.output_folders import MADE_WITH, open_output_folder
from pipeline.running.recorded_scales import check_scale_of_network, check_scale_of_tiles
from pipeline.running.step_table import AUGMENTED, DECIDED_BY_SCENES, NETWORKS, deciding, named
from pipeline.training_data.mask_simulation import simulate_label_maps
from pipeline.training_data.scene_comparison import report_match
from pipeline.training_data.scenes_of_micrographs import measure_micrographs

logger = logging.getLogger(__name__)

NUMBER_OF_TEST_MASKS = 5


@refuses_wrong_options
def simulate_masks(
    *,
    wgan_dir,
    cyclegan_dir,
    masks_dir,
    invert_masks,
    micrograph_scale,
    outline_source,
    wgan_model,
    num_masks,
    tile_height,
    tile_width,
    grid_type,
    grid_spacing_factor,
    grid_noise_factor,
    min_no_of_particles,
    max_no_of_particles,
    use_perlin_noise,
    perlin_noise_threshold,
    perlin_noise_frequency,
    use_normal_distribution,
    scaling_mu,
    scaling_sigma,
    min_scaling,
    max_scaling,
    use_random_rotation,
    smoothing,
    max_overlap,
    match_scenes,
    dark_background,
    seed,
    when_failed,
) -> None:
    """Write simulated masks to ``data/trainB`` and their label maps to ``data/labelsB``.

    There are as many as files in ``data/trainA``, and at least ``num_masks``; five go to
    ``data/testB`` too. The options are explained in StartProcess.py. Outlines are drawn by the
    WGAN, or, for ``outline_source`` "augmented", made by deforming those in ``masks_dir``, resized
    by ``micrograph_scale``. With ``match_scenes`` the masks get the coverage, the agglomerates and
    the particles of the tiles in ``data/trainA`` (see ``match_scenes.py``). ``data/scenes.json``
    and ``scenes.png`` compare both. ``when_failed``, "stop" or "warn", is what to do if the first
    masks are all empty, or all full.

    Raises
    ------
    FileNotFoundError
        If there is no trained WGAN, or no outline, as ``outline_source`` needs it.
    ValueError
        If an option is out of its range, no outline holds a particle, or the first masks are
        empty or full and ``when_failed`` is "stop".
    """
    options = dict(locals())
    check_scale_of_tiles(cyclegan_dir, micrograph_scale)
    source = Path(masks_dir)
    if outline_source != AUGMENTED:
        run_folder = newest_run("wgan", wgan_dir, wgan_model)
        check_scale_of_network("wgan", run_folder, micrograph_scale)
        source = run_folder / NETWORKS["wgan"].files[-1]
    cyclegan_dir = Path(cyclegan_dir)
    tiles_dir = cyclegan_dir / TILES
    of_micrographs = cyclegan_dir / SINGLES, cyclegan_dir / COVERED_SHARES
    tiles = list_images(tiles_dir) if tiles_dir.is_dir() else []
    number = max(num_masks, len(tiles))
    made_with = _made_with(options, source, number)
    noted = read_record(cyclegan_dir / SIMULATED_MASKS / MADE_WITH)
    if noted.get("outlines_fingerprint") == made_with["outlines_fingerprint"]:
        made_with["outlines"] = noted.get("outlines")  # a copy of that run is the same network
    if match_scenes:
        if not tiles:
            raise FileNotFoundError(
                f"{tiles_dir} holds no tiles to match the simulated masks with: run "
                f"{named('0')} first, it makes them, or set MATCH_SCENES = False."
            )
        logger.info(
            "MATCH_SCENES: how much is covered is measured in the micrographs, so %s, %s and %s "
            "have no effect",
            *DECIDED_BY_SCENES,
        )
        noted = [file for file in of_micrographs if file.is_file()]
        made_with["tiles"] = fingerprint([*tiles, *noted])
    masks_dir, labels_dir, test_dir = (
        open_output_folder(cyclegan_dir / name, made_with)
        for name in (SIMULATED_MASKS, SIMULATED_LABELS, TEST_MASKS)
    )
    names = [f"{index:05d}.tif" for index in range(number)]
    finished = {path.name for path in list_images(masks_dir)}
    finished &= {path.name for path in list_images(labels_dir)}
    missing = [index for index, name in enumerate(names) if name not in finished]
    micrographs = measure_micrographs(tiles, *of_micrographs, dark_background)
    to_match = micrographs if match_scenes else None
    label_maps = iter(())
    if missing:
        label_maps = simulate_label_maps(source, number, missing, options, to_match)
    label_maps = progress(label_maps, "masks simulated", len(missing))
    for index, labels in zip(missing, label_maps, strict=True):
        _write_mask(masks_dir / names[index], labels_dir / names[index], labels)
    for name in names[:NUMBER_OF_TEST_MASKS]:
        copy_whole(masks_dir / name, test_dir / name)
    if tiles:
        label_maps = [labels_dir / name for name in names]
        report_match(cyclegan_dir / SCENES, micrographs, label_maps, micrograph_scale, match_scenes)


def _write_mask(mask_path: Path, labels_path: Path, labels: np.ndarray) -> None:
    """Write a label map, then its mask (0 or 255); one that is there may be corrected by hand."""
    if labels_path.exists():
        labels = read_image(labels_path)
    else:
        write_image(labels_path, labels)
    write_missing(mask_path, as_mask(labels))


def _made_with(options: dict, source: Path, number: int) -> dict:
    """Return all that decides the masks."""
    return {
        "options": deciding({k: v for k, v in options.items() if k != "wgan_model"}),
        "number_of_masks": number,
        "outlines": source.parent.name if source.is_file() else "",
        "outlines_fingerprint": fingerprint([source] if source.is_file() else list_images(source)),
    }

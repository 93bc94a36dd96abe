"""Step 4: simulated masks become fake micrographs, real micrographs become raw masks."""

import logging
from pathlib import Path

import numpy as np

from models import backend
from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.records import fingerprint
from pipeline.image_files import (
    images_made_by,
    list_micrographs,
    read_image,
    read_micrograph,
    write_image,
    write_missing,
)
from pipeline.inference import make_batch_predictor, make_predictor
from pipeline.intensities import stretch_to_uint8
from pipeline.micrographs.resampling import as_cyclegan_sees
from pipeline.progress import progress
from pipeline.run_folders import newest_run, training_options
from pipeline.running.cyclegan_folders import FAKE_MICROGRAPHS, RAW_MASKS, SIMULATED_MASKS
from pipeline.running.output_folders import as_noted, open_output_folder
from pipeline.running.recorded_scales import check_scale_of_network
from pipeline.running.step_table import NETWORKS, named
from pipeline.training_data.cyclegan_images import Coding
from pipeline.wording import first_names

logger = logging.getLogger(__name__)

MASKS_AT_A_TIME = 8


@refuses_wrong_options
def translate_images(
    *,
    cyclegan_dir,
    images_dir,
    cyclegan_model,
    whole_image,
    tile_height,
    tile_width,
    min_overlap,
    manage_overlap_mode,
    use_gpu_for_whole_image,
    image_crop,
    micrograph_scale,
):
    """Translate ``cyclegan_dir/data/trainB`` to ``generate_images/A``, ``images_dir`` to ``B``.

    Same file names; micrographs get the ending ``.tif``. Every image is stretched to 0..255, uint8,
    the spikes of micrographs clipped before (`clip_spikes`).

    Parameters
    ----------
    cyclegan_dir, images_dir : folders; ``cyclegan_model`` names a run, None is the newest.
    whole_image, tile_height, tile_width, min_overlap, manage_overlap_mode,
    use_gpu_for_whole_image : see `make_predictor`; of micrographs only.
    image_crop : rows to keep of the micrographs, "auto" or None; see `crop_info_bar`.
    micrograph_scale : micrographs are resized by it, and so are the raw masks made of them.

    Raises
    ------
    FileNotFoundError
        If there is no trained CycleGAN, no mask or no micrograph; names the step that makes it.
    ValueError
        If an option is wrong, a micrograph cannot be read, or the CycleGAN has another scale.
    """
    cyclegan_dir = Path(cyclegan_dir)
    run_folder = newest_run("cyclegan", cyclegan_dir, cyclegan_model)
    to_image, to_mask = (run_folder / file for file in NETWORKS["cyclegan"].files)
    options = training_options("cyclegan", run_folder)
    check_scale_of_network("cyclegan", run_folder, micrograph_scale)
    model = [run_folder.name, fingerprint([to_mask, to_image])]
    made_with = {"model": model, "backend": backend.BACKEND}

    coding = Coding(options["invert_images"], options["use_binary_crossentropy"])
    _translate_masks(cyclegan_dir, to_image, made_with, coding)

    micrographs = list_micrographs(images_dir)
    tiling = {
        "whole_image": whole_image,
        "tile_height": tile_height,
        "tile_width": tile_width,
        "min_overlap": min_overlap,
        "manage_overlap_mode": manage_overlap_mode,
    }
    made_with |= {"image_crop": image_crop, "micrograph_scale": micrograph_scale}
    made_with["model"] = as_noted(cyclegan_dir / RAW_MASKS, "model", model)
    folder = open_output_folder(
        cyclegan_dir / RAW_MASKS,
        {**made_with, **tiling, "inputs": fingerprint(micrographs)},
    )
    missing = [file for file in micrographs if not (folder / f"{file.stem}.tif").exists()]
    if not missing:
        return
    predict = make_predictor(to_mask, **tiling, use_gpu=use_gpu_for_whole_image)
    flat = []
    for file in progress(missing, "micrographs translated"):
        micrograph = as_cyclegan_sees(read_micrograph(file, image_crop), micrograph_scale)
        image = stretch_to_uint8(micrograph)
        mask = predict(coding.encode_micrograph(image))
        stretched = coding.stretch_mask(mask)
        flat += [] if stretched.any() else [file.name]
        write_image(folder / f"{file.stem}.tif", stretched)
    if flat:
        logger.warning("no particle in sight, so an empty raw mask: %s", first_names(flat))


def _translate_masks(cyclegan_dir, to_image, made_with, coding):
    masks = images_made_by(named("2"), cyclegan_dir / SIMULATED_MASKS)
    made_with = {**made_with, "inputs": fingerprint(masks)}
    made_with["model"] = as_noted(cyclegan_dir / FAKE_MICROGRAPHS, "model", made_with["model"])
    folder = open_output_folder(cyclegan_dir / FAKE_MICROGRAPHS, made_with)
    # Batches are fixed: after a stop, what is missing is computed as it would have been.
    starts = range(0, len(masks), MASKS_AT_A_TIME)
    batches = [masks[start : start + MASKS_AT_A_TIME] for start in starts]
    batches = [batch for batch in batches if not all((folder / f.name).exists() for f in batch)]
    if not batches:
        return
    predict = make_batch_predictor(to_image)
    for batch in progress(batches, f"batches of {MASKS_AT_A_TIME} masks translated"):
        encoded = np.stack([coding.encode_mask(read_image(file)) for file in batch])
        for file, fake in zip(batch, predict(encoded), strict=True):
            write_missing(folder / file.name, coding.stretch_micrograph(fake))

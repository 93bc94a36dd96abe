"""Step 6b: the UNet segments the micrographs."""

import logging
from pathlib import Path

import numpy as np

from pipeline.image_files import list_images, read_micrograph, write_image
from pipeline.inference import make_predictor
from pipeline.intensities import clip_contrast, normalise, stretch_to_uint8
from pipeline.particle_masks import segment_particles
from pipeline.progress import progress
from pipeline.run_folders import fingerprint, newest_model, open_output_folder

logger = logging.getLogger(__name__)

SMALLEST_PARTICLE = 9  # pixels; the scores take no smaller ones for particles either


def segment_images(
    *,
    unet_dir,
    images_dir,
    output_dir,
    unet_model,
    whole_image,
    tile_height,
    tile_width,
    min_overlap,
    manage_overlap_mode,
    use_gpu_for_whole_image,
    contrast_range,
    threshold,
    watershed_lines,
    min_distance,
    image_crop,
):
    """Write ``output_dir/<name>.tif``, the mask (uint8, 0 or 255), and ``<name>_raw.tif``.

    The latter is the probability of each pixel to be particle, float32. Both have the size of the
    micrograph without its info bar. An earlier content of ``output_dir`` that was made with
    another network or other options is moved to ``Earlier_Results``.
    """
    without_effect = ("unet_dir", "images_dir", "output_dir", "use_gpu_for_whole_image")
    options = {k: v for k, v in locals().items() if k not in without_effect}
    model = newest_model(
        Path(unet_dir) / "Models",
        "Checkpoint_Lowest_Loss.keras",
        "step 6a (train_unet)",
        run=unet_model,
        finished_by="model.keras",
    )
    micrographs = list_images(images_dir)
    options |= {"unet_model": [model.parent.name, fingerprint([model])]}
    options |= {"inputs": fingerprint(micrographs)}
    folder = open_output_folder(Path(output_dir), options, keep_earlier=True)
    missing = [file for file in micrographs if not (folder / f"{file.stem}.tif").exists()]
    if not missing:
        return
    predict = make_predictor(
        model,
        whole_image=whole_image,
        tile_height=tile_height,
        tile_width=tile_width,
        min_overlap=min_overlap,
        manage_overlap_mode=manage_overlap_mode,
        use_gpu=use_gpu_for_whole_image,
    )
    for file in progress(missing, "micrographs segmented"):
        image = normalise(clip_contrast(read_micrograph(file, image_crop), contrast_range))
        probability = predict(image[..., None])[..., 0]
        write_image(folder / f"{file.stem}_raw.tif", probability)
        mask = segment_probability(probability, threshold, watershed_lines, min_distance)
        write_image(folder / f"{file.stem}.tif", mask)


def segment_probability(probability, threshold, watershed_lines, min_distance):
    """Return the mask (uint8, 0 or 255) of a float32 probability image (h, w).

    The probability is stretched to 0..255 before it is thresholded, unless hardly a pixel is more
    likely particle than background: stretched, that would be noise, so the mask is empty.
    """
    if np.count_nonzero(probability > 0.5) <= SMALLEST_PARTICLE:
        return np.zeros(probability.shape, np.uint8)
    return segment_particles(
        stretch_to_uint8(probability), threshold, watershed_lines, min_distance
    )

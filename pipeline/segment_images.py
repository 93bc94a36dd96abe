"""Step 6b: the UNet segments the micrographs."""

import logging
from pathlib import Path

import numpy as np
from skimage.exposure import histogram
from skimage.filters import threshold_otsu

from models import backend
from pipeline.image_files import list_micrographs, read_image, read_micrograph, write_image
from pipeline.inference import make_predictor
from pipeline.intensities import as_unet_sees, describe_unclipped, stretch_to_uint8
from pipeline.particle_masks import segment_particles, to_four_connected, without_specks
from pipeline.particles.grow_particles import grow_particles
from pipeline.progress import progress
from pipeline.resampling import at_scale, mask_at_size, resize
from pipeline.run_folders import fingerprint, newest_model, open_output_folder, training_options
from pipeline.step_table import deciding
from pipeline.training.network_failures import act_on_failure, describe_probabilities, is_flat

logger = logging.getLogger(__name__)

MADE_BY = "step 6a (train_unet)"
SMALLEST_PARTICLE = 9  # pixels; what is smaller is noise
# Of masks that are split at narrow places, not of those grown from centres.
OF_SPLITTING = ("watershed_lines", "min_distance")
# By how much of the range of probabilities particles are likelier than the background, at least.
LEAST_CONTRAST = 1 / 3


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
    average_flips,
    magnification,
    contrast_range,
    threshold,
    watershed_lines,
    min_distance,
    image_crop,
    when_failed,
):
    """Write ``output_dir/<name>.tif``, the mask (uint8, 0 or 255), and ``<name>_raw.tif``.

    The latter is the probability of each pixel to be particle, float32. Both have the size of the
    micrograph without its info bar, at whichever ``micrograph_scale`` the network was trained. An
    earlier content of ``output_dir`` that was made with another network or other options is moved
    to ``Earlier_Results``. ``when_failed``, "stop" or "warn", is what to do where the network tells
    no pixel of any micrograph from another.
    """
    options = deciding(locals())
    model = newest_model(
        Path(unet_dir) / "Models",
        "Checkpoint_Lowest_Loss.keras",
        MADE_BY,
        run=unet_model,
        finished_by="model.keras",
    )
    # As the network was trained; the options may have changed since.
    trained_with = training_options(model.parent, MADE_BY, "python StartProcess.py 6")
    if trained_with.get("target") == "instances":
        logger.info('UNET_TARGET = "instances": %s and %s have no effect', *OF_SPLITTING)
        options = {name: value for name, value in options.items() if name not in OF_SPLITTING}
    micrographs = list_micrographs(images_dir)
    scale = trained_with.get("micrograph_scale", 1)  # there was none before
    options |= {"unet_model": [model.parent.name, fingerprint([model])], "micrograph_scale": scale}
    options |= {"inputs": fingerprint(micrographs), "backend": backend.BACKEND}
    folder = open_output_folder(Path(output_dir), options, keep_earlier=True)
    files = {
        file: (folder / f"{file.stem}_raw.tif", folder / f"{file.stem}.tif") for file in micrographs
    }
    missing = [file for file, made in files.items() if not all(one.exists() for one in made)]
    predict = missing and make_predictor(
        model,
        whole_image=whole_image,
        tile_height=tile_height,
        tile_width=tile_width,
        min_overlap=min_overlap,
        manage_overlap_mode=manage_overlap_mode,
        use_gpu=use_gpu_for_whole_image,
        average_flips=average_flips,
        magnification=magnification,
    )
    dark_background = trained_with["dark_background"]
    if list(contrast_range or ()) != list(trained_with["contrast_range"] or ()):
        logger.warning(
            "the contrast range is %s, but the UNet was trained with %s: train it anew, or set "
            "UNET_CONTRAST_OPTIMIZATION_RANGE as it was",
            contrast_range,
            trained_with["contrast_range"],
        )
    if contrast_range and (words := describe_unclipped(contrast_range)):
        logger.info("%s", words)
    for file in progress(missing, "micrographs segmented"):
        micrograph = read_micrograph(file, image_crop)
        # Contrast first: set in reduced micrographs, without their noise, more of the ground's
        # texture was taken for particles (benchmarks/notebook/masks_of_other_micrographs.md).
        seen = at_scale(as_unet_sees(micrograph, contrast_range, dark_background), scale)
        output = predict(seen[..., None])
        raw = resize(np.ascontiguousarray(output[..., 0]), micrograph.shape)
        raw_file, mask_file = files[file]
        if not raw_file.exists():
            write_image(raw_file, raw)
        if mask_file.exists():  # perhaps corrected by hand
            continue
        mask = segment_output(output, threshold, watershed_lines, min_distance)
        smallest = SMALLEST_PARTICLE if output.shape[-1] > 1 else 1
        write_image(mask_file, mask_at_size(mask, micrograph.shape, smallest))
    empty = [file.name for file, (_, mask_file) in files.items() if not read_image(mask_file).any()]
    failure = describe_probabilities(empty, len(micrographs), threshold)
    act_on_failure(failure, when_failed)
    if empty:
        logger.warning("no particle in sight, so an empty mask: %s", ", ".join(empty))


def shows_no_particle(probability, threshold):
    """Return whether a probability image, float (h, w), tells no place from another.

    With Otsu's threshold (a negative one) also whether hardly a pixel is more likely particle than
    background: it would cut the background in two.
    """
    few = threshold < 0 and np.count_nonzero(probability > 0.5) < SMALLEST_PARTICLE
    return few or is_flat(probability)


def segment_output(output, threshold, watershed_lines, min_distance):
    """Return the mask (uint8, 0 or 255) of the network's output, float32 (h, w, 1) or (h, w, 2).

    A second channel is the centrality that particles are grown from; ``watershed_lines`` and
    ``min_distance`` are for networks without.
    The probability is stretched to 0..255 before it is thresholded, unless it shows no particle:
    stretched, that would be noise, so the mask is empty.
    """
    probability = output[..., 0]
    if shows_no_particle(probability, threshold):
        return np.zeros(probability.shape, np.uint8)
    stretched = stretch_to_uint8(probability)
    if threshold < 0:
        threshold = otsu_threshold(stretched)
    if output.shape[-1] == 1:
        return segment_particles(stretched, threshold, watershed_lines, min_distance)
    labels = grow_particles(stretched, output[..., 1], threshold)
    # The lines between particles leave crumbs, which are none.
    return without_specks(to_four_connected(labels > 0), SMALLEST_PARTICLE)


def otsu_threshold(probability: np.ndarray) -> float:
    """Return Otsu's threshold, of the brighter pixels alone where it cuts the background in two.

    A few particles in a large image weigh less than the background's noise does. But the means of
    the classes are then closer than `LEAST_CONTRAST` of the range of values; so what is above is
    cut again, until they are not. Without any contrast nothing is above the threshold.

    Parameters
    ----------
    probability : any shape; integers, or floats, whose range is divided into 256 bins.

    Source: Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62.
    """
    lowest, highest = probability.min(), probability.max()
    if lowest == highest:
        return highest
    counts, values = histogram(probability, source_range="image")
    least_contrast = LEAST_CONTRAST * (float(highest) - float(lowest))
    while len(values) > 1:
        threshold = threshold_otsu(hist=(counts, values))
        above = values > threshold
        darker, brighter = (
            np.average(values[part], weights=counts[part]) for part in (~above, above)
        )
        if brighter - darker >= least_contrast:
            return threshold
        first = np.flatnonzero(above & (counts > 0))[0]
        counts, values = counts[first:], values[first:]
    return values[-1]

"""Step 6b: the UNet segments the micrographs."""

import logging
from pathlib import Path

import numpy as np

from models import backend
from models.fast.process_memory import keep_no_kernels
from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.calibration import warn_of_other_magnification
from pipeline.files.mask_origin import description_of, is_changed, raw_path_of
from pipeline.files.mask_pairs import list_masks
from pipeline.files.records import fingerprint, read_record
from pipeline.image_files import (
    by_stem,
    image_size,
    list_micrographs,
    read_image,
    read_micrograph,
    stem_of,
    write_image,
    write_missing,
)
from pipeline.inference import make_predictor
from pipeline.intensities import describe_unclipped
from pipeline.micrographs.resampling import resize
from pipeline.micrographs.usual_contrast import UsualContrast
from pipeline.network_failures import act_on_failure, describe_probabilities
from pipeline.particles.mask_resampling import mask_at_size
from pipeline.particles.unet_output import SMALLEST_PARTICLE, segment_output
from pipeline.progress import progress
from pipeline.run_folders import newest_run, training_options
from pipeline.running.output_folders import as_noted, open_output_folder
from pipeline.running.step_table import MICROGRAPHS_RECORD, NETWORKS, deciding
from pipeline.wording import first_names

logger = logging.getLogger(__name__)

MASK_ENDINGS = (".tif", ".tiff", ".png")
FEW_SIZES = 2  # of micrographs, for which kernels are kept
# Of masks that are split at narrow places, not of those grown from centres.
OF_SPLITTING = ("watershed_lines", "min_distance")


@refuses_wrong_options
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
    usual_contrast,
    threshold,
    watershed_lines,
    min_distance,
    image_crop,
    when_failed,
):
    """Write ``output_dir/<name>.tif``, the mask (uint8, 0 or 255), and ``<name>_raw.tif``.

    The latter is the probability of each pixel to be particle, float32, and says of which
    micrograph it is, and by which mask to know whether that was changed since
    (`pipeline.files.mask_origin`). A mask that is there, also as ``<name>.png``, stays. Both have
    the size of the micrograph without its info bar, at whichever ``micrograph_scale`` the network
    was trained. An earlier content of ``output_dir`` that was made with another network or other
    options is moved to ``Earlier_Results``.

    Parameters
    ----------
    unet_dir, images_dir, output_dir : folders; ``unet_model`` names a run in the first, None is the
        newest.
    whole_image, tile_height, tile_width, min_overlap, manage_overlap_mode, use_gpu_for_whole_image,
    average_flips, magnification : see `make_predictor`.
    contrast_range, usual_contrast : what the network is shown, see `as_unet_sees`; with the second,
        micrographs of little contrast are stretched no further than others or, where all have
        little, than their best tiles (`UsualContrast`).
    threshold, watershed_lines, min_distance : of the output, see `segment_output`.
    image_crop : rows to keep, "auto" or None; see `crop_info_bar`.
    when_failed : "stop" or "warn", where the network tells no pixel of any micrograph from another.

    Raises
    ------
    FileNotFoundError
        If there is no trained UNet, or no micrograph.
    ValueError
        If an option is wrong, a micrograph cannot be read, or the network tells nothing and
        ``when_failed`` is "stop".
    """
    options = deciding(locals())
    run_folder = newest_run("unet", unet_dir, unet_model)
    model = run_folder / NETWORKS["unet"].files[0]
    # As the network was trained; the options may have changed since.
    trained_with = training_options("unet", run_folder)
    if trained_with.get("target") == "instances":
        logger.info(
            'the UNet was trained for UNET_TARGET = "instances": %s and %s have no effect',
            *OF_SPLITTING,
        )
        options = {name: value for name, value in options.items() if name not in OF_SPLITTING}
    micrographs = list_micrographs(images_dir)
    trained_on = read_record(run_folder / MICROGRAPHS_RECORD)
    warn_of_other_magnification(trained_on.get("pixel_size_nm"), micrographs)
    scale = trained_with.get("micrograph_scale", 1)  # there was none before
    used = as_noted(output_dir, "unet_model", [run_folder.name, fingerprint([model])])
    options |= {"unet_model": used, "micrograph_scale": scale}
    options |= {"inputs": fingerprint(micrographs), "backend": backend.BACKEND}
    folder = open_output_folder(Path(output_dir), options, True, _tell_of_corrected_masks)
    files = _files_to_make(folder, micrographs)
    missing = [file for file, made in files.items() if not all(one.exists() for one in made)]
    if whole_image and len({image_size(file) for file in missing}) > FEW_SIZES:
        keep_no_kernels()  # memory would grow with the sizes
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
    _tell_of_contrast_range(contrast_range, trained_with["contrast_range"])
    contrast = UsualContrast(
        micrographs if usual_contrast else (),
        image_crop,
        contrast_range,
        dark_background,
        (tile_height, tile_width),
        scale,
    )
    for file in progress(missing, "micrographs segmented"):
        micrograph = read_micrograph(file, image_crop)
        output = predict(contrast.as_unet_sees(file, micrograph)[..., None])
        mask = segment_output(output, threshold, watershed_lines, min_distance)
        # So small a particle the network still shows, where it sees the micrograph enlarged.
        smallest = SMALLEST_PARTICLE / max(scale, 1) ** 2 if output.shape[-1] > 1 else 1
        mask = mask_at_size(mask, micrograph.shape, smallest)
        raw_file, mask_file = files[file]
        raw = resize(np.ascontiguousarray(output[..., 0]), mask.shape)
        write_image(raw_file, raw, description_of(mask, micrograph))
        write_missing(mask_file, mask)  # one corrected by hand stays
    if contrast.faint_files:
        logger.warning(
            "less than half of the usual contrast everywhere, as where there are hardly any "
            "particles, so stretched no further than the other micrographs: %s. If they were only "
            "exposed less, segment them in a folder of their own, or set usual_contrast=False in "
            "the call of step 6b",
            first_names([file.name for file in contrast.faint_files]),
        )
    empty = [file.name for file, (_, mask_file) in files.items() if not read_image(mask_file).any()]
    failure = describe_probabilities(empty, len(micrographs), threshold)
    act_on_failure(failure, when_failed)
    if empty:
        logger.warning("no particle in sight, so an empty mask: %s", first_names(empty))


def _tell_of_corrected_masks(aside):
    """Warn of masks that were corrected by hand, and moved to a folder, so that others count."""
    corrected = [path.name for path in list_masks(aside) if is_changed(path)]
    if corrected:
        logger.warning(
            "this step made all masks anew, also those that were corrected by hand (%s), which "
            "are in %s now. To measure these instead, copy them back, in place of the new ones, "
            "and run step 7 alone",
            *(first_names(corrected), aside),
        )


def _files_to_make(folder, micrographs):
    """Return the files of the probability and of the mask for each micrograph, also of those made.

    A mask may have been corrected by hand, and saved with another of `MASK_ENDINGS`.
    """
    stems = {stem_of(file) for file in micrographs}
    there = by_stem(
        path
        for path in list_masks(folder)
        if stem_of(path) in stems and path.suffix.lower() in MASK_ENDINGS
    )
    files = {}
    for file in micrographs:
        made = folder / f"{file.stem}.tif"
        files[file] = raw_path_of(made), there.get(stem_of(file), made)
    return files


def _tell_of_contrast_range(contrast_range, trained_with):
    """Log that a contrast range has no effect, or is another than the network was trained with."""
    if list(contrast_range or ()) != list(trained_with or ()):
        logger.warning(
            "the contrast range is %s, but the UNet was trained with %s: train it anew, or set "
            "UNET_CONTRAST_OPTIMIZATION_RANGE as it was",
            contrast_range,
            trained_with,
        )
    if words := describe_unclipped(contrast_range):
        logger.info("%s", words)

"""Which masks can be measured: each with its micrograph, checked before anything is written."""

from pathlib import Path

import numpy as np

from pipeline.files.decoders import colours_in
from pipeline.image_files import (
    image_size,
    list_images,
    pair_by_stem,
    read_image,
    read_micrograph,
    stem_of,
)
from pipeline.intensities import above_half
from pipeline.particles.label_maps import describe_numbers, is_label_map
from pipeline.progress import progress
from pipeline.wording import counted, first_names

PROBLEMS_SHOWN = 10


def list_masks(folder: Path) -> list[Path]:
    """Return the images in a folder that are no probabilities ``<name>_raw.tif`` of another one."""
    paths = list_images(folder)
    raw_stems = {f"{path.stem}_raw" for path in paths}
    return [path for path in paths if path.stem not in raw_stems]


def find_mask_pairs(
    masks_dir: Path, images_dir: Path, image_crop: str | int | None
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return the (mask, micrograph) pairs of two folders, by name, and warnings.

    Of micrographs without a mask, and masks (`list_masks`) without a micrograph, it is warned.

    Raises
    ------
    FileNotFoundError
        If there is no pair.
    ValueError
        If a mask is neither binary nor a label map, or does not fit its micrograph, or a file
        cannot be read; lists all of them.
    """
    mask_files, image_files = list_masks(masks_dir), list_images(images_dir)
    masks, images = ({stem_of(path) for path in files} for files in (mask_files, image_files))
    paired, unmasked = masks & images, sorted(images - masks)
    # Probabilities may be left of a mask that was deleted.
    lonely = sorted(masks - images - {f"{stem}_raw" for stem in images})
    if not paired:
        raise FileNotFoundError(
            f"No mask in {masks_dir} has a micrograph of the same name in {images_dir}. Run the "
            f"steps that make masks first, or correct masks_dir and images_dir."
        )
    pairs = pair_by_stem(
        [path for path in mask_files if stem_of(path) in paired],
        [path for path in image_files if stem_of(path) in paired],
    )
    problems = [
        problem
        for pair in progress(pairs, "masks looked at")
        for problem in _problems(*pair, image_crop)
    ]
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        lines = problems[:PROBLEMS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        raise ValueError("\n  ".join(["These masks cannot be measured:", *lines]))
    warnings = []
    if lonely:
        warnings.append(
            f"{counted(len(lonely), 'mask has', 'masks have')} no micrograph of the same name, "
            f"left out: {first_names(lonely)}."
        )
    if unmasked:
        warnings.append(
            f"{len(unmasked)} of {counted(len(images), 'micrograph')} not measured, as there is no "
            f"mask of the same name: {first_names(unmasked)}."
        )
    return pairs, warnings


def read_mask_pair(
    mask_path: Path, image_path: Path, image_crop: str | int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mask and micrograph, cut to the rows both have, counted from the top.

    The mask is bool, or where the file is a label map (`is_label_map`) that, int32.
    """
    mask, micrograph = read_image(mask_path), read_micrograph(image_path, image_crop)
    mask = mask.astype(np.int32) if is_label_map(mask) else mask > 0
    rows = min(mask.shape[0], micrograph.shape[0])
    return mask[:rows], micrograph[:rows]


def read_mask_or_labels(path: Path) -> np.ndarray:
    """Return a mask to score with as bool (height, width), a label map (`is_label_map`) as int32.

    Raises
    ------
    ValueError
        If the file cannot be read, or is neither; names it.
    """
    image = read_image(path)
    if is_label_map(image):
        return image.astype(np.int32)
    if problem := describe_colours(path) or describe_numbers(image):
        raise ValueError(f"{path} {problem}")
    n_values = len(np.unique(image))
    if n_values > 2 and path.suffix.lower() not in (".jpg", ".jpeg"):
        raise ValueError(
            f"{path} has {n_values} different values; expected a mask with two, 0 and 255, or a "
            f"label map of integers: 0 the background, 1, 2, ... the particles, most numbers up to "
            f"the largest among them. Threshold it, or number the particles anew."
        )
    return above_half(image)


def describe_colours(path: Path) -> str | None:
    """Return what is wrong with a mask whose particles differ by their colours, else None.

    Colour is read as the mean of red, green and blue, of which different ones may have the same.
    """
    colours = colours_in(path)
    if colours < 2:
        return None
    return (
        f"holds {colours} colours besides black, greys and white, which may be one grey value to "
        "this program. Save white particles on black, or the numbers of the particles instead of "
        "their colours, as 16 bit."
    )


def _problems(mask_path: Path, image_path: Path, image_crop: str | int | None) -> list[str]:
    """Return what keeps a mask from being measured on its micrograph, in sentences."""
    try:
        mask = read_image(mask_path)
        read_micrograph(image_path, image_crop)
        height, width = image_size(image_path)
    except ValueError as error:
        return [str(error)]
    problem = None if is_label_map(mask) else describe_colours(mask_path) or _describe_values(mask)
    problems = [f"{mask_path} {problem}"] if problem else []
    if mask.shape[1] != width or mask.shape[0] > height:
        problems.append(
            f"{mask_path} has {mask.shape[0]} x {mask.shape[1]} pixels, {image_path} {height} x "
            f"{width}; expected the same width, and as many rows or (where the info bar was cut "
            f"off) fewer. Make the mask from this image."
        )
    return problems


def _describe_values(mask: np.ndarray) -> str | None:
    """Return what is wrong with the values of an image that is no label map, None of a mask."""
    values = np.unique(mask)
    if len(values) == 1 or (len(values) == 2 and values[0] == 0):
        return None
    return describe_numbers(mask) or (
        f"is not a mask: it has {len(values)} grey values from {values[0]} to {values[-1]}; "
        f"expected black (0) and one other value, or the numbers of particles from 1 on. "
        f"Threshold it first, or number them anew."
    )

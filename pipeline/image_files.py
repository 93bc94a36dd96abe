"""Images on disk: list, pair, read without loss, write."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import tifffile

from pipeline.files.decoders import TIFF_ENDINGS, decode, header_size
from pipeline.files.info_bar import crop_info_bar
from pipeline.files.whole_files import is_of_access, whole_file
from pipeline.files.written_images import mark_of
from pipeline.intensities import above_half
from pipeline.wording import counted, first_names

IMAGE_ENDINGS = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg", ".gif")


def list_images(folder: Path) -> list[Path]:
    """Return the images in a folder, sorted by name; hidden files and sub-folders are ignored.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or is a file.
    """
    folder = Path(folder)
    if folder.is_file():
        raise FileNotFoundError(f"{folder} is a file, not a folder. Give the folder it is in.")
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist. Make it and put images in.")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".") and path.is_file()
    )


def list_micrographs(folder: Path) -> list[Path]:
    """Return the micrographs in the user's folder, sorted by name.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or holds no images.
    """
    micrographs = list_images(folder)
    if not micrographs:
        raise FileNotFoundError(
            f"{folder} holds no images: put the micrographs there, as one of "
            f"{', '.join(IMAGE_ENDINGS)}."
        )
    return micrographs


def images_made_by(step: str, folder: Path) -> list[Path]:
    """Return the images in a folder, sorted by name, which a step before has made.

    Raises
    ------
    FileNotFoundError
        If there are none; names the step.
    """
    images = list_images(folder) if folder.is_dir() else []
    if not images:
        raise FileNotFoundError(f"{folder} holds no images: run {step} first, it makes them.")
    return images


def pair_by_stem(first: Iterable[Path], second: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return the files of two lists in pairs of one stem (name without ending), sorted.

    Raises
    ------
    ValueError
        If a file has no partner, or two files of one list have the same stem; names them.
    """
    first, second = by_stem(first), by_stem(second)
    lonely = [str(first.get(stem) or second[stem]) for stem in sorted(first.keys() ^ second.keys())]
    if lonely:
        shown = first_names(lonely)
        raise ValueError(
            f"{counted(len(lonely), 'file has', 'files have')} no partner of the same name (the "
            f"ending may differ): {shown}. Add what is missing, or remove what is too much."
        )
    return [(first[stem], second[stem]) for stem in sorted(first)]


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the files by their stem (name without ending).

    Raises
    ------
    ValueError
        If two files have the same stem; names them.
    """
    files = {}
    for path in map(Path, paths):
        stem = stem_of(path)
        if stem in files:
            raise ValueError(
                f"{files[stem]} and {path} have the same name but for the ending, so their "
                f"results would overwrite each other. Rename or remove one."
            )
        files[stem] = path
    return files


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, an accented letter always as one (macOS: as two)."""
    return unicodedata.normalize("NFC", Path(path).stem)


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an image in pixels, from its header only.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_image`, as far as the header tells.
    """
    path = Path(path)
    with _readable(path):
        return header_size(path)


def check_equal_sizes(paths: Sequence[Path], maker: str) -> None:
    """Raise a ValueError that names the first image of another size than the first of all.

    ``maker`` is what makes such images, such as "step 0 (prepare_images)".
    """
    sizes = map(image_size, paths)
    height, width = next(sizes, (0, 0))
    for path, found in zip(paths[1:], sizes, strict=True):
        if found != (height, width):
            raise ValueError(
                f"{path} has {found[0]} x {found[1]} pixels, but {paths[0]} has {height} x "
                f"{width}: all must be of one size. Remove the one that does not belong there, or "
                f"run {maker} again."
            )


def read_image(path: Path) -> np.ndarray:
    """Return an image as (height, width), grey.

    One channel keeps its dtype and values; colour becomes the plain mean over red, green and blue,
    without the alpha channel: float32, of integers of 32 bit and of float64 float64. Palette images
    give their index where the palette is a grey ramp, else the palette's grey.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, is truncated, is a stack or animated, has neither one nor three
        colour channels, or contains NaN or infinite values; names the file.
    """
    path = Path(path)
    with _readable(path):
        image = decode(path)
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"{path} has pixels of type {image.dtype}; expected integers or floats. Export it "
            "again, in 8 or 16 bit."
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError(
            f"{path} contains NaN or infinite values. Replace them in the program that wrote it."
        )
    return np.ascontiguousarray(image, image.dtype.newbyteorder("="))


def read_micrograph(path: Path, image_crop: str | int | None = "auto") -> np.ndarray:
    """Return a micrograph as (height, width), grey, without the microscope's info bar.

    ``image_crop``: "auto" finds the bar, a number keeps so many rows from the top, None all.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_image`; also if ``image_crop`` is out of range.
    """
    image = read_image(path)
    try:
        return crop_info_bar(image, image_crop)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_mask(path: Path, invert: bool = False) -> np.ndarray:
    """Return a mask as bool (height, width): above half of its own range of values.

    With ``invert`` what is dark, at most half of the range, is the particle. Of a constant mask
    0 is dark, all else is not (`above_half`).
    """
    return above_half(read_image(path)) != invert


def write_image(path: Path, image: np.ndarray, description: str | None = None) -> None:
    """Write an image in the format of the path's ending, under a temporary name, then rename it.

    ``image``: (height, width) or (height, width, 3) RGB; uint8, and for TIFF and PNG uint16, for
    TIFF any type. The same image gives the same bytes; TIFF and PNG are lossless. A TIFF has a
    ``description``, in ASCII; without one it is that by which `is_as_written` knows the image.

    Raises
    ------
    ValueError
        If the format cannot hold the image.
    """
    path, image = Path(path), np.asarray(image)
    ending = path.suffix.lower()
    if ending in TIFF_ENDINGS:
        with whole_file(path) as temporary:
            photometric = "rgb" if image.ndim == 3 else "minisblack"
            # Neither software nor date: the same image gives the same file.
            tifffile.imwrite(
                temporary,
                image,
                photometric=photometric,
                description=mark_of(image) if description is None else description,
                metadata=None,
                software=False,
                ome=False,  # a name that ends in .ome.tif asks for a header with a random number
            )
        return
    allowed = {".png": (np.uint8, np.uint16)}.get(ending, (np.uint8,))
    if ending not in IMAGE_ENDINGS or ending == ".gif" or image.dtype not in allowed:
        raise ValueError(
            f"{path}: cannot write {image.dtype} images as {ending or 'a file without ending'}. "
            f"Use .tif for any type, .png for uint8 and uint16, .bmp or .jpg for uint8."
        )
    encoded = cv2.imencode(ending, image[..., ::-1] if image.ndim == 3 else image)[1]
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded)


def write_missing(path: Path, image: np.ndarray) -> None:
    """`write_image` where there is none; one that is was made alike, or corrected by hand since."""
    if not Path(path).exists():
        write_image(path, image)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one ValueError that names the file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist. It may have been moved or renamed since the run began: bring "
            "it back."
        )
    try:
        yield
    except PermissionError as error:
        raise ValueError(
            f"{path} may not be read ({error.strerror}). Change its permission, or remove it."
        ) from error
    except MemoryError as error:  # Pillow says so of damaged files too
        raise ValueError(
            f"{path} cannot be read as an image (out of memory). End other programs or cut it into "
            "parts; if there is memory left, it is damaged: export it again."
        ) from error
    except Exception as error:  # decoders raise whatever they run into in a damaged file
        if str(error).startswith(str(path)):
            raise
        if is_of_access(error):
            raise ValueError(
                f"{path} could not be read ({error.strerror}). Look at the disk or network drive "
                "it is on."
            ) from error
        raise ValueError(
            f"{path} cannot be read as an image ({error}). It may be damaged, incomplete or of "
            "another format: export it again."
        ) from error

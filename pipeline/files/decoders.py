"""Decode image files into grey images, after checking what their headers promise."""

import contextlib
import logging
import warnings
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from pipeline.files.inflated_sizes import check_inflated_sizes
from pipeline.files.png_pixels import check_png_is_whole
from pipeline.files.whole_files import is_of_access

TIFF_ENDINGS = (".tif", ".tiff")
# Pillow tells its formats from each other by itself.
FIRST_BYTES = {
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
}
PILLOW_FORMATS = ("PNG", "BMP", "JPEG", "GIF")

# Types and channels of TIFFs that Pillow gives as they are; it reduces colour of 16 bit to 8.
PILLOW_READS_WHOLE = {("bool", 1), ("uint8", 1), ("uint8", 3), ("uint16", 1), ("float32", 1)}

ORIENTATION, UPRIGHT = 274, 1  # a TIFF's tag, and its value for pixels that need not be turned
BITS = (1, 8, 16, 32, 64)  # per pixel and channel, of a TIFF

# A damaged header may promise any size. This many pixels are read (23,000 x 23,000) of this many
# bytes in memory; above 64 MB, no more pixels for each byte of the file than the strongest
# compression of these formats reaches on a micrograph. (Of a bilevel mask without a particle a byte
# may hold more than 100,000.)
MAX_PIXELS = 2**29
MAX_BYTES = 2**31
MAX_PIXELS_PER_BYTE = 4000
BYTES_ALWAYS_ALLOWED = 2**26
TINT = 32  # of 255, by which red, green and blue of a grey may differ

# Sizes are checked here, before decoding; Pillow's own limit is lower and only warns.
Image.MAX_IMAGE_PIXELS = None
# What tifffile logs about a damaged file is in the error that names the file.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def header_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an image in pixels; raises as `decode`, as far as it can tell."""
    _check_ending(path)
    if path.suffix.lower() in TIFF_ENDINGS:
        with tifffile.TiffFile(path) as tiff:
            page = _only_page(tiff, path)
            return page.imagelength, page.imagewidth
    with Image.open(path, formats=PILLOW_FORMATS) as image:
        _check_header(image, path)
        return image.height, image.width


def decode(path: Path) -> np.ndarray:
    """Return an image as (height, width), grey, by the rules of `image_files.read_image`.

    Raises
    ------
    ValueError
        If the file is a stack or promises too much; and whatever a decoder raises.
    """
    _check_ending(path)
    return _read_tiff(path) if path.suffix.lower() in TIFF_ENDINGS else _read_with_pillow(path)


def _check_ending(path: Path) -> None:
    """Raise a ValueError if a file is empty, or a TIFF is not what its ending says."""
    with open(path, "rb") as file:
        start = file.read(4)
    if not start:
        raise ValueError(f"{path} is empty (0 bytes). Copy or export it again.")
    found = next((name for magic, name in FIRST_BYTES.items() if start.startswith(magic)), None)
    is_named_tiff = path.suffix.lower() in TIFF_ENDINGS
    if found and (found == "tif") != is_named_tiff:
        raise ValueError(
            f"{path} is a {found.upper()} file with the ending {path.suffix}. Rename it to "
            f"{path.stem}.{found}."
        )


def _check_size(height: int, width: int, bytes_per_pixel: int, path: Path, is_jpeg: bool) -> None:
    size = path.stat().st_size
    by_file_size = MAX_PIXELS_PER_BYTE * size
    if not is_jpeg:  # of which decoders fill up with grey what is missing
        by_file_size = max(by_file_size, BYTES_ALWAYS_ALLOWED // bytes_per_pixel)
    if height * width > min(MAX_PIXELS, MAX_BYTES // bytes_per_pixel, by_file_size):
        raise ValueError(
            f"{path} claims {height} x {width} pixels of {bytes_per_pixel} bytes in a file of "
            f"{size} bytes. The file is damaged, or larger than the {MAX_PIXELS} pixels and "
            f"{MAX_BYTES} bytes allowed. Export it again, or cut it into parts."
        )


def _check_header(image: Image.Image, path: Path) -> None:
    """Check what the header of an image that Pillow opened promises."""
    is_deep = ";16" in str(image.tile)  # the raw mode, such as RGB;16B
    bytes_per_pixel = len(image.getbands()) * (2 if is_deep else 1)
    _check_size(image.height, image.width, bytes_per_pixel, path, image.format == "JPEG")
    frames = getattr(image, "n_frames", 1)
    if image.format in ("PNG", "GIF") and frames > 1:
        raise _wrong_shape(path, (frames, image.height, image.width))


def _wrong_shape(path: Path, shape: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"{path} has shape {tuple(shape)}; expected a grey or RGB image. Export one plane or "
        "channel, CMYK as RGB."
    )


def _only_page(tiff: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    """Return the page that holds the image, after checking what its header promises."""
    page = tiff.pages.first
    numbers = page.imagelength, page.imagewidth, page.samplesperpixel, page.bitspersample
    if not all(isinstance(number, int) for number in numbers):  # times another, a tuple gets long
        raise ValueError(f"{path} is damaged: its header says several numbers where one belongs.")
    bytes_per_pixel = page.samplesperpixel * max(1, page.bitspersample // 8)
    is_jpeg = _is_jpeg(page)
    _check_size(page.imagelength, page.imagewidth, bytes_per_pixel, path, is_jpeg)
    if page.is_tiled:
        _check_size(page.tilelength, page.tilewidth, bytes_per_pixel, path, is_jpeg)
    # Reduced pages are thumbnails of the first.
    pages = 1 + sum(not other.is_reduced for other in tiff.pages[1:])
    if tiff.is_imagej:
        pages = max(pages, int((tiff.imagej_metadata or {}).get("images", 1)))
    if pages > 1:
        raise _wrong_shape(path, (pages, *page.shape))
    if page.bitspersample not in BITS:
        raise ValueError(
            f"{path} has {page.bitspersample} bits per pixel, which are not read. Export it with 8 "
            "or 16 bits."
        )
    if page.imagedepth > 1 or not _is_grey_or_rgb(page):
        raise _wrong_shape(path, page.shape)
    size = path.stat().st_size
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not segments or any(offset + count > size for offset, count in segments):
        raise ValueError(f"{path} is truncated: its pixels end after the end of the file.")
    if page.compression == 1 and sum(page.databytecounts) < page.size * page.bitspersample // 8:
        raise ValueError(f"{path} is damaged: it holds fewer pixels than its header promises.")
    return page


def _is_jpeg(page: tifffile.TiffPage) -> bool:
    return page.compression in (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)


def _is_grey_or_rgb(page: tifffile.TiffPage) -> bool:
    """Return whether a page has one channel or three colours, and at most an alpha besides.

    Other channels, such as those of several detectors, must not be averaged or left out.
    """
    if page.samplesperpixel == 1:
        return True
    photometric = tifffile.PHOTOMETRIC
    is_colour = page.photometric in (photometric.RGB, photometric.YCBCR)
    if page.colormap is not None or page.samplesperpixel not in ((3, 4) if is_colour else (2,)):
        return False
    if page.samplesperpixel == 3:
        return True
    # OpenCV does not say what its fourth channel is.
    is_unsaid = is_colour and not page.extrasamples
    alphas = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
    return is_unsaid or (len(page.extrasamples) == 1 and page.extrasamples[0] in alphas)


def _read_tiff(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        page = _only_page(tiff, path)
        check_inflated_sizes(tiff, page, path)
        if page.photometric == tifffile.PHOTOMETRIC.YCBCR and not _is_jpeg(page):
            _refuse_turned(page, path)
            with Image.open(path, formats=("TIFF",)) as pillow_image:  # tifffile keeps Y, Cb, Cr
                return _to_grey(np.asarray(pillow_image.convert("RGB")), path)
        try:
            image = page.asarray()
        except (ValueError, ImportError) as error:
            # tifffile decodes few compressions without further packages; OpenCV knows the others.
            if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
                raise
            _refuse_turned(page, path)
            image = _decompressed(tiff, page, path)
            if page.colormap is None:
                return _to_grey(image, path)
        if page.colormap is not None:
            return _apply_palette(image.reshape(page.shape), page.colormap)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            image = _inverted(image)
        if page.axes.startswith("S"):  # one plane per colour
            image = np.moveaxis(image, 0, -1)
    return _to_grey(image, path)


def _decompressed(tiff: tifffile.TiffFile, page: tifffile.TiffPage, path: Path) -> np.ndarray:
    """Return the pixels of a compressed TIFF as they are meant, by Pillow or OpenCV."""
    by_pillow = (str(page.dtype), page.samplesperpixel) in PILLOW_READS_WHOLE
    if page.dtype == np.float32 and tiff.byteorder == ">":
        by_pillow = False  # it swaps the bytes of what is in order already
    try:
        if not by_pillow:
            image = _decode_with_opencv(path)
        else:  # it stops at pixels that cannot be decoded, OpenCV passes over them
            with Image.open(path, formats=("TIFF",)) as pillow_image:
                image = np.asarray(pillow_image)
    except (OSError, ValueError) as error:
        if is_of_access(error):
            raise
        raise ValueError(
            f"{path} cannot be read as an image: it is compressed by {page.compression.name}, and "
            f"that failed ({error}). It may be damaged: export it again, uncompressed."
        ) from error
    # Both invert up to 8 bit.
    is_inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    return _inverted(image) if is_inverted and image.dtype.itemsize > 1 else image


def _inverted(image: np.ndarray) -> np.ndarray:
    """Return what is stored white-is-zero as it is seen."""
    return -image if image.dtype.kind == "f" else ~image


def _refuse_turned(page: tifffile.TiffPage, path: Path) -> None:
    """Raise a ValueError if a TIFF says that its pixels are to be turned, or mirrored, for the eye.

    Pillow and OpenCV do so, unlike tifffile and ImageJ: masks would not fit the pixels.
    """
    orientation = page.tags.valueof(ORIENTATION, default=UPRIGHT)
    if orientation != UPRIGHT:
        raise ValueError(
            f"{path} is compressed and says that it is to be turned for the eye (TIFF's tag "
            f"Orientation is {orientation}; {UPRIGHT} is read). Save it uncompressed, or upright."
        )


def _read_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path, formats=PILLOW_FORMATS) as image:
        _check_header(image, path)
        if image.format == "PNG":
            image.verify()  # loading does not compare the checksum of the last pixels
            check_png_is_whole(path)
    with Image.open(path, formats=PILLOW_FORMATS) as image:
        _check_header(image, path)
        image.load()
        if image.mode in ("P", "PA"):
            palette = np.zeros((3, 256), np.uint16)
            entries = np.reshape(image.getpalette("RGB"), (-1, 3)).T
            palette[:, : entries.shape[1]] = entries * 257
            return _apply_palette(np.asarray(image.getchannel(0)), palette)
        if image.format == "BMP" and image.mode == "1":
            # Pillow takes bytes for bits where two colours stand in 8 bit.
            return _to_grey(_decode_with_opencv(path), path)
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        pixels = np.asarray(image)
        if image.format == "PNG" and pixels.ndim == 3:
            # Pillow reduces colour of 16 bit to 8.
            pixels = _decode_with_opencv(path)
        return pixels[..., 0] if image.mode == "LA" else _to_grey(pixels, path)


def _decode_with_opencv(path: Path) -> np.ndarray:
    # Not imread: it fails on names with umlauts on some systems.
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("unknown compression, or damaged")
    return image


def _apply_palette(index: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the index where the palette (3, entries) is a grey ramp, else the palette's grey.

    A quarter of the ramp may be missing: Zeiss microscopes reserve every ninth entry for the
    colours of annotations.
    """
    if index.dtype == bool:
        index = index.astype(np.uint8)
    one_of_256 = 257
    ramp = np.linspace(0, 65535, palette.shape[1])
    on_ramp = (np.abs(palette - ramp) <= one_of_256).all(axis=0)
    if on_ramp.mean() >= 0.75:
        return index
    # TIFF says that 255 is written as 65,535; some programs, Pillow too, write 65,280.
    grey = palette.mean(axis=0) / (one_of_256 if (palette % 256).any() else 256)
    without_colour = not np.ptp(palette, axis=0).any()
    return (np.rint(grey).astype(np.uint8) if without_colour else grey.astype(np.float32))[index]


def _to_grey(image: np.ndarray, path: Path) -> np.ndarray:
    """Return the mean over colour of (height, width[, channels]); the alpha channel is dropped."""
    if image.ndim == 2:
        return image
    if image.ndim == 3 and image.shape[-1] in (1, 2):  # grey, grey with alpha
        return image[..., 0]
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        # float32 holds 8 and 16 bit, but not integers of 32.
        exact = np.float32 if image.dtype.itemsize < 4 else np.float64
        grey = image[..., :3].mean(axis=-1, dtype=exact)
        return grey.astype(np.float32, copy=False) if image.dtype == np.float32 else grey
    raise _wrong_shape(path, image.shape)


def colours_in(path: Path) -> int:
    """Return how many colours that are no greys an image of 8 bit holds; 0 for more than 256.

    0 for JPEGs, too, in which colours run into each other.
    """
    image = _in_colours(path, "PNG", "BMP", "GIF", "TIFF")
    colours = image.getcolors() or [] if image else []
    return sum(len(set(colour)) > 1 for _, colour in colours)


def coloured_share(path: Path) -> float:
    """Return the share of coloured pixels in an image of red, green and blue, or with a palette of
    such colours, 8 bit; of others 0.

    What has no more than a tint, or a JPEG's blur of colours, counts as grey.
    """
    image = _in_colours(path, "PNG", "BMP", "GIF", "TIFF", "JPEG")
    if image is None:
        return 0.0
    colours = np.asarray(image)[::4, ::4]  # enough to tell
    return float((np.ptp(colours, axis=-1) > TINT).mean())


def _in_colours(path, *formats):
    """Return an image of red, green and blue, or with a palette of such colours; of others None.

    What Pillow does not read, or only with warnings, `decode` has read before.
    """
    with (
        contextlib.suppress(Exception),
        warnings.catch_warnings(action="ignore"),
        Image.open(path, formats=formats) as image,
    ):
        return image.convert("RGB") if image.mode in ("RGB", "RGBA", "P", "PA") else None
    return None

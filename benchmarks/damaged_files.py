"""Small image files, whole, damaged at random, or with headers that promise far too much."""

import io
import lzma
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

DAMAGES = ("truncated", "bits flipped", "header bits flipped", "overwritten", "bytes inserted")


def make_originals(rng: np.random.Generator) -> list[tuple[str, bytes, np.ndarray | None]]:
    """Return whole files as (ending, content, grey image); None where the format is lossy."""
    grey = rng.integers(0, 256, (40, 52), np.uint8)
    grey[10:30, 10:40] = 200  # something to compress
    colour = rng.integers(0, 256, (40, 52, 3), np.uint8)
    colour_as_grey = colour.mean(axis=-1).astype(np.float32)
    deep = grey.astype(np.uint16) * 200
    real = grey / np.float32(7)
    originals = []
    for image, options in (
        (grey, {}),
        (deep, {"byteorder": ">"}),
        (real, {"rowsperstrip": 8}),
        (deep, {"tile": (16, 16)}),
        (grey, {"compression": "zlib"}),
        (real, {"compression": "zlib", "tile": (32, 32)}),
        (deep, {"compression": "zlib", "predictor": 2, "rowsperstrip": 5}),
        (deep.astype(np.int32), {"bigtiff": True}),
    ):
        try:
            originals.append((".tif", _tiff(image, **options), image))
        except (ImportError, KeyError, ValueError):  # a predictor needs the package imagecodecs
            continue
    originals.append((".tif", _tiff(colour, photometric="rgb"), colour_as_grey))
    originals.append((".tif", _with_pillow(grey, "TIFF", compression="tiff_lzw"), grey))
    originals.append((".tif", _with_pillow(grey, "TIFF", compression="packbits"), grey))
    originals.append((".png", _with_pillow(grey, "PNG"), grey))
    originals.append((".png", _with_pillow(deep, "PNG"), deep))
    originals.append((".png", _with_pillow(colour, "PNG"), colour_as_grey))
    originals.append((".jpg", _with_pillow(grey, "JPEG"), None))
    originals.append((".jpeg", _with_pillow(colour, "JPEG", progressive=True), None))
    originals.append((".bmp", _with_pillow(grey, "BMP"), grey))
    originals.append((".gif", _with_pillow(grey, "GIF"), None))
    return originals


def _tiff(image: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, metadata=None, **options)
    return file.getvalue()


def _with_pillow(image: np.ndarray, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, file_format, **options)
    return file.getvalue()


def damage(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Return a file's content with one kind of damage at a random place."""
    if kind == "truncated":
        return content[: rng.integers(0, len(content))]
    changed = bytearray(content)
    if kind in ("bits flipped", "header bits flipped"):
        # A TIFF header may lie at either end.
        ends = [*range(len(content))[:256], *range(len(content))[-256:]]
        for _ in range(rng.integers(1, 9)):
            place = rng.choice(ends) if kind.startswith("header") else rng.integers(len(content))
            changed[place] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    start = int(rng.integers(len(content)))
    noise = rng.bytes(int(rng.integers(1, 65)))
    end = start + len(noise) if kind == "overwritten" else start
    changed[start:end] = noise
    return bytes(changed)


def make_bombs(megabytes: int) -> list[tuple[str, bytes]]:
    """Return TIFFs of 64 x 64 pixels whose only strip inflates to so many megabytes."""
    content = bytes(megabytes * 2**20)
    deflated, lzma_packed = zlib.compress(content, 1), lzma.compress(content, preset=0)
    return [
        (".tif", _tiff_of_strips(64, compression, packed, len(packed)))
        for compression, packed in ((8, deflated), (32946, deflated), (34925, lzma_packed))
    ]


def _tiff_of_strips(side: int, compression: int, content: bytes, length: int, strips=1) -> bytes:
    """Return a TIFF whose header promises so many pixels a side, and strips of this length."""
    entries = [(256, side), (257, side), (258, 8), (259, compression), (262, 1)]
    entries += [(273, 200), (277, 1), (278, side), (279, length)]
    counts = [strips if tag in (273, 279) else 1 for tag, _ in entries]
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries))
    tiff += b"".join(
        struct.pack("<HHII", tag, 4, count, value)
        for (tag, value), count in zip(entries, counts, strict=True)
    )
    return (tiff + bytes(4)).ljust(200, b"\0") + content


def make_promises(pixels_a_side: int) -> list[tuple[str, bytes]]:
    """Return files of a few bytes whose headers promise ``pixels_a_side`` squared pixels."""
    side = pixels_a_side
    header = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1100, 0, 0, 54, 40, side, side, 1, 24, *[0] * 6)
    gif = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00;"
    jpeg = bytearray(_with_pillow(np.zeros((8, 8), np.uint8), "JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", side, side)
    packed = zlib.compress(bytes(9**5))
    tiffs = [
        (".tif", _tiff_of_strips(side, compression, packed, 100, strips))
        for compression, strips in ((1, 1), (8, 1), (5, 1), (1, 2**30))
    ]
    return [
        *tiffs,
        (".png", png),
        (".bmp", bmp + bytes(1000)),
        (".gif", gif),
        (".jpg", bytes(jpeg)),
    ]

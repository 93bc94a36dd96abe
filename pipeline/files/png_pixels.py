"""How many pixels a PNG holds: as many as its header promises.

Pillow and OpenCV fill up with black what is missing at the end of compressed data that are whole in
themselves.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

SIGNATURE_BYTES, CHECKSUM_BYTES = 8, 4
HEADER = ">IIBBBBB"  # width, height, bits, colour type, compression, filter, interlacing
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of the colour types
# First row and column, and steps between rows and columns, of the passes of an interlaced image.
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
BYTES_AT_A_TIME = 2**20


def check_png_is_whole(path: Path) -> None:
    """Raise a ValueError if the pixels of a PNG, whose checksums are right, end early.

    Source: Portable Network Graphics (PNG) Specification, third edition (W3C).
    """
    chunks = _chunks(path)
    promised = _promised_bytes(next(chunks)[1])
    inflated = _inflated_bytes((data for name, data in chunks if name == b"IDAT"), promised)
    if inflated < promised:
        raise ValueError(
            f"its pixels end early: {inflated} bytes of the {promised} that its header promises"
        )


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, data) of the chunks of a PNG."""
    with open(path, "rb") as file:
        file.seek(SIGNATURE_BYTES)
        while len(start := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", start)
            yield name, file.read(length)
            file.seek(CHECKSUM_BYTES, 1)


def _promised_bytes(header: bytes) -> int:
    """Return the bytes of all rows, each of which begins with one for its filter."""
    width, height, bits, colour_type, *_, interlacing = struct.unpack(HEADER, header)
    passes = ADAM7 if interlacing else ((0, 0, 1, 1),)
    promised = 0
    for first_row, first_column, row_step, column_step in passes:
        rows = len(range(first_row, height, row_step))
        columns = len(range(first_column, width, column_step))
        if columns:
            promised += rows * (1 + -(-columns * CHANNELS[colour_type] * bits // 8))
    return promised


def _inflated_bytes(parts: Iterator[bytes], most: int) -> int:
    """Return how many bytes compressed data inflate to; ``most`` or more if they are so many."""
    inflate, inflated = zlib.decompressobj(), 0
    for part in parts:
        while part and inflated < most:
            inflated += len(inflate.decompress(part, BYTES_AT_A_TIME))
            part = inflate.unconsumed_tail
        if inflated >= most:
            return inflated
    return inflated + len(inflate.flush())

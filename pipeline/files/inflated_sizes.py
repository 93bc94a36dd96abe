"""How much the strips or tiles of a TIFF inflate to: no more than its header promises.

tifffile inflates each of them as a whole, and leaves out afterwards what is too much.
"""

import io
import lzma
import zlib
from pathlib import Path

import tifffile

LZMA = tifffile.COMPRESSION.LZMA
DEFLATE = (
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.PIXTIFF,
)
LOW_BITS_FIRST = 2  # of TIFF's FillOrder
BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_inflated_sizes(tiff: tifffile.TiffFile, page: tifffile.TiffPage, path: Path) -> None:
    """Raise a ValueError if a strip or tile of a page inflates to more than the header promises.

    The memory is that of one strip or tile as promised.
    """
    if page.compression not in (LZMA, *DEFLATE):
        return
    promised = _promised_bytes(page)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        tiff.filehandle.seek(offset)
        data = tiff.filehandle.read(count)
        if page.fillorder == LOW_BITS_FIRST:
            data = data.translate(BITS_REVERSED)
        if data and len(_inflate(data, page.compression, promised + 1)) > promised:
            raise ValueError(
                f"{path} is damaged: a strip or tile of it holds more than the {promised} bytes "
                "that its header promises."
            )


def _promised_bytes(page: tifffile.TiffPage) -> int:
    """Return the bytes of a whole strip or tile; each row begins with a byte of its own."""
    rows, columns = page.rowsperstrip, page.imagewidth
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    is_interleaved = page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    samples = columns * (page.samplesperpixel if is_interleaved else 1)
    return rows * -(-samples * page.bitspersample // 8)


def _inflate(data: bytes, compression: int, most: int) -> bytes:
    """Return at most so many bytes of what compressed data inflate to."""
    if compression == LZMA:
        with lzma.open(io.BytesIO(data)) as file:
            return file.read(most)
    return zlib.decompressobj().decompress(data, most)

"""Digests of files' contents; of a large file one is made once, while its size and times stay.

So a folder of hundreds of gigabytes is read through once, not at each start and in each step.
"""

import hashlib
import os
import time
from pathlib import Path
from typing import BinaryIO

LARGE = 2**20  # bytes: smaller files are read as soon as they are looked at
# What changed so shortly before may change again and keep its time: some file systems count in two
# seconds.
SETTLED = 3 * 10**9  # nanoseconds
# Elsewhere the system notes when a file was changed, whatever its date; on Windows some of its
# content has to tell: so many parts of so many bytes, evenly spread.
NOTES_CHANGES = os.name != "nt"
PARTS, PART_BYTES = 16, 4096
DIGEST_BYTES = 64  # of blake2b

# By its path what tells that a file is still the same, and the digest.
_known: dict[str, list] = {}


def digest_of_file(path: Path) -> bytes:
    """Return the blake2b digest of a file's content."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        if not NOTES_CHANGES:
            state[2] = _sample_of(file, status.st_size)
        name = os.path.abspath(path)
        *same, digest = _known.get(name, [None])
        if same == state:
            return bytes.fromhex(digest)
        now = time.time_ns()
        content = hashlib.file_digest(file, "blake2b").digest()
    if status.st_size >= LARGE and now - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED:
        _known[name] = [*state, content.hex()]
    return content


def _sample_of(file: BinaryIO, size: int) -> int:
    """Return a number that stands for some parts of a file."""
    sample = hashlib.blake2b(digest_size=8)
    for part in range(PARTS):
        file.seek(part * size // PARTS)
        sample.update(file.read(PART_BYTES))
    file.seek(0)
    return int.from_bytes(sample.digest())


def known_digests() -> dict[str, list]:
    """Return the digests that need not be made again, to be kept as JSON."""
    return dict(_known)


def recall_digests(kept: dict[str, list]) -> None:
    """Take over what `known_digests` gave in another process; what is damaged is left out."""
    _known.update({name: entry for name, entry in kept.items() if _is_entry(entry)})


def _is_entry(entry) -> bool:
    if not isinstance(entry, list) or len(entry) != 5:
        return False
    *state, digest = entry
    return all(type(number) is int for number in state) and _is_digest(digest)


def _is_digest(text) -> bool:
    try:
        return len(bytes.fromhex(text)) == DIGEST_BYTES
    except (TypeError, ValueError):
        return False

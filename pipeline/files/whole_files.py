"""Files written whole or not at all: under another name, flushed to the disk, then renamed."""

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What an OSError says if the disk, one's share of it, or what a file may hold is used up.
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BYTES_AT_A_TIME = 2**24
# On Windows a file that another program looks at, such as a virus scanner, cannot be renamed or
# replaced until that is done.
SECONDS_TO_WAIT_FOR_OTHERS = 5.0 if os.name == "nt" else 0.0
# A folder cannot as long as any of its files is looked at: so many times as long is waited for it.
TIMES_FOR_A_FOLDER = 12


def is_of_access(error: Exception) -> bool:
    """Return whether an error tells that a file could not be got at, and nothing of what it holds.

    Such as of a network drive that is gone, or without permission. A file that is not there, and
    what readers run into in damaged files (as a negative place in them), are no such errors.
    """
    number = error.errno if isinstance(error, OSError) else None
    return number not in (None, errno.EINVAL, errno.ENOENT)


def read_through(path: Path) -> None:
    """Read a file to its end; an OSError tells that its drive cannot give it just now."""
    with open(path, "rb") as file:
        while file.read(BYTES_AT_A_TIME):
            pass


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; flush it to the disk and rename it at the end.

    Raises
    ------
    OSError
        If it cannot be written whole, such as on a full disk; names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".part_{path.name}")  # with its ending, which Keras goes by
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        rename_for_good(temporary, path)
    except OSError as error:
        raise OSError(*_number_and_words(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _number_and_words(error: OSError) -> tuple[int, str]:
    """Return an error's number, and what it means or, of an error without one, what it says."""
    number = error.errno
    # NumPy, and so tifffile, says "100 requested and 0 written"; HDF5 quotes the system's words.
    if number is None and re.search(f"requested and|{os.strerror(errno.ENOSPC)}", str(error)):
        number = errno.ENOSPC
    return (number, os.strerror(number)) if number else (errno.EIO, str(error))


def rename_for_good(temporary: Path, path: Path) -> None:
    """Rename to a final name and flush the folder, so that the name survives a power failure.

    What the file or folder holds must be flushed before.
    """
    _replace(temporary, path)
    if os.name == "posix":  # Windows cannot open folders, and needs no flush
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # of file systems that cannot flush a folder
                raise
        finally:
            os.close(folder)


def _replace(temporary: Path, path: Path) -> None:
    times = TIMES_FOR_A_FOLDER if temporary.is_dir() else 1
    end = time.monotonic() + times * SECONDS_TO_WAIT_FOR_OTHERS
    while True:
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)

"""What a network is to learn of each tile, computed once and kept on the disk, not in memory."""

import errno
import logging
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.files.whole_files import DISK_IS_FULL

logger = logging.getLogger(__name__)


class KeptTargets:
    """Arrays of one shape and type that ``make(index)`` returns, made when first asked for.

    They are kept in a file without a name in ``folder``, which is gone when the process is. Threads
    may ask at the same time. On a full disk the file is emptied, and arrays are made each time.
    """

    def __init__(self, folder: Path, make: Callable[[int], np.ndarray]) -> None:
        self._make = make
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".targets_", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._places: dict[int, int] = {}
        self._is_full = False
        self._one_at_a_time = threading.Lock()

    def __getitem__(self, index: int) -> np.ndarray:
        with self._one_at_a_time:
            if index in self._places:
                return self._read(self._places[index])
        array = np.ascontiguousarray(self._make(index))  # while other threads go on
        with self._one_at_a_time:
            if index not in self._places and not self._is_full:
                self._keep(index, array)
        return array

    def _read(self, place: int) -> np.ndarray:
        array = np.empty(self._shape, self._dtype)
        self._file.seek(place * array.nbytes)
        if self._file.readinto(array) != array.nbytes:
            raise OSError(errno.EIO, "a file of training targets was cut: run step 6a again")
        return array

    def _keep(self, index: int, array: np.ndarray) -> None:
        self._shape, self._dtype = array.shape, array.dtype
        place = len(self._places)
        self._file.seek(place * array.nbytes)
        try:
            is_whole = self._file.write(array) == array.nbytes
        except OSError as error:
            if error.errno not in DISK_IS_FULL:
                raise
            is_whole = False
        if is_whole:
            self._places[index] = place
            return
        logger.warning("the disk is full: targets are computed anew for each batch, which is slow")
        self._is_full, self._places = True, {}
        self._file.truncate(0)

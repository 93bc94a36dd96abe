"""Targets that are made once and kept in a file, whoever asks, whatever happens to the disk."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.training_data.kept_targets import KeptTargets


def array(index):
    return np.random.default_rng(index).random((6, 5, 2), np.float32)


def test_each_is_made_once_whatever_the_order_and_never_changed(tmp_path):
    made = []
    targets = KeptTargets(tmp_path, lambda index: made.append(index) or array(index)[::-1])
    for index in np.random.default_rng(0).integers(10, size=200):
        given = targets[index]
        np.testing.assert_array_equal(given, array(index)[::-1])
        given[...] = -1  # by one who was given it
    assert sorted(made) == list(range(10))


def test_threads_ask_at_the_same_time_and_all_get_what_they_asked_for(tmp_path):
    together = threading.Barrier(4, timeout=20)

    def make(index):
        together.wait()  # so four are made at a time, of which some are the same
        return array(index)

    targets = KeptTargets(tmp_path, make)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(2):  # the second time all are read
            order = [0, 0, 1, 2, 3, 4, 5, 6]
            for index, given in zip(order, threads.map(targets.__getitem__, order), strict=True):
                np.testing.assert_array_equal(given, array(index))


def test_the_file_has_no_name_and_is_closed_with_the_object(tmp_path):
    targets = KeptTargets(tmp_path, array)
    targets[0]
    file = targets._file
    assert not list(tmp_path.iterdir()) and not file.closed
    del targets
    assert file.closed


@pytest.mark.parametrize("room", [0, 100, 240 + 100])  # bytes: none, and not for a whole array
def test_on_a_full_disk_all_goes_on_without_it_and_the_room_is_given_back(tmp_path, caplog, room):
    made = []
    targets = KeptTargets(tmp_path, lambda index: made.append(index) or array(index))
    targets._file = FileOnSmallDisk(targets._file, room)
    for index in (0, 1, 2, 0, 1, 2):
        np.testing.assert_array_equal(targets[index], array(index))
    assert len(made) == 6
    assert targets._file.seek(0, 2) == 0
    assert caplog.text.count("the disk is full: targets are computed anew for each batch") == 1


def test_other_errors_of_the_disk_are_not_silent(tmp_path):
    targets = KeptTargets(tmp_path, array)
    targets[0], targets[1]
    targets._file.truncate(300)
    np.testing.assert_array_equal(targets[0], array(0))
    with pytest.raises(OSError, match="was cut"):
        targets[1]
    targets._file.close()
    with pytest.raises(ValueError, match="closed"):
        targets[2]


class FileOnSmallDisk:
    """A file that takes so many bytes, then fewer than asked for, then none."""

    def __init__(self, file, room):
        self.file, self.room = file, room
        self.seek, self.readinto, self.truncate = file.seek, file.readinto, file.truncate

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = memoryview(data).cast("B")[: self.room]
        self.room -= len(taken)
        return self.file.write(taken)

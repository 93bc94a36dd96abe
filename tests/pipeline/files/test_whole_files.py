"""Whatever happens while a file is written, its name has either all of it or what was there."""

import errno
import os
import stat

import pytest

from pipeline.files import whole_files
from pipeline.files.records import read_json, write_json
from pipeline.files.whole_files import whole_file
from pipeline.running.step_failures import in_words


def test_interrupted_writing_leaves_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("earlier")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("1000000 requested and 0 written", errno.ENOSPC),  # numpy.ndarray.tofile
        ("Unable to flush (error message = 'No space left on device')", errno.ENOSPC),  # HDF5
        ("Unable to synchronously open object", errno.EIO),
    ],
)
def test_an_error_without_a_number_means_a_full_disk_only_if_it_says_so(tmp_path, words, number):
    with pytest.raises(OSError, match=r"a\.txt") as raised, whole_file(tmp_path / "a.txt"):
        raise OSError(words)
    assert raised.value.errno == number
    assert ("disk is full" in in_words(raised.value)) == (number == errno.ENOSPC)
    assert number == errno.ENOSPC or words in in_words(raised.value)


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot open folders")
def test_a_new_name_is_flushed_to_the_disk_and_not_only_the_content(tmp_path, monkeypatch):
    flushed = []

    def fsync(file):
        is_folder = stat.S_ISDIR(os.fstat(file).st_mode)
        flushed.append(
            ("folder" if is_folder else "file", sorted(p.name for p in tmp_path.iterdir()))
        )

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "a.json", {})
    with whole_file(tmp_path / "b.txt") as temporary:
        temporary.write_text("content")
    assert flushed == [
        ("file", [".part_a.json"]),
        ("folder", ["a.json"]),
        ("file", [".part_b.txt", "a.json"]),
        ("folder", ["a.json", "b.txt"]),
    ]


@pytest.mark.parametrize("looked_at", [2, 10**6])  # so many times it cannot be replaced
def test_a_file_that_another_program_looks_at_is_waited_for(tmp_path, monkeypatch, looked_at):
    """As on Windows, where a virus scanner or Excel holds it."""
    tries, replace = [], os.replace

    def held(source, target):
        tries.append(source)
        if len(tries) <= looked_at:
            raise PermissionError(13, "The process cannot access the file", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(whole_files, "SECONDS_TO_WAIT_FOR_OTHERS", 0.5)
    (tmp_path / "a.json").write_text("earlier")
    if looked_at == 2:
        write_json(tmp_path / "a.json", {})
        assert len(tries) == 3
    else:
        with pytest.raises(PermissionError, match=r"a\.json"):
            write_json(tmp_path / "a.json", {})
        assert (tmp_path / "a.json").read_text() == "earlier" and len(tries) > 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_waited_for_for_longer(tmp_path, monkeypatch):
    """A scanner looks at its files one after the other."""
    tries, replace = [], os.replace

    def held(source, target):
        tries.append(source)
        if len(tries) <= 3:
            raise PermissionError(13, "The process cannot access the file", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(whole_files, "SECONDS_TO_WAIT_FOR_OTHERS", 1e-9)
    monkeypatch.setattr(whole_files, "TIMES_FOR_A_FOLDER", 1e12)
    (tmp_path / "a").touch()
    with pytest.raises(PermissionError):
        whole_files.rename_for_good(tmp_path / "a", tmp_path / "b")
    tries.clear()
    (tmp_path / ".part").mkdir()
    whole_files.rename_for_good(tmp_path / ".part", tmp_path / "000001_000000")
    assert (tmp_path / "000001_000000").is_dir() and len(tries) == 4


def test_a_file_system_that_cannot_flush_a_folder_is_no_error(tmp_path, monkeypatch):
    def fsync(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "a.json", {"key": 1})
    assert read_json(tmp_path / "a.json") == {"key": 1}

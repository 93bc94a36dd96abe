"""Large files are read once, and again when they change."""

import hashlib
import os
import time

import pytest

from pipeline.files import digests
from pipeline.files.digests import digest_of_file, known_digests, recall_digests
from pipeline.files.records import read_record, write_json


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(digests, "LARGE", 4)


@pytest.fixture
def read(monkeypatch):
    """The files that were read so far."""
    names, take_digest = [], hashlib.file_digest

    def file_digest(file, kind):
        names.append(os.path.basename(file.name))
        return take_digest(file, kind)

    monkeypatch.setattr(digests.hashlib, "file_digest", file_digest)
    return names


def write(path, content, age=60):
    path.write_bytes(content)
    seconds = time.time() - age
    os.utime(path, (seconds, seconds))
    return path


@pytest.fixture
def settled(monkeypatch):
    """Let times of a file's status, which no program can set, be long ago."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 10**11)


def test_a_large_file_is_read_once_and_a_small_one_each_time(tmp_path, read, settled):
    large, small = write(tmp_path / "large", b"12345"), write(tmp_path / "small", b"123")
    for _ in range(3):
        assert digest_of_file(large) == hashlib.blake2b(b"12345").digest()
        assert digest_of_file(small) == hashlib.blake2b(b"123").digest()
    assert read == ["large", "small", "small", "small"]


@pytest.mark.parametrize("change", ["content", "size", "time", "another file"])
def test_a_file_that_changed_is_read_again(tmp_path, read, settled, change):
    path = write(tmp_path / "a", b"12345")
    digest_of_file(path)
    if change == "another file":
        write(tmp_path / "b", b"54321", age=0)
        status = path.stat()
        os.utime(tmp_path / "b", ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(tmp_path / "b", path)
    else:
        content = {"content": b"54321", "size": b"123456", "time": b"12345"}[change]
        write(path, content, age=50)
    assert digest_of_file(path) == hashlib.blake2b(path.read_bytes()).digest()
    assert len(read) == 2


def test_a_file_that_has_just_changed_may_change_again(tmp_path, read):
    path = write(tmp_path / "a", b"12345", age=0)
    for _ in range(2):
        digest_of_file(path)
    assert len(read) == 2


def test_digests_outlive_the_process(tmp_path, read, settled, monkeypatch):
    path = write(tmp_path / "a", b"12345")
    expected = digest_of_file(path)
    write_json(tmp_path / "digests.json", known_digests())
    monkeypatch.setattr(digests, "_known", {})
    recall_digests(read_record(tmp_path / "digests.json"))
    assert digest_of_file(path) == expected and len(read) == 1


@pytest.mark.parametrize(
    "damage", [None, [], "text", [1, 2, 3, 4], [1, 2, 3, 4, "ff"], [1, 2, 3, 4, "x" * 128]]
)
def test_damaged_digests_are_left_out(tmp_path, read, settled, damage):
    path = write(tmp_path / "a", b"12345")
    recall_digests({str(path): damage})
    assert digest_of_file(path) == hashlib.blake2b(b"12345").digest() and len(read) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows does not note when a file was changed")
def test_a_change_that_keeps_size_and_date_is_seen(tmp_path, read, settled):
    path = write(tmp_path / "a", b"12345")
    digest_of_file(path)
    status = path.stat()
    time.sleep(0.05)
    path.write_bytes(b"54321")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of_file(path) == hashlib.blake2b(b"54321").digest()


@pytest.mark.parametrize("place", [0, 500, 999])
def test_where_changes_are_not_noted_some_of_the_content_tells(
    tmp_path, settled, monkeypatch, place
):
    """As on Windows."""
    monkeypatch.setattr(digests, "NOTES_CHANGES", False)
    monkeypatch.setattr(digests, "PART_BYTES", 100)
    path = write(tmp_path / "a", b"a" * 1000)
    digest_of_file(path)
    ((name, entry),) = known_digests().items()
    assert digest_of_file(path) == hashlib.blake2b(b"a" * 1000).digest()
    changed = bytearray(b"a" * 1000)
    changed[place] = 0
    status = path.stat()
    path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of_file(path) == hashlib.blake2b(changed).digest()
    assert known_digests()[name] != entry

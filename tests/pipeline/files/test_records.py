"""Records as JSON, and fingerprints of files."""

import unicodedata

import numpy as np
import pytest

from pipeline.files.records import fingerprint, read_json, write_json


def test_fingerprint_follows_names_and_contents(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    before = fingerprint(files)
    assert before == fingerprint(reversed(files))
    files[0].write_text("other")
    assert fingerprint(files) != before


def test_a_fingerprint_tells_files_of_other_names_with_the_same_contents(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    before = fingerprint(tmp_path.iterdir())
    (tmp_path / "b").rename(tmp_path / "c")
    renamed = fingerprint(tmp_path.iterdir())
    (tmp_path / "a").rename(tmp_path / "d")
    assert len({before, renamed, fingerprint(tmp_path.iterdir())}) == 3


def test_an_accent_may_be_written_either_way(tmp_path):
    before = []
    for form in ("NFC", "NFD"):
        folder = tmp_path / form
        folder.mkdir()
        for name in ("Größe.PNG", "Grz.PNG"):
            (folder / unicodedata.normalize(form, name)).write_text(name)
        before.append(fingerprint(folder.iterdir()))
    assert before[0] == before[1]


def test_json_is_whole_and_in_its_order(tmp_path):
    """The log's columns come from it when a training is continued."""
    path = tmp_path / "state.json"
    write_json(path, {"b": 1, "a": [0.1, 1 / 3]})
    assert list(read_json(path)) == ["b", "a"]
    with pytest.raises(ValueError, match="Circular"):
        write_json(path, (circle := []).append(circle) or circle)
    assert read_json(path) == {"b": 1, "a": [0.1, 1 / 3]}


def test_numbers_of_numpy_are_numbers_in_json(tmp_path):
    write_json(tmp_path / "a.json", [np.int64(384), np.float32(0.5), np.bool_(False), tmp_path])
    assert read_json(tmp_path / "a.json") == [384, 0.5, False, str(tmp_path)]

"""Run names, the newest finished model, and output folders that are continued or renewed."""

import errno
import json
import os
import stat
import tempfile
import time
import tomllib
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pipeline import PROGRAM, VERSION, run_folders
from pipeline.run_folders import (
    check_made_from,
    fingerprint,
    new_run_folder,
    newest_model,
    open_output_folder,
    read_json,
    write_json,
)

ROOT = Path(__file__).resolve().parents[2]


def test_new_runs_never_share_a_folder(tmp_path):
    names = [new_run_folder(tmp_path / "Models").name for _ in range(3)]
    assert names == sorted(set(names))


def test_a_new_run_is_the_newest_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1.8e9)
    first = new_run_folder(tmp_path)
    (tmp_path / "2026-99-99_00-00-00").mkdir()  # no run of ours
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - 7200)
    second, third = new_run_folder(tmp_path), new_run_folder(tmp_path)
    assert first.name < second.name < third.name
    monkeypatch.setattr(time, "time", lambda: 1.8e9 + 60)
    assert new_run_folder(tmp_path).name > third.name


def test_newest_model_is_the_latest_finished_one(tmp_path, caplog):
    for run in ("2026-01-02_00-00-00", "2026-01-10_00-00-00", "2026-01-11_00-00-00"):
        (tmp_path / run).mkdir()
    for run in ("2026-01-02_00-00-00", "2026-01-10_00-00-00"):
        (tmp_path / run / "model.keras").touch()
    assert newest_model(tmp_path, "model.keras", "step 1").parent.name == "2026-01-10_00-00-00"
    (warning,) = caplog.messages
    assert warning.startswith(f"run 2026-01-11_00-00-00 in {tmp_path} holds no finished model")
    assert warning.endswith("that of run 2026-01-10_00-00-00 is used")
    caplog.clear()
    (tmp_path / "2026-01-11_00-00-00").rmdir()
    newest_model(tmp_path, "model.keras", "step 1")
    assert not caplog.messages
    chosen = newest_model(tmp_path, "model.keras", "step 1", run="2026-01-02_00-00-00")
    assert chosen.parent.name == "2026-01-02_00-00-00"
    with pytest.raises(FileNotFoundError, match="Name a run folder in"):
        newest_model(tmp_path, "model.keras", "step 1", run="2026-01-11_00-00-00")


def test_a_missing_model_names_the_step_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run step 3 \(train_cyclegan\) first"):
        newest_model(tmp_path, "model.keras", "step 3 (train_cyclegan)")


def test_a_model_can_be_finished_by_another_file(tmp_path):
    run = tmp_path / "2026-01-02_00-00-00"
    run.mkdir()
    (run / "best.keras").touch()
    with pytest.raises(FileNotFoundError):
        newest_model(tmp_path, "best.keras", "step", finished_by="model.keras")
    (run / "model.keras").touch()
    assert newest_model(tmp_path, "best.keras", "step", finished_by="model.keras").exists()


def test_a_run_that_a_user_renamed_is_used_only_by_its_name(tmp_path):
    for name in ("2026-01-02_00-00-00", "good run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").touch()
    assert newest_model(tmp_path, "model.keras", "step").parent.name == "2026-01-02_00-00-00"
    assert newest_model(tmp_path, "model.keras", "step", run="good run").parent.name == "good run"
    (tmp_path / "2026-01-02_00-00-00" / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match="only where an option names them"):
        newest_model(tmp_path, "model.keras", "step")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="nothing is closed to this user or system"
)
def test_a_run_that_cannot_be_read_is_passed_over(tmp_path):
    for name in ("2026-01-02_00-00-00", "2026-01-03_00-00-00"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").touch()
    (tmp_path / "2026-01-03_00-00-00").chmod(0)
    assert newest_model(tmp_path, "model.keras", "step").parent.name == "2026-01-02_00-00-00"
    (tmp_path / "2026-01-03_00-00-00").chmod(0o700)


def test_a_run_that_the_system_closes_is_passed_over(tmp_path, monkeypatch):
    """As the test before, for a superuser, who may read anything."""
    for name in ("2026-01-02_00-00-00", "2026-01-03_00-00-00"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").touch()
    closed = tmp_path / "2026-01-03_00-00-00"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    assert newest_model(tmp_path, "model.keras", "step").parent.name == "2026-01-02_00-00-00"


def test_a_folder_made_from_other_files_is_refused(tmp_path):
    image = tmp_path / "00000.tif"
    image.write_text("new")
    inputs = fingerprint([image])
    check_made_from(tmp_path / "no record", inputs, "run step 5")
    for recorded in (inputs, ["another", inputs]):
        check_made_from(open_output_folder(tmp_path / "a", {"inputs": recorded}), inputs, "")
    for recorded in ("another", ["another"]):
        folder = open_output_folder(tmp_path / "b", {"inputs": recorded})
        with pytest.raises(ValueError, match=r"b was made from other files .*: run step 5\."):
            check_made_from(folder, inputs, "run step 5")
    write_json(folder / run_folders.MADE_WITH, ["damaged"])
    check_made_from(folder, inputs, "as without a record")


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


def test_equal_options_continue_a_folder_and_others_empty_it(tmp_path):
    folder = open_output_folder(tmp_path / "out", {"a": (1, 2)})
    (folder / "image.tif").touch()
    open_output_folder(folder, {"a": [1, 2]})
    assert (folder / "image.tif").exists()
    open_output_folder(folder, {"a": [1, 3]})
    assert not (folder / "image.tif").exists()
    record = {"version": VERSION, "a": [1, 3]}
    assert json.loads((folder / "made_with.json").read_text()) == record


def test_what_another_version_made_is_made_again(tmp_path, monkeypatch):
    folder = open_output_folder(tmp_path / "out", {"a": 1})
    (folder / "image.tif").touch()
    monkeypatch.setattr(run_folders, "VERSION", "another")
    open_output_folder(folder, {"a": 1})
    assert not (folder / "image.tif").exists()


@pytest.mark.parametrize("damaged", ["7", "[]", "no JSON"])
def test_what_lost_its_record_is_moved_aside(tmp_path, damaged):
    folder = open_output_folder(tmp_path / "out", {"a": 1})
    (folder / "image.tif").write_text("perhaps mine")
    (folder / "made_with.json").write_text(damaged)
    open_output_folder(folder, {"a": 1})
    (kept,) = (tmp_path / "Earlier_Results").glob("*/image.tif")
    assert kept.read_text() == "perhaps mine"


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == (PROGRAM, VERSION)
    assert f"\n## {VERSION}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_results_are_moved_aside_not_deleted(tmp_path):
    folder = open_output_folder(tmp_path / "masks", {"a": 1}, keep_earlier=True)
    (folder / "mask.tif").write_text("mine")
    open_output_folder(folder, {"a": 2}, keep_earlier=True)
    kept = list((tmp_path / "Earlier_Results").glob("masks_*/mask.tif"))
    assert [path.read_text() for path in kept] == ["mine"]
    assert not (folder / "mask.tif").exists()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")
def test_results_on_another_disk_are_moved_aside_too(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        (tmp_path / "masks").symlink_to(disk)
        folder = open_output_folder(tmp_path / "masks", {"a": 1}, keep_earlier=True)
        (folder / "mask.tif").write_text("mine")
        open_output_folder(folder, {"a": 2}, keep_earlier=True)
        assert [path.name for path in Path(disk).iterdir()] == ["made_with.json"]
    (kept,) = (tmp_path / "Earlier_Results").glob("masks_*")
    assert sorted(path.name for path in kept.iterdir()) == ["made_with.json", "mask.tif"]
    assert (kept / "mask.tif").read_text() == "mine"


def test_files_of_unknown_origin_are_never_deleted(tmp_path):
    folder = tmp_path / "trainB"
    folder.mkdir()
    (folder / "by_hand.tif").write_text("mine")
    open_output_folder(folder, {"a": 1})
    kept = list((tmp_path / "Earlier_Results").glob("trainB_*/by_hand.tif"))
    assert [path.read_text() for path in kept] == ["mine"]


def test_what_no_step_makes_is_moved_aside_and_what_one_made_is_not(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.tif").touch()
    folder = open_output_folder(tmp_path / "trainA", {"a": 1})
    (folder / "00000.tif").write_text("a tile")
    (folder / "selection").mkdir()
    (folder / "selection" / "notes.txt").write_text("mine")
    (folder / "mine.png").write_text("mine")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    open_output_folder(folder, {"a": 2})
    assert [path.name for path in folder.iterdir()] == ["made_with.json"]
    (kept,) = (tmp_path / "Earlier_Results").iterdir()
    assert {path.name for path in kept.iterdir()} == {"selection", "mine.png", "link"}
    assert (kept / "selection" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "elsewhere" / "mine.tif").is_file()


def test_what_the_user_changed_is_used_as_it_is_and_moved_aside_when_made_anew(tmp_path):
    folder = open_output_folder(tmp_path / "trainB", {"a": 1})
    (folder / "00000.tif").write_text("changed by hand")
    record = read_json(folder / run_folders.MADE_WITH)
    write_json(folder / run_folders.MADE_WITH, record | {run_folders.EDITED: True})
    for _ in range(2):
        open_output_folder(folder, {"a": 1})
        assert (folder / "00000.tif").read_text() == "changed by hand"
    open_output_folder(folder, {"a": 2})
    (kept,) = (tmp_path / "Earlier_Results").glob("*/00000.tif")
    assert kept.read_text() == "changed by hand"
    (folder / "00000.tif").write_text("made anew")
    open_output_folder(folder, {"a": 3})
    assert len(list((tmp_path / "Earlier_Results").iterdir())) == 1


def test_where_all_is_kept_the_mark_of_a_change_is_not(tmp_path):
    """A mask that was deleted, and is made again, leaves a folder as it was."""
    folder = open_output_folder(tmp_path / "masks", {"a": 1}, keep_earlier=True)
    record = read_json(folder / run_folders.MADE_WITH)
    write_json(folder / run_folders.MADE_WITH, record | {run_folders.EDITED: True})
    open_output_folder(folder, {"a": 1}, keep_earlier=True)
    assert read_json(folder / run_folders.MADE_WITH) == record


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


def test_what_is_to_go_aside_does_so_though_it_was_made_alike(tmp_path):
    folder = tmp_path / "masks"
    open_output_folder(folder, {"seed": 1})
    (folder / "a.tif").write_bytes(b"one")
    record = read_json(folder / run_folders.MADE_WITH)
    write_json(folder / run_folders.MADE_WITH, record | {run_folders.GOES_ASIDE: True})
    open_output_folder(folder, {"seed": 1})
    assert not (folder / "a.tif").exists()
    (kept,) = (tmp_path / "Earlier_Results").glob("*/a.tif")
    assert kept.read_bytes() == b"one"
    assert read_json(folder / run_folders.MADE_WITH) == record


def test_a_file_system_that_cannot_flush_a_folder_is_no_error(tmp_path, monkeypatch):
    def fsync(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "a.json", {"key": 1})
    assert read_json(tmp_path / "a.json") == {"key": 1}

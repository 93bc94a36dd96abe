"""Output folders are continued or renewed, and nothing in them is lost."""

import json
import os
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipeline import PROGRAM, VERSION
from pipeline.files.records import fingerprint, read_json, write_json
from pipeline.files.written_images import is_as_written
from pipeline.image_files import write_image
from pipeline.running import output_folders
from pipeline.running.output_folders import check_made_from, open_output_folder

ROOT = Path(__file__).resolve().parents[3]
TILE = np.arange(48, dtype=np.uint8).reshape(6, 8)


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
    write_json(folder / output_folders.MADE_WITH, ["damaged"])
    check_made_from(folder, inputs, "as without a record")


def test_equal_options_continue_a_folder_and_others_empty_it(tmp_path):
    folder = open_output_folder(tmp_path / "out", {"a": (1, 2)})
    write_image(folder / "image.tif", TILE)
    open_output_folder(folder, {"a": [1, 2]})
    assert (folder / "image.tif").exists()
    open_output_folder(folder, {"a": [1, 3]})
    assert not (folder / "image.tif").exists()
    assert not (tmp_path / "Earlier_Results").exists()
    record = {"version": VERSION, "a": [1, 3]}
    assert json.loads((folder / "made_with.json").read_text()) == record


@pytest.mark.parametrize("keep_earlier", [False, True])
def test_the_record_goes_before_what_it_is_of(tmp_path, monkeypatch, keep_earlier):
    """A process may be killed in between; what is left would be taken for a finished folder."""
    folder = open_output_folder(tmp_path / "out", {"a": 1})
    for number in range(3):
        write_image(folder / f"{number}.tif", TILE)
    content = sorted(folder.iterdir())
    assert content[0].name != output_folders.MADE_WITH
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(content))
    gone = []
    monkeypatch.setattr(Path, "unlink", lambda path, **_: gone.append(path.name))
    monkeypatch.setattr(output_folders.shutil, "move", lambda path, _: gone.append(path.name))
    monkeypatch.setattr(output_folders, "write_json", lambda *_: None)
    open_output_folder(folder, {"a": 2}, keep_earlier=keep_earlier)
    assert gone[0] == output_folders.MADE_WITH and len(gone) == 4


def test_what_another_version_made_is_made_again(tmp_path, monkeypatch):
    folder = open_output_folder(tmp_path / "out", {"a": 1})
    (folder / "image.tif").touch()
    monkeypatch.setattr(output_folders, "VERSION", "another")
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
    write_image(folder / "00000.tif", TILE)
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
    write_image(folder / "00000.tif", TILE)  # looks as a step made it, but the record knows
    record = read_json(folder / output_folders.MADE_WITH)
    write_json(folder / output_folders.MADE_WITH, record | {output_folders.EDITED: True})
    for _ in range(2):
        open_output_folder(folder, {"a": 1})
        assert (folder / "00000.tif").is_file()
    open_output_folder(folder, {"a": 2})
    (kept,) = (tmp_path / "Earlier_Results").glob("*/00000.tif")
    assert is_as_written(kept)
    write_image(folder / "00000.tif", TILE)
    open_output_folder(folder, {"a": 3})
    assert len(list((tmp_path / "Earlier_Results").iterdir())) == 1


@pytest.mark.parametrize("change", ["painted", "saved by another program", "drawn by hand"])
def test_what_the_user_changed_is_known_without_a_record_of_it(tmp_path, change):
    """The step was stopped, or the folder copied without the hidden `.workflow`."""
    folder = open_output_folder(tmp_path / "trainB", {"a": 1})
    for number in range(3):
        write_image(folder / f"{number}.tif", TILE)
    changed, mine = TILE.copy(), folder / "1.tif"
    if change == "painted":  # by a program that keeps the description
        changed[3, 4] = 255
        with tifffile.TiffFile(mine) as file:
            description = file.pages.first.description
        tifffile.imwrite(mine, changed, description=description, metadata=None)
    else:
        mine = folder / "mine.tif" if change == "drawn by hand" else mine
        tifffile.imwrite(mine, changed)
    as_changed = mine.read_bytes()
    open_output_folder(folder, {"a": 2})
    (kept,) = (tmp_path / "Earlier_Results").iterdir()
    assert (kept / mine.name).read_bytes() == as_changed
    # With what it belongs to.
    assert {"0.tif", "1.tif", "2.tif"} <= {path.name for path in kept.iterdir()}
    assert [path.name for path in folder.iterdir()] == ["made_with.json"]


def test_where_all_is_kept_the_mark_of_a_change_is_not(tmp_path):
    """A mask that was deleted, and is made again, leaves a folder as it was."""
    folder = open_output_folder(tmp_path / "masks", {"a": 1}, keep_earlier=True)
    record = read_json(folder / output_folders.MADE_WITH)
    write_json(folder / output_folders.MADE_WITH, record | {output_folders.EDITED: True})
    open_output_folder(folder, {"a": 1}, keep_earlier=True)
    assert read_json(folder / output_folders.MADE_WITH) == record


def test_what_is_to_go_aside_does_so_though_it_was_made_alike(tmp_path):
    folder = tmp_path / "masks"
    open_output_folder(folder, {"seed": 1})
    (folder / "a.tif").write_bytes(b"one")
    record = read_json(folder / output_folders.MADE_WITH)
    write_json(folder / output_folders.MADE_WITH, record | {output_folders.GOES_ASIDE: True})
    open_output_folder(folder, {"seed": 1})
    assert not (folder / "a.tif").exists()
    (kept,) = (tmp_path / "Earlier_Results").glob("*/a.tif")
    assert kept.read_bytes() == b"one"
    assert read_json(folder / output_folders.MADE_WITH) == record

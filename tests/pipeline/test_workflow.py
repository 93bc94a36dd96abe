"""Which steps run, and why; what is recorded of a finished one."""

import pytest

from pipeline import workflow


def record(tmp_path, **changes):
    keywords = {"images_dir": str(tmp_path / "images"), "tile_height": 64, "cyclegan_dir": tmp_path}
    keywords |= changes
    made_with = workflow._made_with("0", keywords, {})
    return {"made_with": made_with, "left": workflow._listing("0", keywords)}, keywords


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "data/trainA", "data/testA"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "images" / "a.tif").write_bytes(b"one")
    (tmp_path / "data" / "trainA" / "a-0.tif").write_bytes(b"tile")
    return tmp_path


def why(folder, done, **changes):
    now, keywords = record(folder, **changes)
    return workflow._why_run(done, now["made_with"], "0", keywords)


def test_a_finished_step_is_done_until_something_changes(folder):
    done, _ = record(folder)
    assert why(folder, done) is None
    assert why(folder, None) == "not done yet"
    assert why(folder, done, tile_height=32) == "option tile_height changed"
    (folder / "images" / "b.tif").write_bytes(b"two")
    assert why(folder, done) == "input images_dir changed"


def test_options_without_effect_and_moved_folders_change_nothing(folder):
    done, _ = record(folder, preview_every=20)
    assert why(folder, done, preview_every=5) is None
    moved = folder.with_name("moved")
    folder.rename(moved)
    assert why(moved, done) is None


def test_missing_output_is_made_again_but_hidden_files_do_not_count(folder):
    done, _ = record(folder)
    (folder / "data" / "trainA" / ".DS_Store").touch()
    assert why(folder, done) is None
    (folder / "data" / "trainA" / "a-0.tif").unlink()
    assert why(folder, done) == "its output is not as it was left"


def test_a_step_runs_again_when_an_earlier_one_left_something_else(tmp_path):
    first = {"0": {"made_with": 1, "left": "x"}, "2": {"made_with": 2, "left": "y"}}
    second = {**first, "2": {"made_with": 2, "left": "z"}}
    keywords = {"cyclegan_dir": str(tmp_path), "epochs": 1}
    before = workflow._made_with("3", keywords, first)
    after = workflow._made_with("3", keywords, second)
    assert workflow._why_run({"made_with": before}, after, "3", keywords) == "step 2 changed"


def test_only_the_latest_run_counts_as_a_training_step_output(tmp_path):
    keywords = {"wgan_dir": str(tmp_path)}
    for run in ("2026-01-01_00-00-00", "2026-01-02_00-00-00"):
        (tmp_path / "Models" / run).mkdir(parents=True)
        (tmp_path / "Models" / run / "model.keras").write_text(run)
    both = workflow._listing("1", keywords)
    (tmp_path / "Models" / "2026-01-01_00-00-00" / "model.keras").unlink()
    assert workflow._listing("1", keywords) == both


def test_steps_are_selected_by_number():
    calls = [(number, "name", {}) for number in workflow.STEPS]
    numbers = [call[0] for call in workflow._select(calls, ["6", "3"])]
    assert numbers == ["3", "6a", "6b"]
    assert workflow._select(calls, []) == calls
    with pytest.raises(SystemExit, match="No step nine; there are the steps 0, 1"):
        workflow._select(calls, ["nine"])
    with pytest.raises(SystemExit, match="Step 3 is not called"):
        workflow._select([call for call in calls if call[0] != "3"], ["3"])

"""Run names, and the newest finished run."""

import os
import time
from pathlib import Path

import pytest

from pipeline.run_folders import new_run_folder, newest_run
from pipeline.running.step_table import NETWORKS


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


def make_runs(parent, *names, files=("model.keras",)):
    for name in names:
        (parent / "Models" / name).mkdir(parents=True)
        for file in files:
            (parent / "Models" / name / file).touch()


def test_the_newest_run_is_the_latest_finished_one(tmp_path, caplog):
    make_runs(tmp_path, "2026-01-02_00-00-00", "2026-01-10_00-00-00")
    make_runs(tmp_path, "2026-01-11_00-00-00", files=())
    assert newest_run("wgan", tmp_path) == tmp_path / "Models" / "2026-01-10_00-00-00"
    (warning,) = caplog.messages
    assert warning.startswith(
        f"run 2026-01-11_00-00-00 in {tmp_path / 'Models'} holds no finished model"
    )
    assert warning.endswith("that of run 2026-01-10_00-00-00 is used")
    caplog.clear()
    (tmp_path / "Models" / "2026-01-11_00-00-00").rmdir()
    newest_run("wgan", tmp_path)
    assert not caplog.messages
    chosen = newest_run("wgan", tmp_path, "2026-01-02_00-00-00")
    assert chosen.name == "2026-01-02_00-00-00"
    with pytest.raises(FileNotFoundError, match="Name a run folder in"):
        newest_run("wgan", tmp_path, "2026-01-11_00-00-00")


def test_a_missing_model_names_the_step_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run step 3 \(train_cyclegan\) first"):
        newest_run("cyclegan", tmp_path)


@pytest.mark.parametrize("network", ["wgan", "cyclegan", "unet"])
def test_a_run_is_finished_with_all_its_files(tmp_path, network):
    make_runs(tmp_path, "2026-01-02_00-00-00", files=())
    for file in NETWORKS[network].files:
        with pytest.raises(FileNotFoundError, match="No finished model"):
            newest_run(network, tmp_path)
        (tmp_path / "Models" / "2026-01-02_00-00-00" / file).touch()
    assert newest_run(network, tmp_path).name == "2026-01-02_00-00-00"


def test_a_run_that_a_user_renamed_is_used_only_by_its_name(tmp_path):
    make_runs(tmp_path, "2026-01-02_00-00-00", "good run")
    assert newest_run("wgan", tmp_path).name == "2026-01-02_00-00-00"
    assert newest_run("wgan", tmp_path, "good run").name == "good run"
    (tmp_path / "Models" / "2026-01-02_00-00-00" / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match="only where an option names them"):
        newest_run("wgan", tmp_path)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="nothing is closed to this user or system"
)
def test_a_run_that_cannot_be_read_is_passed_over(tmp_path):
    make_runs(tmp_path, "2026-01-02_00-00-00", "2026-01-03_00-00-00")
    closed = tmp_path / "Models" / "2026-01-03_00-00-00"
    closed.chmod(0)
    assert newest_run("wgan", tmp_path).name == "2026-01-02_00-00-00"
    closed.chmod(0o700)


def test_a_run_that_the_system_closes_is_passed_over(tmp_path, monkeypatch):
    """As the test before, for a superuser, who may read anything."""
    make_runs(tmp_path, "2026-01-02_00-00-00", "2026-01-03_00-00-00")
    closed = tmp_path / "Models" / "2026-01-03_00-00-00"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    assert newest_run("wgan", tmp_path).name == "2026-01-02_00-00-00"

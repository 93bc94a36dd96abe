import os
from collections import namedtuple

import pytest

from pipeline import check_machine
from pipeline.check_machine import (
    check_backend,
    check_disk_space,
    check_gpus,
    check_write_permission,
    count_gpus,
    estimate_bytes,
    existing_parent,
)
from tests.start_process import default_options


def test_both_backends_are_known(monkeypatch):
    monkeypatch.setattr(check_machine.importlib.util, "find_spec", lambda name: object())
    assert check_backend("tensorflow") == check_backend("torch") == check_backend(None) == []


def test_an_unknown_backend():
    (problem,) = check_backend("pytorch")
    assert 'KERAS_BACKEND is "pytorch"; allowed is "tensorflow" or "torch"' in problem
    assert "Did you mean torch?" in problem


@pytest.mark.parametrize(("name", "other"), [("tensorflow", "torch"), ("torch", "tensorflow")])
def test_a_backend_that_is_not_installed(monkeypatch, name, other):
    there = {"keras", other}
    monkeypatch.setattr(
        check_machine.importlib.util, "find_spec", lambda package: package in there or None
    )
    (problem,) = check_backend(name)
    assert f'KERAS_BACKEND is "{name}", but the package {name} is not installed here' in problem
    assert "`pip install -r requirements.txt`" in problem
    assert f'choose "{other}"' in problem


def test_a_backend_without_keras(monkeypatch):
    monkeypatch.setattr(
        check_machine.importlib.util, "find_spec", lambda name: None if name == "keras" else name
    )
    (problem,) = check_backend("torch")
    assert "the package keras is not installed" in problem


@pytest.mark.parametrize(
    ("there", "asked", "words"),
    [
        (0, 2, "USE_GPUS_NO is 2, but this machine has none"),
        (0, [0], "USE_GPUS_NO is [0], but this machine has none"),
        (2, 3, "USE_GPUS_NO is 3, but this machine has 2 (numbers 0 to 1)"),
        (2, [0, 2], "USE_GPUS_NO is [0, 2], but this machine has 2 (numbers 0 to 1)"),
    ],
)
def test_gpus_that_are_not_there(monkeypatch, there, asked, words):
    monkeypatch.setattr(check_machine, "count_gpus", lambda: there)
    (problem,) = check_gpus(asked, "auto")
    assert words in problem
    assert 'set USE_GPUS_NO to "all", which also works without a GPU' in problem


@pytest.mark.parametrize(
    ("there", "asked"), [(0, "all"), (0, 0), (2, 2), (2, [0, 1]), (None, 8), (None, [7])]
)
def test_gpus_that_are_there_or_cannot_be_counted(monkeypatch, there, asked):
    monkeypatch.setattr(check_machine, "count_gpus", lambda: there)
    assert check_gpus(asked, "auto") == []


def test_whole_images_without_the_gpu_asked_for_are_warned_of(monkeypatch, caplog):
    monkeypatch.setattr(check_machine, "count_gpus", lambda: 0)
    assert check_gpus("all", True) == []
    assert "there is no GPU: the CPU does it" in caplog.text


def test_hidden_gpus_do_not_count(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert count_gpus() in (0, None)


def test_the_nearest_folder_that_exists(tmp_path):
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    assert existing_parent(tmp_path) == tmp_path


def test_no_permission_to_write(tmp_path, monkeypatch):
    # A superuser may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: "Results" not in str(path))
    (tmp_path / "Results").mkdir()
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"RESULTS_DIR is {tmp_path}" in problem
    assert f"there is no permission to write in {tmp_path / 'Results'}" in problem
    assert "change the permission or the option" in problem


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a superuser may write")
def test_no_permission_to_write_for_a_user(tmp_path):
    tmp_path.chmod(0o555)
    problems = check_write_permission(default_options(tmp_path))
    tmp_path.chmod(0o755)
    assert "no permission to write" in problems[0]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "Results").write_text("a file")
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"but {tmp_path / 'Results'} is a file. Allowed is a folder" in problem


def test_the_estimate_grows_with_what_decides_it():
    options = default_options()
    published = estimate_bytes(options, 40 * 1024 * 712, (64, 64))
    # 96.5 million parameters: weights and two moments in three checkpoints, and the model.
    assert 3.8e9 < published["CYCLEGAN_DIR"] < 6e9
    assert published["OUTPUT_DIR_UNET"] == 5 * 40 * 1024 * 712
    for change in ({"CYCLEGAN_FILTERS": 65}, {"NUM_SIMULATED_MASKS": 1001}, {"TILE_SIZE_W": 400}):
        more = estimate_bytes(options | change, 40 * 1024 * 712, (64, 64))
        assert more["CYCLEGAN_DIR"] > published["CYCLEGAN_DIR"]
    assert estimate_bytes(options, 0, (96, 96))["WGAN_DIR"] > published["WGAN_DIR"]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "problems"), [(10**9, 1), (10**13, 0)])
def test_a_full_disk(tmp_path, monkeypatch, free, problems):
    monkeypatch.setattr(check_machine.shutil, "disk_usage", lambda path: Usage(0, 0, free))
    options = default_options(tmp_path)
    found = check_disk_space(options, estimate_bytes(options, 10**6, (64, 64)))
    assert len(found) == problems
    for problem in found:
        assert f"The disk of {tmp_path} has 1.0 GB free; the run will write about" in problem
        assert "lower NUM_SIMULATED_MASKS or CYCLEGAN_FILTERS" in problem


def test_what_is_written_already_counts_when_the_run_is_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(check_machine.shutil, "disk_usage", lambda path: Usage(0, 0, 500))
    options = default_options(tmp_path)
    (tmp_path / "1_WGAN").mkdir()
    (tmp_path / "1_WGAN" / "model").write_bytes(bytes(1000))
    assert check_disk_space(options | {"RESUME": True}, {"WGAN_DIR": 1400}) == []
    assert len(check_disk_space(options | {"RESUME": False}, {"WGAN_DIR": 1400})) == 1

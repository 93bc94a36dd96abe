import os
from pathlib import Path

import pytest

from pipeline.checks import machine as check_machine
from pipeline.checks.disk import check_disk_space
from pipeline.checks.machine import (
    check_backend,
    check_gpus,
    check_write_permission,
    count_gpus,
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


def test_a_gpu_for_whole_images_that_is_not_there(monkeypatch):
    monkeypatch.setattr(check_machine, "count_gpus", lambda: 0)
    (problem,) = check_gpus("all", True)
    assert "USE_GPU_FOR_WHOLE_IMAGE_INFERENCE is True, but this machine has no GPU" in problem
    assert 'Allowed are "auto"' in problem
    assert len(check_gpus(2, True)) == 2


@pytest.mark.parametrize("there", [None, 0, 2])
@pytest.mark.parametrize("no_gpu", [0, []])
def test_a_gpu_for_whole_images_in_a_run_on_the_cpu(monkeypatch, there, no_gpu):
    monkeypatch.setattr(check_machine, "count_gpus", lambda: there)
    (problem,) = check_gpus(no_gpu, True)
    assert f"INFERENCE is True, but USE_GPUS_NO is {no_gpu}, the CPU. Set the former to" in problem
    assert check_gpus(no_gpu, "auto") == check_gpus(no_gpu, False) == []


@pytest.fixture
def devices(tmp_path, monkeypatch):
    """Return a folder that stands for /dev of a Linux machine with two NVIDIA GPUs."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / "dev" / name).touch()
    monkeypatch.setattr(check_machine, "Path", lambda path: tmp_path / path.lstrip("/"))
    monkeypatch.setattr(check_machine.sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "dev"


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0, 1", 2), ("0,1,2", 2), ("GPU-8932f937", 1)],
)
def test_hidden_gpus_do_not_count(devices, monkeypatch, visible, count):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


def test_without_a_gpu_there_is_none_whatever_is_visible(devices, monkeypatch):
    for number in (0, 1):
        (devices / f"nvidia{number}").unlink()
    assert count_gpus() == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert count_gpus() == 0


@pytest.mark.parametrize("other", ["kfd", "dxg", "nvhost-gpu"])
def test_gpus_that_are_listed_elsewhere_are_not_counted(devices, other):
    (devices / other).touch()
    assert count_gpus() is None


def test_gpus_of_other_systems_are_not_counted(devices, monkeypatch):
    monkeypatch.setattr(check_machine.sys, "platform", "win32")
    assert count_gpus() is None


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


def test_no_permission_to_write_anywhere(tmp_path, monkeypatch):
    """As the test before, for a superuser, who may write."""
    monkeypatch.setattr(os, "access", lambda path, mode: tmp_path not in (path, *path.parents))
    problems = check_write_permission(default_options(tmp_path))
    assert problems[0].startswith(f"ROOT_DIR is {tmp_path}, but there is no permission to write")
    assert len(problems) > 5 and all("no permission to write in" in one for one in problems)


def test_where_earlier_masks_cannot_go_is_warned_of(tmp_path, monkeypatch, caplog):
    shared = tmp_path / "shared"
    (shared / "masks").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shared)
    options = default_options(tmp_path) | {"OUTPUT_DIR_UNET": str(shared / "masks")}
    assert check_write_permission(options) == []
    assert caplog.text == ""  # nothing is there to be moved
    (shared / "masks" / "a.tif").touch()
    assert check_write_permission(options, ["7"]) == []
    assert caplog.text == ""
    assert check_write_permission(options) == []
    assert f"OUTPUT_DIR_UNET is {shared / 'masks'}, which holds masks" in caplog.text
    assert f"no permission to write in {shared}, where" in caplog.text


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "Results").write_text("a file")
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"but {tmp_path / 'Results'} is a file. Allowed is a folder" in problem


def test_a_drive_that_is_not_there(tmp_path, monkeypatch):
    drive, exists = Path(tmp_path.anchor), os.path.exists
    folder = drive / "no such folder" / "Results"
    # Without its drive, nothing of a path exists.
    monkeypatch.setattr(os.path, "exists", lambda path: Path(path) != drive and exists(path))
    options = default_options(tmp_path) | {"RESULTS_DIR": str(folder)}
    (problem,) = check_write_permission(options)
    assert f"RESULTS_DIR is {folder}, but there is no {drive}. Allowed is a folder on" in problem
    assert check_disk_space(options, {"RESULTS_DIR": 10**18}, []) == []


def test_a_folder_below_one_that_may_not_be_entered(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    stat, access = os.stat, os.access

    def refuse(path, *how, **more):
        if closed in Path(os.fsdecode(path)).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *how, **more)

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and access(path, mode))
    options = default_options(tmp_path) | {"RESULTS_DIR": str(closed / "a" / "b")}
    assert existing_parent(closed / "a" / "b") == closed
    (problem,) = check_write_permission(options)
    assert f"RESULTS_DIR is {closed / 'a' / 'b'}, but there is no permission to write" in problem
    assert f"in {closed}. Allowed is a folder of your own" in problem


@pytest.mark.parametrize("inner", [".workflow", "1_WGAN/Models", "2_CycleGAN/generate_images/B"])
def test_folders_of_earlier_runs_must_be_writable_too(tmp_path, monkeypatch, inner):
    (tmp_path / inner).mkdir(parents=True)
    assert check_write_permission(default_options(tmp_path)) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / inner)
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"there is no permission to write in {tmp_path / inner}. Allowed" in problem
    if inner != ".workflow":
        assert check_write_permission(default_options(tmp_path), {"6b"}) == []


@pytest.mark.parametrize("name", ["log.txt", "steps.json"])
def test_notes_of_earlier_runs_must_be_readable_and_writable(tmp_path, monkeypatch, name):
    (tmp_path / ".workflow").mkdir()
    (tmp_path / ".workflow" / name).write_text("")
    assert check_write_permission(default_options(tmp_path)) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / ".workflow" / name)
    (problem,) = check_write_permission(default_options(tmp_path))
    assert problem.startswith(f"{tmp_path / '.workflow' / name}, in which a run notes what it has")


@pytest.mark.parametrize("network", ["1_WGAN", "2_CycleGAN", "3_UNet"])
def test_folders_of_networks_that_are_only_read_may_be_closed(tmp_path, monkeypatch, network):
    (tmp_path / network).mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / network)
    assert len(check_write_permission(default_options(tmp_path))) == 1
    assert check_write_permission(default_options(tmp_path), {"6b", "7"}) == []


@pytest.mark.parametrize(
    ("there", "chosen", "number"),
    [(4, "all", 4), (4, 3, 3), (4, [1, 3], 2), (None, 2, 2)]
    + [(4, case, None) for case in (1, [2], 0, [])]
    + [(there, "all", None) for there in (None, 0, 1)],
)
def test_of_several_gpus_it_is_said_that_the_first_is_used(
    monkeypatch, caplog, there, chosen, number
):
    caplog.set_level("INFO")
    monkeypatch.setattr(check_machine, "count_gpus", lambda: there)
    check_machine.tell_of_idle_gpus(chosen)
    told = f"training uses the first of {number} GPUs; USE_GPUS_NO can name another"
    assert caplog.messages == ([told] if number else [])

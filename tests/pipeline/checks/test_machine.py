import pytest

from pipeline.checks import machine as check_machine
from pipeline.checks.machine import (
    check_backend,
    check_gpus,
    count_gpus,
)


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
    assert f'not installed here; {other} is: set KERAS_BACKEND to "{other}" in the' in problem


def test_no_backend_is_installed(monkeypatch):
    monkeypatch.setattr(
        check_machine.importlib.util, "find_spec", lambda name: name if name == "keras" else None
    )
    (problem,) = check_backend("torch")
    assert "not installed here; run `pip install -r requirements.txt`, or `pip install torch`" in (
        problem
    )


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

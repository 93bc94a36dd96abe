"""Trainings that will not fit into a GPU are told of before the first begins."""

import os
import stat

import pytest

from pipeline.checks import gpu_memory
from pipeline.checks.gpu_memory import largest_batch, warn_of_little_gpu_memory

OPTIONS = {"TILE_SIZE_H": 384, "TILE_SIZE_W": 384}
CYCLEGAN = {"batch_size": 5, "filters": 64, "precision": "float32"}
UNET = {"batch_size": 5, "filters": 16, "precision": "float32"}


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Return ``gpus(*mebibytes)``, which puts an nvidia-smi that tells so on the path; ``taken`` of
    each are in use."""

    def make(*mebibytes, taken=500):
        lines = "".join(f"echo '{number}, {number - taken}'\n" for number in mebibytes)
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{lines}")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return make


on_posix = pytest.mark.skipif(os.name != "posix", reason="a program for a test is a shell script")


# 26.6 GiB in float32 and 11.1 in bfloat16 for 5 tiles, 6.2 and 3.1 for one; UNet 3.7.
@pytest.mark.parametrize(
    ("name", "keywords", "gibibytes", "batch"),
    [
        ("train_cyclegan", CYCLEGAN, 26.7 + 1, 5),
        ("train_cyclegan", CYCLEGAN, 26.5 + 1, 4),
        ("train_cyclegan", CYCLEGAN, 6.3 + 1, 1),
        ("train_cyclegan", CYCLEGAN, 6.1 + 1, 0),
        ("train_cyclegan", CYCLEGAN | {"precision": "mixed_bfloat16"}, 11.2 + 1, 5),
        ("train_cyclegan", CYCLEGAN | {"filters": 32}, 26.7 + 1, 10),
        ("train_unet", UNET, 3.7 + 1, 5),
        ("train_unet", UNET, 3.5 + 1, 4),
    ],
)
def test_what_fits_is_as_counted(name, keywords, gibibytes, batch):
    assert largest_batch(OPTIONS, name, keywords, gibibytes) == batch
    smaller = OPTIONS | {"TILE_SIZE_W": 192}
    assert largest_batch(smaller, name, keywords, gibibytes) in (2 * batch, 2 * batch + 1)


@on_posix
def test_what_hardly_fits_is_told_with_what_does(gpus, caplog):
    gpus(12 * 1024)
    calls = [("3", "train_cyclegan", CYCLEGAN), ("6a", "train_unet", UNET), ("7", "measure", {})]
    warn_of_little_gpu_memory(OPTIONS, calls)
    (message,) = caplog.messages
    assert "train_cyclegan: 5 tiles in a batch may not fit into the GPU's 12 GiB" in message
    assert (
        "lower CYCLEGAN_BATCH_SIZE to 1, or, on a GPU of 2020 or later, set precision=" in message
    )
    caplog.clear()
    gpus(4 * 1024)
    calls = [("3", "train_cyclegan", CYCLEGAN | {"precision": "mixed_bfloat16"})]
    warn_of_little_gpu_memory(OPTIONS | {"TILE_SIZE_H": 768}, calls)
    assert "lower TILE_SIZE_H and TILE_SIZE_W; its training" in caplog.text
    caplog.clear()
    gpus(24 * 1024)
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    assert "lower CYCLEGAN_BATCH_SIZE to 4" in caplog.text  # 5 took 26 GiB where they were measured
    caplog.clear()
    gpus(32 * 1024)
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    assert caplog.messages == []


@on_posix
def test_what_other_programs_use_counts_and_is_told(gpus, caplog):
    gpus(80 * 1024, taken=70 * 1024)
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    (message,) = caplog.messages
    assert "the GPU's 80 GiB of memory, of which 10 are free now: other programs" in message
    assert "lower CYCLEGAN_BATCH_SIZE to 1" in message
    assert "or choose another GPU (USE_GPUS_NO), or" in message


@on_posix
@pytest.mark.parametrize("unknown", ["batch_size", "filters", "precision"])
def test_of_a_training_that_is_not_known_in_full_nothing_is_said(gpus, caplog, unknown):
    gpus(6000)
    keywords = {name: value for name, value in CYCLEGAN.items() if name != unknown}
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", keywords)])
    assert caplog.text == ""


@on_posix
def test_it_is_the_memory_of_the_gpu_that_is_used(gpus, monkeypatch):
    gpus(8192, 16384, 24576)
    memory = gpu_memory.gpu_memory
    chosen = [memory("all"), memory(2), memory([1]), memory([2, 0])]
    assert [gpu.total for gpu in chosen] == [8, 8, 16, 24]
    assert [gpu.total - gpu.free for gpu in chosen] == pytest.approx([500 / 1024] * 4)
    assert [memory(0), memory([]), memory([3])] == [None] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    assert [memory("all").total, memory([1]).total] == [24, 16]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937")
    assert memory("all") is None


@on_posix
def test_where_no_gpu_tells_its_memory_nothing_is_said(gpus, monkeypatch, caplog, tmp_path):
    gpus()
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho '[N/A]'")
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9")
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    warn_of_little_gpu_memory(OPTIONS, [("3", "train_cyclegan", CYCLEGAN)])
    assert caplog.messages == []

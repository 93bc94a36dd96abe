"""A step in a process of its own: what its errors say, and that it ends with its run."""

import errno
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from models import backend
from pipeline import run_step
from pipeline.processes.run_lock import identity_of, is_alive
from pipeline.run_step import runs_network
from pipeline.step_table import STEPS

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("a.tif is damaged."), "a.tif is damaged."),
        (KeyError("name"), "KeyError: 'name'"),
        (MemoryError("11 GiB"), "out of memory. End other programs, or cut the largest"),
        (BrokenProcessPool("a process"), "most often because memory ran out. End other programs"),
        (OSError(errno.ENOSPC, "No space left", "a.tif"), "the disk is full, or your share of it"),
        (OSError(errno.EDQUOT, "Quota exceeded", "a.tif"), "'a.tif'). Make room, then run StartPr"),
        (PermissionError(errno.EACCES, "Permission denied", "a.tif"), "Permission denied: 'a.tif'"),
    ],
)
def test_an_error_is_said_in_words(error, words):
    assert words in run_step.in_words(error)


@pytest.mark.parametrize(
    ("function", "whole_image", "advice"),
    [
        ("translate_images", True, "Set RUN_INFERENCE_ON_WHOLE_IMAGE = False"),
        ("segment_images", True, "Set RUN_INFERENCE_ON_WHOLE_IMAGE = False"),
        ("segment_images", False, "Use smaller tiles (TILE_SIZE_H, TILE_SIZE_W)"),
        ("train_wgan", None, "Crop the outlines in Input_Masks to the particles"),
        ("train_unet", None, "Use a smaller UNET_BATCH_SIZE or smaller tiles"),
        ("measure_particles", None, "End other programs, or cut the largest micrographs"),
    ],
)
def test_what_helps_against_full_memory_depends_on_the_step(function, whole_image, advice):
    keywords = {} if whole_image is None else {"whole_image": whole_image}
    assert f"out of memory. {advice}" in run_step.in_words(MemoryError(), function, keywords)
    assert f"because memory ran out. {advice}" in run_step.why_ended(-9, function, keywords)


def test_what_is_enlarged_needs_less_memory_at_a_lower_scale():
    advice = run_step.less_memory("filter_masks", {"micrograph_scale": 2.0})
    assert advice.endswith("cut the largest micrographs into parts, or lower MICROGRAPH_SCALE.")


def test_what_is_magnified_needs_less_memory_as_it_is():
    keywords = {"whole_image": False, "magnification": 1.25}
    advice = run_step.less_memory("segment_images", keywords)
    assert advice.startswith("Set UNET_TEST_TIME_MAGNIFICATION = 1")
    assert "MAGNIFICATION" not in run_step.less_memory("segment_images", {"magnification": 1})


def test_what_a_backend_says_of_full_memory_is_understood():
    if backend.BACKEND == "torch":
        with pytest.raises(RuntimeError) as full:
            backend.torch.empty(10**14)  # on the CPU
        assert "out of memory. Set RUN_INFERENCE" in run_step.in_words(
            full.value, "segment_images", {"whole_image": True}
        )
    assert not backend.is_out_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "stopped with exit code 1"),
        (-9, "ended by signal 9, most often because memory ran out. End other programs"),
        (-11, "ended by signal 11. Run StartProcess.py again to go on where it was"),
    ],
)
def test_an_exit_code_is_said_in_words(code, words):
    assert words in run_step.why_ended(code)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Return a job whose function is ``step``, set by the test; and the folder of its log."""

    def make(step):
        monkeypatch.setitem(sys.modules, "pipeline.a_step", type(sys)("pipeline.a_step"))
        sys.modules["pipeline.a_step"].a_step = step
        log_file = str(tmp_path / "log.txt")
        return {"number": "9", "function": "a_step", "keywords": {}, "log_file": log_file}

    return make


def test_a_failed_step_says_why_and_keeps_the_traceback_in_the_log(job, caplog, tmp_path):
    def step():
        raise ValueError("a.tif is damaged.")

    assert run_step.run_job(job(step)) == 1
    assert caplog.messages == ["Step 9 failed: a.tif is damaged."]
    assert "Traceback" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("decided", [None, "one thread only"])
def test_what_the_backend_decides_is_said(job, caplog, monkeypatch, decided):
    caplog.set_level("INFO")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # with torch it would hide TensorFlow
    monkeypatch.setattr(run_step, "runs_network", lambda function, keywords: True)
    monkeypatch.setattr(backend, "set_up_devices", lambda **options: decided)
    assert run_step.run_job(job(lambda: None) | {"devices": {}}) == 0
    assert caplog.messages == ([decided] if decided else [])


def test_an_interrupted_step_tells_so_by_its_exit_code(job):
    def step():
        raise KeyboardInterrupt

    assert run_step.run_job(job(step)) == run_step.INTERRUPTED
    assert run_step.run_job(job(lambda: None)) == 0


@pytest.mark.parametrize("function", [function for function, *_ in STEPS.values()])
def test_a_step_imports_its_own_backend_or_none(function):
    keywords = {"outline_source": "augmented"} if function == "simulate_masks" else {}
    code = (
        "import json, os, sys; from pipeline.run_step import run_job; "
        "run_job(json.loads(sys.argv[1])); "
        "print('oneDNN', os.environ.get('TF_ENABLE_ONEDNN_OPTS')); "
        "print(*{'keras', 'tensorflow', 'torch'} & {n for n, m in sys.modules.items() if m})"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    devices = {"use_gpus": 0, "allow_memory_growth": True, "deterministic": False, "use_xla": False}
    job = {"number": "9", "function": function, "keywords": keywords, "devices": devices}
    job["log_file"] = os.devnull
    command = [sys.executable, "-c", code, json.dumps(job)]
    ended = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True, env=environment
    )
    # The step itself refuses to run without its keywords.
    assert "missing" in ended.stderr and "required keyword-only" in ended.stderr
    expected = {"keras", os.environ.get("KERAS_BACKEND", "tensorflow")}
    one_dnn, imported = ended.stdout.splitlines()
    assert set(imported.split()) == (expected if runs_network(function, keywords) else set())
    # TensorFlow decides for itself where networks only predict.
    assert one_dnn == f"oneDNN {'1' if function.startswith('train_') else None}"


def test_a_standard_output_that_is_no_file_will_do(monkeypatch):
    class OfANotebook(io.TextIOBase):
        def write(self, text):
            said.append(text)
            return len(text)

    said = []
    monkeypatch.setattr(sys, "stdout", OfANotebook())
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        run_step.set_up_logging()
        logging.getLogger("pipeline").info("begun")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "  begun" in "".join(said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file on an always full disk")
def test_a_log_on_a_full_disk_does_not_hide_the_error(tmp_path):
    keywords = dict.fromkeys(("tile_height", "tile_width", "num_tiles"), 64) | {"min_overlap": 0}
    keywords |= {"images_dir": str(tmp_path / "none"), "cyclegan_dir": str(tmp_path)}
    keywords |= {"dark_background": True, "image_crop": None, "micrograph_scale": 1.0}
    keywords |= {"seed": 1}
    job = {"number": "0", "function": "prepare_images", "keywords": keywords}
    job |= {"log_file": "/dev/full", "parent": identity_of(os.getpid())}
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "pipeline.run_step", str(tmp_path / "job.json")]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout.startswith(f"  Step 0 failed: The folder {tmp_path / 'none'} does not")
    assert ended.stdout.count("\n") == 1 and ended.stderr == ""


def test_a_step_ends_when_its_run_is_gone():
    run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    code = (
        "import sys, time; from pipeline.run_step import end_with; "
        "end_with([int(sys.argv[1]), sys.argv[2]]); print('ready', flush=True); "
        "time.sleep(900)"
    )
    step = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, identity_of(run.pid))],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    assert step.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    assert step.poll() is None
    run.kill()  # and not waited for: it stays listed
    assert step.wait(timeout=600) == 1
    assert not is_alive(identity_of(run.pid))
    run.communicate()
    step.stdout.close()


@pytest.mark.skipif(os.name != "posix", reason="no such signals")
def test_a_shutdown_that_signals_every_process_lets_the_step_save(tmp_path):
    """The run is told to stop too, and passes it on as SIGINT; workers can be ended as ever."""
    code = (
        "import signal, subprocess, sys, time, types; from pipeline import run_step\n"
        "def a_step():\n"
        "    ask = 'import signal as s; print(s.getsignal(s.SIGTERM).name)'\n"
        "    worker = [sys.executable, '-c', ask]\n"
        "    print(subprocess.run(worker, capture_output=True, text=True).stdout, flush=True)\n"
        "    time.sleep(900)\n"
        "sys.modules['pipeline.a_step'] = types.SimpleNamespace(a_step=a_step)\n"
        "run_step.main()"
    )
    job = {"number": "9", "function": "a_step", "keywords": {}}
    job |= {"log_file": str(tmp_path / "log.txt"), "parent": identity_of(os.getpid())}
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-c", code, str(tmp_path / "job.json")]
    step = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert step.stdout.readline() == b"SIG_DFL\n"
    step.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert step.poll() is None
    step.send_signal(signal.SIGINT)
    assert step.wait(timeout=600) == run_step.INTERRUPTED
    step.stdout.close()

"""A step in a process of its own: how it ends, and what it tells the run."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from models import devices
from pipeline import run_step
from pipeline.running.run_lock import identity_of
from pipeline.running.step_table import STEPS, runs_network

PROJECT = Path(__file__).resolve().parents[2]


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
    monkeypatch.setattr(devices, "set_up_devices", lambda **options: decided)
    assert run_step.run_job(job(lambda: None) | {"devices": {}}) == 0
    assert caplog.messages == ([decided] if decided else [])


@pytest.mark.parametrize(
    ("function", "use_gpus", "has_gpu", "shown", "said"),
    [
        ("train_it", "all", False, True, True),
        ("train_it", 1, False, True, True),
        ("train_it", 0, False, True, False),
        ("train_it", "all", True, True, False),
        ("train_it", "all", False, False, False),
        ("segment_it", "all", False, True, False),
    ],
)
def test_a_gpu_that_is_not_trained_on_is_told(
    job, caplog, monkeypatch, function, use_gpus, has_gpu, shown, said
):
    """A training on the CPU may take weeks; what comes after it says so by itself."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # with torch it would hide TensorFlow
    monkeypatch.setattr(run_step, "runs_network", lambda function, keywords: True)
    monkeypatch.setattr(devices, "set_up_devices", lambda **options: None)
    monkeypatch.setattr("models.backend.has_gpu", lambda: has_gpu)
    monkeypatch.setattr("pipeline.checks.machine.machine_shows_gpu", lambda: shown)
    step = job(lambda: None)
    monkeypatch.setitem(sys.modules, f"pipeline.{function}", type(sys)(function))
    setattr(sys.modules[f"pipeline.{function}"], function, lambda: None)
    assert run_step.run_job(step | {"function": function, "devices": {"use_gpus": use_gpus}}) == 0
    assert ("tensorflow cannot use the GPU that is there" in caplog.text) == said


def test_an_interrupted_step_tells_so_by_its_exit_code(job):
    def step():
        raise KeyboardInterrupt

    assert run_step.run_job(job(step)) == run_step.INTERRUPTED
    assert run_step.run_job(job(lambda: None)) == 0


# The steps by what they import; those of a kind are run in one process.
KINDS = {
    "without a network": lambda function, network: not network,
    "training one": lambda function, network: network and function.startswith("train_"),
    "running one": lambda function, network: network and not function.startswith("train_"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_import_their_own_backend_or_none(kind):
    """Simulating masks is of two kinds, by where the outlines are from."""
    code = (
        "import json, os, sys; from pipeline.run_step import run_job; "
        "[run_job(job) for job in json.loads(sys.argv[1])]; "
        "print('oneDNN', os.environ.get('TF_ENABLE_ONEDNN_OPTS')); "
        "print(*{'keras', 'tensorflow', 'torch'} & {n for n, m in sys.modules.items() if m})"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    devices = {"use_gpus": 0, "allow_memory_growth": True, "deterministic": False, "use_xla": False}
    steps = [(step.function, {}) for step in STEPS.values()]
    steps.append(("simulate_masks", {"outline_source": "augmented"}))
    jobs = [
        {"number": "9", "function": function, "keywords": keywords, "devices": devices}
        | {"log_file": os.devnull}
        for function, keywords in steps
        if KINDS[kind](function, runs_network(function, keywords))
    ]
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps(jobs)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    # The steps themselves refuse to run without their keywords.
    assert len(jobs) >= 3
    for job in jobs:
        assert f"{job['function']}: the option " in ended.stderr
    assert ended.stderr.count("Step 9 failed: ") == len(jobs)
    one_dnn, imported = ended.stdout.splitlines()
    expected = {"keras", os.environ.get("KERAS_BACKEND", "tensorflow")}
    assert set(imported.split()) == (set() if kind == "without a network" else expected)
    # TensorFlow decides for itself where networks only predict.
    assert one_dnn == f"oneDNN {'1' if kind == 'training one' else None}"


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


@pytest.mark.parametrize("asked", [True, False])
def test_processes_that_a_shutdown_ended_are_not_said_to_have_run_out_of_memory(
    job, caplog, monkeypatch, asked
):
    """It ends the step's own processes before the run has told the step."""

    def step():
        raise BrokenProcessPool("a process was terminated")

    monkeypatch.setattr(run_step, "asked_to_end", [signal.SIGTERM] if asked else [])
    assert run_step.run_job(job(step)) == (run_step.INTERRUPTED if asked else 1)
    assert bool(caplog.text) is not asked

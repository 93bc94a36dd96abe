"""A run that is ended from outside, by real signals."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from models import processor
from pipeline import workflow
from pipeline.files.records import read_json
from pipeline.running import run_lock, step_process
from pipeline.running.run_lock import identity_of, locked
from pipeline.running.step_table import Call
from tests.start_process import device_options

PROJECT = Path(__file__).resolve().parents[3]
# Says when it can be ended, and what became of it.
WAITING = """
import time
from pipeline.running.step_process import catch_ends_from_outside
catch_ends_from_outside()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""

needs_signals = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")


def started(code):
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


@needs_signals
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_a_batch_system_s_end_and_a_lost_session_are_like_ctrl_c(name):
    # The tests themselves may run under nohup.
    process = started(f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)" + WAITING)
    process.send_signal(getattr(signal, name))
    assert process.communicate() == ("interrupted\n", None)
    assert process.returncode == 0


@needs_signals
@pytest.mark.parametrize(
    "names", [("SIGTERM", "SIGHUP"), ("SIGHUP", "SIGHUP"), ("SIGTERM", "SIGTERM")], ids=str
)
def test_several_signals_that_end_a_run_are_one(names):
    """Shutdowns and lost sessions send two; the second would not let the step save its state."""
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL){WAITING}"
    code = code.replace('print("interrupted")', 'print("saving", flush=True)\n    time.sleep(1)')
    process = started(code + '\n    print("saved")')
    process.send_signal(getattr(signal, names[0]))
    assert process.stdout.readline() == "saving\n"
    process.send_signal(getattr(signal, names[1]))
    assert process.communicate() == ("saved\n", None)
    assert process.returncode == 0


@needs_signals
def test_after_ctrl_c_only_another_one_stops_a_step_at_once(tmp_path, monkeypatch):
    """As batch systems do that send SIGINT first, and SIGTERM then."""
    told = []

    def wait(timeout):
        if not told:
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    step = SimpleNamespace(pid=os.getpid(), wait=wait, send_signal=told.append)
    monkeypatch.setattr(step_process.subprocess, "Popen", lambda command, **how: step)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        step_process.catch_ends_from_outside()
        job = tmp_path, Call("0", "prepare_images", {}), device_options()
        assert step_process.run_in_process(*job, tell_lock=lambda pid: None) == (0, True)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert told == [signal.SIGINT]


@needs_signals
def test_under_nohup_a_run_outlives_its_session():
    """`nohup` ignores SIGHUP for its command; SIGTERM still ends it."""
    process = started("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + WAITING)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("interrupted\n", None)


# Instead of a step: says where and how it runs.
TELLING = """
import json, os, sys
group = os.getpgrp() if os.name == "posix" else None
with open(sys.argv[1], "w") as file:
    json.dump({"group": group, "environment": dict(os.environ)}, file)
"""


@pytest.fixture
def what_a_step_sees(tmp_path, monkeypatch):
    """Return ``what_a_step_sees()``: group and environment of a process started as a step's."""
    told = tmp_path / "told.json"
    start = subprocess.Popen
    monkeypatch.setattr(
        step_process.subprocess,
        "Popen",
        lambda command, **how: start([sys.executable, "-c", TELLING, str(told)], **how),
    )

    def see():
        job = tmp_path, Call("0", "prepare_images", {}), device_options()
        assert step_process.run_in_process(*job, tell_lock=lambda pid: None) == (0, False)
        return read_json(told)

    return see


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such groups")
def test_ctrl_c_in_the_terminal_reaches_a_step_through_its_run_only(what_a_step_sees):
    assert what_a_step_sees()["group"] != os.getpgrp()


def test_a_step_is_waited_for_until_it_ends(tmp_path, monkeypatch):
    looks = iter([None, None, 3])

    def wait(timeout):
        code = next(looks)
        if code is None:
            raise subprocess.TimeoutExpired("a step", timeout)
        return code

    step = SimpleNamespace(pid=os.getpid(), wait=wait)
    monkeypatch.setattr(step_process.subprocess, "Popen", lambda command, **how: step)
    job = tmp_path, Call("0", "prepare_images", {}), device_options()
    assert step_process.run_in_process(*job, tell_lock=lambda pid: None) == (3, False)


def test_a_step_repeats_itself_to_the_last_bit(what_a_step_sees, monkeypatch):
    wanted = {"MKL_CBWR": "AUTO,STRICT", "MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}
    wanted["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi numbers GPUs
    for name in wanted:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    wanted["PYTHONHASHSEED"] = "0"
    environment = what_a_step_sees()["environment"]
    assert {name: environment.get(name) for name in wanted} == wanted


def test_libraries_start_no_more_threads_than_a_container_grants(
    what_a_step_sees, monkeypatch, tmp_path
):
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    (tmp_path / "own").write_text("0::/")
    monkeypatch.setattr(processor, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(processor, "GROUPS", tmp_path)
    for written, threads in (("max 100000", None), ("200000 100000", "2")):
        (tmp_path / "cpu.max").write_text(written)
        environment = what_a_step_sees()["environment"]
        assert [environment.get(name) for name in names] == [threads] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the user's choice
    assert what_a_step_sees()["environment"]["OMP_NUM_THREADS"] == "1"


def test_how_mkl_computes_is_the_user_s_choice(what_a_step_sees, monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert what_a_step_sees()["environment"]["MKL_CBWR"] == "COMPATIBLE"


def test_the_lock_names_the_process_of_the_step_at_work(folder, monkeypatch):
    named = []

    def wait(timeout):
        named.append(read_json(folder / ".workflow" / "lock.json")["step"])
        return 0

    def steps(run_step):
        images_dir = str(folder / "images")
        run_step("0", "prepare_images", images_dir=images_dir, cyclegan_dir=str(folder))

    step = SimpleNamespace(pid=os.getpid(), wait=wait)
    monkeypatch.setattr(step_process.subprocess, "Popen", lambda command, **how: step)
    for name in ("check_inputs", "set_up_logging", "catch_ends_from_outside"):
        monkeypatch.setattr(workflow, name, lambda *arguments: None)
    workflow.run_workflow(steps, options=device_options() | {"ROOT_DIR": folder, "RESUME": True})
    assert named == [identity_of(os.getpid())]


def test_a_lock_that_is_just_being_written_is_waited_for(tmp_path, monkeypatch):
    lock = tmp_path / "lock.json"
    lock.touch()
    other = {"run": identity_of(os.getpid()), "step": None}
    meanwhile = SimpleNamespace(
        monotonic=itertools.count().__next__,
        sleep=lambda seconds: lock.write_text(json.dumps(other)),
    )
    monkeypatch.setattr(run_lock, "time", meanwhile)
    with pytest.raises(BlockingIOError, match="Another run is on in this folder"), locked(lock):
        pass
    assert read_json(lock) == other and list(tmp_path.iterdir()) == [lock]


@pytest.mark.skipif(os.name != "posix", reason="Triton is for Linux")
@pytest.mark.parametrize("can_write", [True, False])
def test_kernels_are_kept_with_the_run_where_the_user_s_folder_cannot_be_written(
    what_a_step_sees, tmp_path, monkeypatch, can_write
):
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setattr(step_process.os, "access", lambda path, mode: can_write)
    found = what_a_step_sees()["environment"].get("TRITON_CACHE_DIR")
    assert found == (None if can_write else str(tmp_path / "triton"))
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    assert what_a_step_sees()["environment"]["TRITON_CACHE_DIR"] == "mine"

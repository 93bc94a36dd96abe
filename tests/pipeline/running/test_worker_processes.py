"""Work in several processes: how many there are, and what they are given."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import cv2
import pytest

from pipeline import progress
from pipeline.running import worker_processes
from pipeline.running.run_lock import identity_of, is_alive
from pipeline.running.worker_processes import (
    number_of_processes,
    run_in_processes,
    run_over_micrographs,
)
from tests.pipeline.several_processes import in_processes

PROJECT = Path(__file__).resolve().parents[3]


def test_ctrl_c_is_left_to_the_step_s_own_process():
    """On Windows it comes to all of them."""
    handlers = run_in_processes(signal.getsignal, [signal.SIGINT] * 3, 2)
    assert list(handlers) == [signal.SIG_IGN] * 3


def test_more_processes_only_for_many_masks(monkeypatch):
    monkeypatch.setattr(worker_processes, "available_cores", lambda: 3)
    assert [number_of_processes(n) for n in (1, 99, 100, 10_000)] == [1, 1, 2, 3]
    monkeypatch.setattr(worker_processes, "available_cores", lambda: 128)
    assert number_of_processes(10_000) == 61  # as many as Windows allows


@pytest.mark.parametrize(
    ("number", "size", "memory", "processes"),
    [
        (16, (1000, 1000), 2**34, 2),
        (15, (1000, 1000), 2**34, 1),
        (64, (1000, 1000), 2**34, 4),
        (64, (1000, 1000), 2**31, 2),
        (64, (4000, 6000), 2**33, 2),
        (64, (20000, 20000), 2**34, 1),
    ],
)
def test_as_many_micrographs_at_a_time_as_the_memory_has_room_for(
    monkeypatch, number, size, memory, processes
):
    begun = []
    monkeypatch.setattr(worker_processes, "available_cores", lambda: 4)
    monkeypatch.setattr(
        worker_processes,
        "run_in_processes",
        lambda *given, at_a_time: begun.append((given[-1], at_a_time)),
    )
    monkeypatch.setattr(worker_processes, "granted_memory", lambda: memory)
    run_over_micrographs(str, range(number), [(10, 10), size])
    assert begun == [(processes, 1)]


def test_micrographs_come_back_in_order_from_other_processes(monkeypatch):
    in_processes(monkeypatch, 2)
    results = list(run_over_micrographs(_number_and_process, range(6), [(10, 10)] * 6))
    assert [number for number, _ in results] == list(range(6))
    assert os.getpid() not in {process for _, process in results}


def _number_and_process(number):
    return number, os.getpid()


@pytest.mark.skipif(os.name != "posix", reason="no such signal")
def test_processes_end_where_the_step_was_killed(tmp_path):
    code = (
        "import os, pathlib, sys, time\n"
        "from pipeline.running.worker_processes import run_in_processes\n"
        "from tests.pipeline.running.test_worker_processes import _say_who_and_wait\n"
        "if __name__ == '__main__':\n"
        "    list(run_in_processes(_say_who_and_wait, [sys.argv[1]] * 2, 2, at_a_time=1))\n"
    )
    step = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT)
    while len(named := list(tmp_path.glob("process_*"))) < 2:
        assert step.poll() is None
        time.sleep(0.1)
    identities = [identity_of(int(path.name.removeprefix("process_"))) for path in named]
    assert all(map(is_alive, identities))
    step.kill()
    step.wait()
    until = time.monotonic() + 300
    while any(map(is_alive, identities)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(is_alive, identities))


def _say_who_and_wait(folder):
    (Path(folder) / f"process_{os.getpid()}").touch()
    time.sleep(600)


@pytest.mark.parametrize(("cores", "threads"), [(2, 1), (5, 2)])
def test_each_process_computes_with_its_share_of_the_cores(monkeypatch, cores, threads):
    monkeypatch.setattr(worker_processes, "available_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    # macOS's own threads take no number.
    expected_of_opencv = cv2.getNumThreads() if sys.platform == "darwin" else threads
    found = list(run_in_processes(_threads, range(3), 2, at_a_time=1))
    assert found == [(expected_of_opencv, f"{threads}", f"{threads}")] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the user wants fewer
    assert {omp for _, omp, _ in run_in_processes(_threads, range(3), 2, at_a_time=1)} == {"1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    # What begins later computes as before.
    assert (os.environ["OMP_NUM_THREADS"], "OPENBLAS_NUM_THREADS" in os.environ) == ("7", False)


def _threads(_):
    return (
        cv2.getNumThreads(),
        os.environ["OMP_NUM_THREADS"],
        os.environ["OPENBLAS_NUM_THREADS"],
    )


def test_what_takes_long_in_a_process_of_several_is_not_told_there():
    """They would write over each other, and over the line of the one that waits for them."""
    assert list(run_in_processes(_lines_told, range(3), 2, at_a_time=1)) == [0] * 3
    assert _lines_told(0) == 1


def _lines_told(number):
    with mock.patch.object(progress, "logger") as logger:  # fixtures are not there
        assert list(progress.progress([number], "things looked at")) == [number]
    return logger.info.call_count

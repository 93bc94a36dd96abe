"""Work in several processes: how many there are, and what they are given."""

import os
import signal

import pytest

from pipeline.running import worker_processes
from pipeline.running.worker_processes import (
    number_of_processes,
    run_in_processes,
    run_over_micrographs,
)
from tests.pipeline.several_processes import in_processes


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
    monkeypatch.setattr(worker_processes, "physical_memory", lambda: memory)
    run_over_micrographs(str, range(number), [(10, 10), size])
    assert begun == [(processes, 1)]


def test_micrographs_come_back_in_order_from_other_processes(monkeypatch):
    in_processes(monkeypatch, 2)
    results = list(run_over_micrographs(_number_and_process, range(6), [(10, 10)] * 6))
    assert [number for number, _ in results] == list(range(6))
    assert os.getpid() not in {process for _, process in results}


def _number_and_process(number):
    return number, os.getpid()

"""Threads and processes go by the cores that are granted, not by those that are there."""

import os

from models.available_cores import available_cores
from pipeline.processes.worker_processes import number_of_processes


def test_what_a_scheduler_grants_counts(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert available_cores() == 8
    assert number_of_processes(10_000) == 8


def test_where_nothing_is_granted_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert available_cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1

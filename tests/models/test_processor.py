"""Threads and processes go by the cores that are granted, not by those that are there."""

import os

import pytest

from models import processor
from models.processor import available_cores
from pipeline.running.worker_processes import number_of_processes


def test_what_a_scheduler_grants_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processor, "QUOTA_FILE", tmp_path / "none")
    assert available_cores() == 8
    assert number_of_processes(10_000) == 8


@pytest.mark.parametrize(
    ("written", "cores"),
    [("max 100000\n", 8), ("250000 100000\n", 3), ("5000 100000\n", 1), ("1600000 100000", 8)],
)
def test_what_a_container_grants_counts(monkeypatch, tmp_path, written, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processor, "QUOTA_FILE", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(written)
    assert available_cores() == cores


def test_where_nothing_is_granted_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert available_cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1

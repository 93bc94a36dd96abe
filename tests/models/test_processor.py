"""Threads and processes go by the cores that are granted, not by those that are there."""

import os

import psutil
import pytest

from models import processor
from models.processor import available_cores, granted_memory
from pipeline.running.worker_processes import number_of_processes


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """A function: the process's groups as the system lists them, and files there -> none."""

    def write(own, **files):
        monkeypatch.setattr(processor, "GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(processor, "OWN_GROUPS", tmp_path / "own")
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


def test_what_a_scheduler_grants_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processor, "OWN_GROUPS", tmp_path / "none")
    assert available_cores() == 8
    assert number_of_processes(10_000) == 8


@pytest.mark.parametrize(
    ("written", "cores"),
    [("max 100000\n", 8), ("250000 100000\n", 3), ("5000 100000\n", 1), ("1600000 100000", 8)],
)
def test_what_a_container_grants_counts(monkeypatch, groups, written, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    groups("0::/\n", **{"cpu.max": written})
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/user/a\n", {"user/a/cpu.max": "max 100000\n", "user/cpu.max": "200000 100000\n"}, 2),
        ("3:cpu,cpuacct:/docker/a\n", {"cpu/cpu.cfs_quota_us": "150000\n"}, 8),
        (
            "3:cpu,cpuacct:/docker/a\n",
            {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "50000\n"},
            3,
        ),
        (
            "3:cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("3:cpuset:/a\n0::/a\n", {"a/cpu.max": "nonsense\n", "cpu.max": "100000 0\n"}, 8),
    ],
)
def test_a_share_of_the_group_and_of_those_around_it_counts(monkeypatch, groups, own, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    groups(own, **files)
    assert available_cores() == cores


def test_where_nothing_is_granted_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert available_cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


GIB = 2**30


@pytest.mark.parametrize(
    ("own", "files", "granted"),
    [
        ("0::/\n", {"memory.max": f"{GIB}\n"}, GIB),
        ("0::/slurm/job/step\n", {"slurm/job/memory.max": f"{GIB}\n"}, GIB),
        (
            "0::/slurm/job\n",
            {"slurm/job/memory.max": "max\n", "slurm/memory.max": f"{2 * GIB}\n"},
            2 * GIB,
        ),
        (
            "5:cpu:/a\n4:memory,hugetlb:/docker/a\n",
            {"memory/memory.limit_in_bytes": f"{GIB}\n", "memory.max": "1\n"},
            GIB,
        ),
        ("0::/a\n", {"a/memory.max": "max\n"}, None),
        ("0::/a\n", {"a/memory.max": f"{2**63 - 4096}\n"}, None),
        ("0::/a\n", {"b/memory.max": f"{GIB}\n"}, None),
    ],
)
def test_a_container_or_a_job_is_granted_less_memory_than_there_is(groups, own, files, granted):
    groups(own, **files)
    there = psutil.virtual_memory().total
    assert there > 2 * GIB
    assert granted_memory() == (granted or there)


def test_where_there_are_no_groups_all_memory_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "OWN_GROUPS", tmp_path / "none")
    assert granted_memory() == psutil.virtual_memory().total

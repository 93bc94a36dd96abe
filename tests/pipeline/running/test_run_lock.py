"""One run at a time in a folder; a dead run's lock is taken over."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipeline.files.records import read_json, write_json
from pipeline.running import run_lock
from pipeline.running.run_lock import identity_of, is_alive, locked

PROJECT = Path(__file__).resolve().parents[3]


def test_the_lock_names_its_process_and_is_gone_afterwards(tmp_path):
    lock = tmp_path / "lock.json"
    with locked(lock):
        assert read_json(lock)["run"][0] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_refused_by_name(tmp_path):
    lock = tmp_path / "lock.json"
    with locked(lock):
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()}"), locked(lock):
            pass
        assert lock.exists()


def test_a_dead_process_lock_is_taken_over(tmp_path):
    lock = tmp_path / "lock.json"
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    write_json(lock, {"run": [process.pid, 1.0], "step": [process.pid, 1.0]})
    with locked(lock):
        assert read_json(lock)["run"][0] == os.getpid()


def test_of_two_runs_that_find_a_dead_lock_one_is_refused(tmp_path, monkeypatch):
    lock = tmp_path / "lock.json"
    write_json(lock, {"run": None, "step": None})
    other = {"run": identity_of(os.getpid()), "step": None}
    wait_or_refuse = run_lock._wait_or_refuse

    def while_the_other_is_faster(path, held):
        wait_or_refuse(path, held)
        write_json(lock, other)

    monkeypatch.setattr(run_lock, "_wait_or_refuse", while_the_other_is_faster)
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()}"), locked(lock):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"] and read_json(lock) == other


def test_another_process_with_the_same_number_does_not_hold_the_lock(tmp_path):
    lock = tmp_path / "lock.json"
    write_json(lock, {"run": [os.getpid(), "another start"], "step": None})
    with locked(lock):
        pass


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times by the clock here")
def test_setting_the_clock_ends_no_process(monkeypatch):
    before = identity_of(os.getpid())
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)
    assert is_alive(before) and identity_of(os.getpid()) == before


def test_an_orphaned_step_is_waited_for_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.running.run_lock.SECONDS_TO_WAIT_FOR_A_DYING_STEP", 0.1)
    lock = tmp_path / "lock.json"
    step = identity_of(os.getpid())
    write_json(lock, {"run": None, "step": step})
    with pytest.raises(BlockingIOError, match="A step of an earlier run"), locked(lock):
        pass


def lock_of_another_computer(tmp_path, seconds_ago):
    lock = tmp_path / "lock.json"
    write_json(lock, {"computer": "node7", "run": [1234, 1.0], "step": None})
    touched = time.time() - seconds_ago
    os.utime(lock, (touched, touched))
    return lock


def test_a_run_at_work_on_another_computer_is_named(tmp_path):
    lock = lock_of_another_computer(tmp_path, 5)
    timer = threading.Timer(0.5, os.utime, [lock])
    timer.start()
    with pytest.raises(BlockingIOError, match="computer node7, process 1234, is on"), locked(lock):
        pass
    timer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


@pytest.mark.parametrize("seconds_ago", [0, 10**6])
def test_a_run_on_another_computer_without_a_sign_is_gone(
    tmp_path, monkeypatch, caplog, seconds_ago
):
    monkeypatch.setattr(run_lock, "SECONDS_WITHOUT_A_SIGN", 1.0)
    lock = lock_of_another_computer(tmp_path, seconds_ago)
    begun = time.monotonic()
    with locked(lock):
        assert read_json(lock)["run"][0] == os.getpid()
    assert (time.monotonic() - begun > 0.8) == (seconds_ago == 0)
    assert "the run on the computer node7, process 1234, is gone" in caplog.text


def test_a_run_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "SECONDS_BETWEEN_SIGNS", 0.05)
    lock = tmp_path / "lock.json"
    with locked(lock):
        for _ in range(2):
            os.utime(lock, (1000, 1000))
            end = time.monotonic() + 20
            while lock.stat().st_mtime == 1000 and time.monotonic() < end:
                time.sleep(0.02)
            assert time.time() - lock.stat().st_mtime < 60
    assert not lock.exists()


def test_a_run_that_was_taken_for_gone_leaves_the_lock_of_the_other(tmp_path, monkeypatch):
    """As one that was asleep: it neither touches nor removes what is not its own."""
    monkeypatch.setattr(run_lock, "SECONDS_BETWEEN_SIGNS", 0.05)

    def end(code):
        raise BlockingIOError  # in place of the process' end

    monkeypatch.setattr(run_lock.os, "_exit", end)
    with locked(tmp_path / "lock.json"):
        lock = lock_of_another_computer(tmp_path, 1000)
        touched = lock.stat().st_mtime
        time.sleep(0.3)
        assert lock.stat().st_mtime == touched
    assert read_json(lock)["computer"] == "node7"


@pytest.mark.parametrize("how", ["sign of life", "next step"])
@pytest.mark.parametrize("is_on", [True, False])
def test_a_run_whose_folder_another_took_over_ends_at_once(tmp_path, how, is_on):
    """With its step, which ends with it: both would write into the same files."""
    lock = lock_of_another_computer(tmp_path, 1000)
    content = lock.read_text()
    lock.unlink()
    code = f"""
import logging, os, sys, time
from pathlib import Path
from pipeline.running import run_lock
logging.basicConfig()
run_lock.SECONDS_BETWEEN_SIGNS = {0.05 if how == "sign of life" else 60}
lock = Path(sys.argv[1])
with run_lock.locked(lock) as tell:
    lock.unlink()
    if {is_on}:
        lock.write_text(sys.argv[2])  # else the other one has ended already
    if {how == "next step"}:
        tell(os.getpid())
    time.sleep(60)
"""
    command = [sys.executable, "-c", code, str(lock), content]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=50)
    assert ended.returncode == run_lock.LOST
    assert "another run took this folder over" in ended.stderr
    assert lock.read_text() == content if is_on else not lock.exists()


def test_a_lock_that_cannot_be_read_just_now_ends_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "SECONDS_BETWEEN_SIGNS", 0.05)
    monkeypatch.setattr(run_lock.os, "_exit", lambda code: pytest.fail("ended"))
    lock = tmp_path / "lock.json"
    with locked(lock):
        whole = lock.read_text()
        lock.write_text(whole[:20])
        time.sleep(0.3)
        lock.write_text(whole)
    assert not lock.exists()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="it cannot be left unasked here")
def test_an_ended_process_that_is_still_listed_is_gone(tmp_path):
    """In containers nobody may ask for the exit codes of a killed run's step."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    before = identity_of(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.pid_exists(process.pid)
    assert identity_of(process.pid) is None and not is_alive(before)
    write_json(tmp_path / "lock.json", {"run": before, "step": before})
    with locked(tmp_path / "lock.json"):
        pass
    process.wait()


def test_a_lock_that_was_cut_off_is_taken_over_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.running.run_lock.SECONDS_TO_WAIT_FOR_A_DYING_STEP", 0.3)
    lock = tmp_path / "lock.json"
    lock.write_text('{"computer": "no')
    with locked(lock):
        assert read_json(lock)["run"][0] == os.getpid()


@pytest.mark.parametrize("content", [12345, [1, 2], {"run": 5}, {"step": [-1, "x"]}, {"run": [2]}])
def test_a_lock_that_was_damaged_is_taken_over_too(tmp_path, monkeypatch, content):
    monkeypatch.setattr("pipeline.running.run_lock.SECONDS_TO_WAIT_FOR_A_DYING_STEP", 0.3)
    lock = tmp_path / "lock.json"
    write_json(lock, content)
    with locked(lock):
        assert read_json(lock)["run"][0] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("boot_id", [None, "/not/there"])
def test_a_step_ends_when_its_run_is_gone(boot_id):
    """Where the system does not name its starts, the time may be set meanwhile."""
    run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    code = (
        "import pathlib, sys, time; from pipeline.running import run_lock; "
        f"run_lock.BOOT_ID = pathlib.Path({(boot_id or str(run_lock.BOOT_ID))!r}); "
        "run_lock.end_with([int(sys.argv[1]), sys.argv[2]]); print('ready', flush=True); "
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

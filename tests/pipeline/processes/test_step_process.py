"""A run that is ended from outside, by real signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
# Says when it can be ended, and what became of it.
WAITING = """
import time
from pipeline.processes.step_process import catch_ends_from_outside
catch_ends_from_outside()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")


def started(code):
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_batch_system_s_end_and_a_lost_session_are_like_ctrl_c(name):
    # The tests themselves may run under nohup.
    process = started(f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)" + WAITING)
    process.send_signal(getattr(signal, name))
    assert process.communicate() == ("interrupted\n", None)
    assert process.returncode == 0


def test_under_nohup_a_run_outlives_its_session():
    """`nohup` ignores SIGHUP for its command; SIGTERM still ends it."""
    process = started("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + WAITING)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("interrupted\n", None)

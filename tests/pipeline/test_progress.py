"""What a waiting user reads: the live line, how much is done and how long it takes."""

import logging
import sys
from types import SimpleNamespace

import pytest

from pipeline import progress


@pytest.fixture
def clock(monkeypatch):
    """Return a clock whose ``now`` the test sets."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def terminal(monkeypatch, is_one):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_one, raising=False)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_line_is_replaced_by_the_next_on_a_terminal_only(is_terminal, monkeypatch, capsys):
    terminal(monkeypatch, is_terminal)
    progress.live_line("step 1")
    progress.live_line("")
    written = "\r\033[K  step 1\r\033[K" if is_terminal else ""
    assert capsys.readouterr() == ("", written)


@pytest.mark.parametrize(
    ("items", "total", "lines"),
    [
        (range(5), None, ["2 of 5, 1:00 min left", "4 of 5, 20 s left"]),
        (iter(range(5)), 5, ["2 of 5, 1:00 min left", "4 of 5, 20 s left"]),
        (iter(range(5)), None, ["2 of ?", "4 of ?"]),
    ],
    ids=["sized", "total", "open"],
)
def test_a_log_gets_a_line_every_half_minute(items, total, lines, clock, monkeypatch, caplog):
    terminal(monkeypatch, False)
    caplog.set_level(logging.INFO)
    found = []
    for item in progress.progress(items, "masks simulated", total):
        found.append(item)
        clock.now += 20
    assert found == [0, 1, 2, 3, 4]
    assert caplog.messages == [
        *(f"masks simulated: {line}" for line in lines),
        "masks simulated: 5 in 1:40 min",
    ]


def test_a_terminal_gets_one_line_that_is_removed_in_the_end(clock, monkeypatch, caplog, capsys):
    terminal(monkeypatch, True)
    caplog.set_level(logging.INFO)
    for seconds in progress.progress([20, 0.125, 19.875, 20], "tiles"):
        clock.now += seconds  # after the second there is nothing new to say yet
    assert capsys.readouterr().err == (
        "\r\033[K  tiles: 1 of 4, 1:00 min left\r\033[K  tiles: 3 of 4, 13 s left\r\033[K"
    )
    assert caplog.messages == ["tiles: 4 in 1:00 min"]


def test_of_nothing_nothing_is_said(caplog):
    caplog.set_level(logging.INFO)
    assert list(progress.progress([], "masks simulated")) == []
    assert not caplog.messages


@pytest.mark.parametrize(("seconds", "said"), [(5, False), (40, True)])
def test_of_what_is_hardly_ever_long_nothing_is_said_else(
    seconds, said, clock, monkeypatch, caplog
):
    terminal(monkeypatch, False)
    caplog.set_level(logging.INFO)
    for _ in progress.progress("ab", "files read", only_if_long=True):
        clock.now += seconds / 2
    assert caplog.messages == (["files read: 2 in 40 s"] if said else [])

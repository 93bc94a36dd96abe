"""What a run says reaches the screen and the log, whatever the screen is."""

import io
import logging
import sys

import pytest

from pipeline.running.logs import set_up_logging


@pytest.fixture
def log_to(monkeypatch):
    """Return ``log_to(stream)``: what set_up_logging makes of three messages, on that output."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def log(stream, log_file=None, first="begun"):
        monkeypatch.setattr(sys, "stdout", stream)
        set_up_logging(log_file)
        logging.getLogger("pipeline").info(first)
        logging.getLogger("a_library").info("chatter")
        logging.getLogger("a_library").warning("trouble")

    yield log
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_standard_output_that_is_no_file_will_do(log_to):
    class OfANotebook(io.TextIOBase):
        def write(self, text):
            said.append(text)
            return len(text)

    said = []
    log_to(OfANotebook())
    assert "".join(said).splitlines() == ["  begun", "  trouble"]


def test_an_output_that_has_ended_fills_no_screen_with_tracebacks(log_to, capsys):
    class Ended(io.TextIOBase):
        def write(self, text):
            tried.append(text)
            raise BrokenPipeError

    tried = []
    log_to(Ended())  # as of `python StartProcess.py | head`
    assert tried and capsys.readouterr().err == ""
    logging.getLogger("pipeline").info("%s %s", "one")  # an error of ours is told
    assert "not enough arguments" in capsys.readouterr().err


def test_names_that_are_no_text_are_not_lost_from_the_log(tmp_path, log_to):
    log_to(io.StringIO(), tmp_path / "log.txt", "Gr\udcf6\udcdfe.tif")
    assert r"Gr\udcf6\udcdfe.tif" in (tmp_path / "log.txt").read_text(encoding="utf-8")

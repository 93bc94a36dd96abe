"""What a run and its steps say: on the screen, and in the log."""

import functools
import logging
import sys


def set_up_logging(log_file=None):
    """Say INFO and worse on the standard output, plainly, and all that in ``log_file``, too."""
    if hasattr(sys.stdout, "reconfigure"):  # not where a notebook shows it
        # Redirected on Windows, it cannot hold all characters that file names have.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    handlers = [logging.StreamHandler(sys.stdout)]
    handlers[0].setFormatter(logging.Formatter("  %(message)s"))
    if log_file is not None:
        in_file = logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
        in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(in_file)
    for handler in handlers:
        handler.addFilter(_is_of_interest)
        handler.handleError = functools.partial(_say_unless_unwritable, handler)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for name in ("absl", "tensorflow", "h5py", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _say_unless_unwritable(handler, record):
    # On a full disk, or where the output has ended (`| head`), a traceback would only repeat it.
    if not isinstance(sys.exc_info()[1], OSError):
        logging.Handler.handleError(handler, record)


def _is_of_interest(record):
    # Libraries tell much that is not, such as fontTools each letter that a plot has.
    is_ours = record.name.partition(".")[0] in ("pipeline", "models", "simulate", "__main__")
    return is_ours or record.levelno >= logging.WARNING

"""One training loop for the three models: losses, progress, checkpoints, resume."""

import contextlib
import logging
import math
import signal
import threading
import time
from pathlib import Path

import keras

from models import backend
from models.fast import compiled_steps
from pipeline.files.csv_tables import write_rows
from pipeline.progress import live_line
from pipeline.training.batches import Prefetcher
from pipeline.training.training_runs import (
    load_checkpoint,
    save_checkpoint,
    training_went_wrong,
)
from pipeline.wording import format_seconds

logger = logging.getLogger(__name__)

# Losses stay on the device in between, as fetching them waits for it; then the live line is written
# and a checkpoint considered. So many steps, or so long where steps are slow.
STEPS_BETWEEN_FETCHES = 20
SECONDS_BETWEEN_FETCHES = 5.0
SECONDS_OF_ONE_END = 2.0  # signals that come in these are one
SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 15.0  # for epochs that take less than that
LARGEST_SHARE_OF_CHECKPOINTS = 0.05  # of the time, where writing one takes long


def train(
    model,
    make_batch,
    *,
    steps_per_epoch,
    epochs,
    run_folder,
    checkpoint_minutes,
    learning_rate=None,
    optimizers=(),
    validate=None,
    after_epoch=None,
    description="",
    shown=None,
):
    """Train ``model`` from its last checkpoint, or from the start, to the last epoch.

    Parameters
    ----------
    model : a set-up model with ``train_step(batch) -> dict of scalars``.
    make_batch : ``make_batch(epoch, step)`` -> tuple of NumPy arrays, a function of its arguments
        alone; called in background threads.
    run_folder : for the checkpoints and ``training_log.csv``; made if it is not there.
    checkpoint_minutes : a checkpoint within an epoch after so long, besides one an epoch.
    learning_rate : ``learning_rate(epoch)`` for all ``optimizers``; None leaves it as it is.
    validate : ``validate() -> dict of floats``, logged with the epoch.
    after_epoch : ``after_epoch(epoch, rows)``, for preview sheets and the best model; ``rows`` are
        those of the log so far, the newest last.
    description : the network's name, in the log.
    shown : names of the losses in the line an epoch; None shows all.

    Returns the rows of the log, a dict an epoch.

    Raises
    ------
    ValueError
        If a loss is not finite; the last checkpoint is from before that.
    """
    run_folder = Path(run_folder)
    run_folder.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(model, run_folder) or {"epoch": 0, "step": 0, "sums": {}, "rows": []}
    if state["epoch"] or state["step"]:
        logger.info("going on with epoch %d, step %d", state["epoch"] + 1, state["step"] + 1)
    run_step = compiled_steps.compile_step(model.train_step)
    save = _saver(model, run_folder, state)
    begun, all_steps = state["epoch"] * steps_per_epoch + state["step"], epochs * steps_per_epoch
    numbers = (divmod(number, steps_per_epoch) for number in range(begun, all_steps))
    time_left = _time_left(begun, all_steps)
    with Prefetcher(make_batch, numbers) as batches, _interrupt_flag() as interrupted:
        while state["epoch"] < epochs:
            epoch = state["epoch"]
            where = f"{description} epoch {epoch + 1} of {epochs}"
            for optimizer in optimizers if learning_rate else ():
                optimizer.learning_rate = learning_rate(epoch)
            for step in _steps(run_step, batches, state, steps_per_epoch, run_folder, interrupted):
                left = time_left(epoch * steps_per_epoch + step)
                live_line(f"{where}, step {step} of {steps_per_epoch}, {left} left")
                if step < steps_per_epoch:
                    save(after_seconds=0 if interrupted else 60 * checkpoint_minutes)
                    _stop_if(interrupted)
            row = _close_epoch(state, steps_per_epoch, validate, run_folder)
            live_line("")
            losses = "  ".join(f"{name} {row[name]:.4g}" for name in shown or list(row)[1:])
            left = time_left((epoch + 1) * steps_per_epoch)
            logger.info("%s, %s left: %s", where, left, losses)
            _write_log(run_folder / "training_log.csv", state["rows"])
            if after_epoch:
                after_epoch(epoch, state["rows"])
            # After the first epoch, too: a run without a checkpoint has not learned for longer.
            at_once = interrupted or epoch + 1 in (1, epochs)
            save(0 if at_once else SECONDS_BETWEEN_EPOCH_CHECKPOINTS, sparing=not at_once)
            if epoch + 1 < epochs:
                _stop_if(interrupted)
    return state["rows"]


def _steps(run_step, batches, state, steps_per_epoch, run_folder, interrupted):
    """Run the steps an epoch has left; yield their number whenever their losses were fetched."""
    pending, fetched = [], time.monotonic()
    while state["step"] < steps_per_epoch:
        pending.append(run_step(backend.to_device(batches.next())))
        state["step"] += 1
        is_due = (
            len(pending) == STEPS_BETWEEN_FETCHES
            or time.monotonic() - fetched >= SECONDS_BETWEEN_FETCHES
        )
        if is_due or interrupted or state["step"] == steps_per_epoch:
            _add_losses(state, pending, run_folder)
            pending, fetched = [], time.monotonic()
            yield state["step"]


def _close_epoch(state, steps_per_epoch, validate, run_folder):
    """Append the epoch's mean losses to the log's rows; go on to the next epoch; return the row."""
    row = {"epoch": state["epoch"] + 1}
    row |= {name: value / steps_per_epoch for name, value in state["sums"].items()}
    for name, value in validate().items() if validate else ():
        _check_finite(name, value, state, run_folder)
        row[name] = value
    state["rows"].append(row)
    state |= {"epoch": state["epoch"] + 1, "step": 0, "sums": {}}
    return row


def _write_log(path, rows):
    """Write the log; not where a program holds it, as Excel on Windows: the next epoch does."""
    try:
        write_rows(path, rows)
    except PermissionError as error:
        logger.warning(
            "%s cannot be written (%s); is it open in another program? The training goes on, and "
            "writes it after the next epoch.",
            path,
            error.strerror,
        )


def _stop_if(interrupted):
    if interrupted:
        logger.info("stopped and saved")
        raise KeyboardInterrupt


def _saver(model, run_folder, state):
    """Return ``save(after_seconds, sparing)``: a checkpoint, if the last is at least so long ago.

    If ``sparing``, nor so often that writing them takes more than its share of the time.
    """
    saved, taken = time.monotonic(), 0.0

    def save(after_seconds, sparing=False):
        nonlocal saved, taken
        least = taken / LARGEST_SHARE_OF_CHECKPOINTS if sparing else 0.0
        start = time.monotonic()
        if start - saved >= max(after_seconds, least):
            save_checkpoint(model, run_folder, state)
            saved = time.monotonic()
            taken = saved - start

    return save


def _time_left(done_before, total):
    """Return a function from the number of steps done to the time the others will take."""
    start = time.monotonic()

    def left(done):
        each = (time.monotonic() - start) / max(done - done_before, 1)
        return format_seconds(each * (total - done))

    return left


@contextlib.contextmanager
def _interrupt_flag():
    """Yield a list that Ctrl-C makes non-empty, so that a step is finished before we stop.

    Another Ctrl-C a while later acts as ever; at once it is the same, as systems that end a job
    send it to all processes, and the run passes it on to its step. Outside the main thread signals
    cannot be caught: no flag then.
    """
    flag = []
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def raise_flag(number, frame):
        flag.append(time.monotonic())
        if flag[-1] - flag[0] > SECONDS_OF_ONE_END:
            signal.signal(signal.SIGINT, before)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, raise_flag)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _add_losses(state, pending, run_folder):
    sums = state["sums"]
    for losses in pending:
        for name, value in losses.items():
            value = float(keras.ops.convert_to_numpy(value))
            _check_finite(name, value, state, run_folder)
            sums[name] = sums.get(name, 0.0) + value


def _check_finite(name, value, state, run_folder):
    if not math.isfinite(value):
        raise ValueError(training_went_wrong(state, f"the loss {name} is {value}", run_folder))

"""Training runs on the disk: begun or continued, checkpoints, the finished model.

A run folder holds ``options.json`` (before the first step), ``training_log.csv`` (a row an
epoch), ``checkpoints/<epoch>_<step>/`` (the last two) and, once finished, the model.
"""

import errno
import logging
import os
import shutil
from pathlib import Path

import numpy as np

from models import backend, devices
from models.precision import choose_precision
from pipeline import PROGRAM, VERSION
from pipeline.files.csv_tables import read_table
from pipeline.files.records import as_recorded, read_json, read_record, write_json
from pipeline.files.whole_files import (
    DISK_IS_FULL,
    copy_whole,
    is_of_access,
    read_through,
    rename_for_good,
    whole_file,
)
from pipeline.run_folders import OPTIONS_RECORD, list_runs, name_new_run, new_run_folder
from pipeline.running.step_table import deciding

logger = logging.getLogger(__name__)

CHECKPOINTS_KEPT = 2
COPY = ".copy"  # of a run, until it is whole
DAMAGED = "damaged_"  # before the names of checkpoints that could not be read
# Of the groups and headers in a file of weights, for each of them.
BYTES_BESIDE_WEIGHTS = 16_384


def options_to_record(keywords):
    """Return those of a step's keyword arguments that decide what a network learns, to be recorded.

    That is all but where it is to be found, and whether a run may be gone on with.
    """
    return {k: v for k, v in keywords.items() if not k.endswith("_dir") and k != "resume"}


def begin_run(
    models_dir, options, resume=True, *, models=("model.keras",), best=None, sheets_dir=None
):
    """Return the run folder to train in, and whether there is nothing left to train.

    That is the latest finished run, or an unfinished one after it, if it has equal options; else a
    new one. The later steps use the latest finished run: where one with equal options is from
    before that, finished or not, the new one begins as its copy. A run is finished if it holds its
    ``models`` and ``best`` too: one that lost a model makes it again from its last checkpoint.
    ``best`` is the model of the best epoch, which the last checkpoint does not hold: without it the
    training begins anew, and so it does where a run that had learned has no checkpoints any more.

    ``sheets_dir`` holds a folder of preview sheets for each run, which go with a copy.

    ``options`` (JSON values) are all that decides the result; they are saved as ``options.json``
    with the versions of this program and of the libraries, the GPU, the precision that "auto" is
    and DETERMINISTIC, where the run begins: these decide nothing. Where a run goes on with others,
    that is warned of, and noted as ``continued_with``, each time after how many epochs.
    """
    models_dir = Path(models_dir)
    versions = {PROGRAM: VERSION, **devices.versions()}
    record = {"options": options, "backend": backend.BACKEND, "versions": versions}
    record["deterministic"] = devices.is_deterministic
    if "precision" in options:
        record["computed_in"] = choose_precision(options["precision"])
    newer = None  # the latest finished run of other options
    for folder in list_runs(models_dir)[::-1] if resume else []:
        lost = [name for name in (*models, best) if name and not (folder / name).is_file()]
        finished = not lost
        if not _is_of(folder, record):
            newer = newer or (folder if finished else None)
            continue
        if gone := _lost_for_good(folder, lost, models, best):
            names = " and ".join(gone)
            logger.warning(
                "run %s has lost %s, which no checkpoint holds: training anew", folder.name, names
            )
            break
        if newer and not finished and not _epochs_done(folder):
            continue
        logger.info(
            "run %s is finished with the same options and inputs; RESUME = False trains anew"
            if finished
            else "continuing run %s",
            folder.name,
        )
        folder = _as_newest(folder, newer, sheets_dir) if newer else folder
        if not finished:
            _note_change(folder, record)
        return folder, finished
    folder = new_run_folder(models_dir)
    write_json(folder / OPTIONS_RECORD, record)
    return folder, False


def _lost_for_good(run_folder, lost, models, best):
    """Return which of the ``lost`` models cannot be made from a run's checkpoints.

    Without checkpoints none can be; a run that is still in its first epoch has lost nothing.
    """
    if _epochs_done(run_folder):
        return [name for name in lost if name == best]
    has_learned = any(name not in lost for name in models)
    has_learned |= len(read_table(run_folder / "training_log.csv")) > 1
    return lost if has_learned else []


def _note_change(run_folder, record):
    """Warn where a run goes on with another GPU, library or precision than before, and note it."""
    if not any(run_folder.glob("checkpoints/[0-9]*/state.json")):
        write_json(run_folder / OPTIONS_RECORD, record)  # it begins now
        return
    noted = read_json(run_folder / OPTIONS_RECORD)
    later = noted.get("continued_with", [])
    before, now = _computed_with(noted), as_recorded(_computed_with(record))
    for one in later:
        before |= one
    changed = {name: value for name, value in now.items() if before.get(name, value) != value}
    if not changed:
        return
    logger.warning(
        "run %s goes on with %s, where it had %s, so that it is not what one machine and version "
        "would have made of it%s",
        run_folder.name,
        *(", ".join(f"{name} {one[name]}" for name in changed) for one in (now, before)),
        ". Without a GPU it takes many times as long: stop it (Ctrl-C) if there should be one"
        if before.get("gpus") and not now["gpus"]
        else "",
    )
    later = [*later, {"after_epoch": _epochs_done(run_folder), **changed}]
    write_json(run_folder / OPTIONS_RECORD, noted | {"continued_with": later})


def _computed_with(record):
    """Return what a run computes with, as its record has it: versions, GPUs, and how."""
    how = {name: record[name] for name in ("computed_in", "deterministic") if name in record}
    return {**record.get("versions", {}), **how}


def _is_of(run_folder, record):
    return _deciding(read_record(run_folder / OPTIONS_RECORD)) == _deciding(record)


def _as_newest(run_folder, newer, sheets_dir):
    """Return a copy of a run, later than ``newer`` and so the one that the later steps use."""
    newest = name_new_run(_copy(run_folder, run_folder.parent / COPY))
    if sheets_dir and (sheets := Path(sheets_dir) / run_folder.name).is_dir():
        _copy(sheets, sheets.with_name(newest.name))
    logger.info("it is used as run %s from here on, as run %s is newer", newest.name, newer.name)
    return newest


def _copy(folder, copy):
    """Copy a folder and return the copy; its files are links where there can be such.

    Files of runs are replaced as a whole, never written into, so that the two stay apart.
    """
    shutil.rmtree(copy, ignore_errors=True)  # of a process that was killed
    try:
        for path in (folder, *sorted(folder.rglob("*"))):
            target = copy / path.relative_to(folder)
            if path.is_dir():
                target.mkdir()
                continue
            try:
                os.link(path, target)
            except OSError:  # not on every file system
                copy_whole(path, target)
    except OSError:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    return copy


def _epochs_done(run_folder):
    """Return how many epochs the newest checkpoint of a run has behind it, 0 without one."""
    states = sorted(Path(run_folder).glob("checkpoints/[0-9]*/state.json"))
    return read_record(states[-1]).get("epoch", 0) if states else 0


def _deciding(record):
    """Return what of a run's record decides its result."""
    return as_recorded([deciding(record.get("options", {})), record.get("backend")])


def save_checkpoint(model, run_folder, state):
    """Write weights, optimisers, pools, random states and the log's rows; keep the last two.

    Raises
    ------
    ValueError
        If a weight is not finite.
    OSError
        If the disk is full; the earlier checkpoints stay.
    """
    if not all(np.isfinite(np.asarray(weight)).all() for weight in model.trainable_weights):
        raise ValueError(training_went_wrong(state, "a weight is not finite", run_folder))
    folder = Path(run_folder) / "checkpoints"
    temporary = folder / ".part"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _check_room(temporary / "model.weights.h5", bytes_of_weights(model))
    model.save_weights(temporary / "model.weights.h5")
    with open(temporary / "model.weights.h5", "rb+") as file:
        os.fsync(file.fileno())
    random_states = [np.asarray(variable).tolist() for variable in _random_states(model)]
    write_json(temporary / "state.json", {**state, "random_states": random_states})
    final = folder / f"{state['epoch']:06d}_{state['step']:06d}"
    _delete_checkpoint(final)
    rename_for_good(temporary, final)
    for old in sorted(folder.glob("[0-9]*"))[:-CHECKPOINTS_KEPT]:
        _delete_checkpoint(old)


def bytes_of_weights(model):
    """Return about how many bytes a file of a model's weights and their optimisers' state takes."""
    kept, trained = (
        sum(int(np.prod(weight.shape)) for weight in weights)
        for weights in (model.weights, model.trainable_weights)
    )
    # Adam keeps two more numbers for each that it trains; image pools are kept, but not trained.
    return 4 * (kept + 2 * trained) + len(model.weights) * BYTES_BESIDE_WEIGHTS


def _check_room(path, size):
    """Raise an OSError if there is no room for a file of ``size`` bytes.

    HDF5 does not survive a disk that gets full: the process would crash instead of saying so.
    """
    full = errno.ENOSPC if shutil.disk_usage(path.parent).free < size else None
    if not full and hasattr(os, "posix_fallocate"):  # this sees quotas, too
        try:
            with open(path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:  # some file systems cannot tell
            full = error.errno if error.errno in DISK_IS_FULL else None
        path.unlink(missing_ok=True)
    if full:
        raise OSError(full, os.strerror(full), str(path))


def _delete_checkpoint(folder):
    # The state goes first: a checkpoint without one is never taken for a whole one.
    (folder / "state.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def load_checkpoint(model, run_folder):
    """Fill ``model`` from the newest whole checkpoint and return its state, None if there is none.

    Newer ones that cannot be read are renamed, so that they are not kept in place of sound ones.

    Raises
    ------
    ValueError
        If there are checkpoints, but none can be read.
    """
    damaged, without_state = [], []
    for folder in sorted((Path(run_folder) / "checkpoints").glob("[0-9]*"), reverse=True):
        if not (folder / "state.json").is_file():
            without_state.append(folder)
            continue
        state = read_json(folder / "state.json")
        try:
            if state is None:
                raise ValueError("state.json cannot be read")
            read_through(folder / "model.weights.h5")  # Keras' errors do not tell a drive's
            model.load_weights(folder / "model.weights.h5")
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            if is_of_access(error):
                raise
            if backend.says_out_of_memory(str(error)):
                raise MemoryError(str(error)) from error
            logger.warning("the checkpoint %s is damaged and passed over (%s)", folder, error)
            damaged.append(folder)
            continue
        for variable, value in zip(_random_states(model), state.pop("random_states"), strict=True):
            variable.assign(value)
        for rest in without_state:  # of one that was half deleted
            _delete_checkpoint(rest)
        for newer in damaged:
            aside = newer.with_name(f"{DAMAGED}{newer.name}")
            shutil.rmtree(aside, ignore_errors=True)
            newer.rename(aside)
        return state
    if damaged:
        raise ValueError(
            f"No checkpoint in {damaged[0].parent} can be read. Bring them back from a backup, or "
            "delete that folder to train this network afresh."
        )
    return None


def _random_states(model):
    """Return the states of the layers that draw random numbers; Keras saves no such states."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def training_went_wrong(state, what, run_folder):
    """Return the words for a training that cannot go on: what was found, and what to change."""
    saved = any((Path(run_folder) / "checkpoints").glob("[0-9]*/state.json"))
    kept = (
        f"The last good checkpoint is kept in {run_folder}." if saved else "No checkpoint was due."
    )
    epoch, step = state["epoch"], state["step"]
    when = f"in epoch {epoch + 1}, by step {step}" if step else f"by the end of epoch {epoch}"
    return (
        f"Training went wrong {when}: {what}. "
        f"{kept} Halve the learning rate or raise the batch "
        'size; with PRECISION = "mixed_bfloat16", try "float32". Or change SEED.'
    )


def save_model(network, path):
    """Save a network as ``.keras``, whole or not at all."""
    with whole_file(path) as temporary:
        network.save(temporary)

"""What is recorded of a finished step: what it was made with, and what it left.

``made_with`` is what decides the step's output; the records of the steps before are in it, by a
digest. ``left`` is a digest of the output's names and contents. ``seen``, of its names, sizes and
times, tells without reading thousands of images that nothing has changed. ``read`` and
``read_seen`` are the same of what the steps before had left, by these: the user may change some of
it, and not run those again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline import VERSION
from pipeline.files.pixel_size import texts_beside
from pipeline.files.records import as_recorded, composed, fingerprint, read_record
from pipeline.image_files import list_images
from pipeline.run_folders import list_runs
from pipeline.running.output_folders import is_of_the_system
from pipeline.running.step_table import RUNS, STEPS, deciding, reads_of, runs_network
from pipeline.wording import first_names

# The parts of what a step was made with that are by name, and the word for one of them.
PARTS = {"keywords": "option", "inputs": "input", "upstream": "step"}
# What makes the steps after a step run again.
OF_OUTPUT = ("made_with", "left")


def read_records(path: Path) -> dict[str, dict]:
    """Return the records of the finished steps, by number; a damaged one is as none."""
    return {number: record for number, record in read_record(path).items() if _is_record(record)}


def _is_record(record) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("made_with"), dict):
        return False
    return {"left", "seen"} <= record.keys() and all(
        isinstance(record["made_with"].get(part), dict) for part in PARTS
    )


def what_decides(number: str, keywords: dict, records: dict[str, dict]) -> dict:
    """Return what decides a step's output: its keywords, the user's files, the earlier steps."""
    inputs = {}
    for name in STEPS[number].user_folders:
        path = Path(keywords[name])
        inputs[name] = fingerprint(_files_read(number, path)) if path.is_dir() else None
    inputs |= _named_networks(keywords)
    earlier = reads_of(number, keywords.get("outline_source"))
    upstream = {step: digest_of(_of_output(records.get(step))) for step in earlier}
    backend = os.environ.get("KERAS_BACKEND")
    content = {
        "keywords": deciding(keywords),
        "inputs": inputs,
        "upstream": upstream,
        "backend": backend,
        "version": VERSION,
    }
    return as_recorded(content)


def _files_read(number: str, folder: Path) -> list[Path]:
    """Return the user's files that a step reads of a folder: images, and what tells their scale."""
    images = list_images(folder)
    texts = [text for image in images for text in texts_beside(image)] if number == "7" else []
    return images + texts


def _named_networks(keywords):
    """Return a digest of the networks in each run that a keyword such as ``unet_model`` names.

    No step's record has them, as such a run need not be the newest.
    """
    networks = {}
    for name, run in keywords.items():
        network = name.removesuffix("_model")
        if network != name and run is not None:
            folder = Path(keywords[f"{network}_dir"]) / RUNS / run
            networks[name] = fingerprint(folder.glob("*.keras"))
    return networks


def what_is_read(number: str, keywords: dict) -> dict[str, dict[str, str]]:
    """Return the part of a step's record on what it is about to read of the steps before."""
    files = _files_read_of_steps(number, keywords)
    seen = _listings(files, _size_and_time)  # first: what changes from here on is noticed
    return {"read_seen": seen, "read": _listings(files, _content)}


def new_record(made_with: dict, read: dict, number: str, keywords: dict) -> dict:
    """Return the record of a step that has just finished; ``read`` is by `what_is_read`, before."""
    files = _output_files(number, keywords)
    seen = _listing(files, _size_and_time)
    return {"made_with": made_with, "left": _listing(files, _content), "seen": seen, **read}


def with_times_of_now(record: dict, number: str, keywords: dict) -> dict:
    """Return the record of a step that is as it was left, so that next time a look at times does.

    In a folder that was copied all files have other times than those in the record.
    """
    times = {"seen": _listing(_output_files(number, keywords), _size_and_time)}
    if "read" in record:  # not in those of earlier versions
        times["read_seen"] = _listings(_files_read_of_steps(number, keywords), _size_and_time)
    return record | times


def why_run(record: dict | None, made_with: dict, number: str, keywords: dict) -> str | None:
    """Return in words why a step must run, or None if it is finished as it would be made now."""
    if record is None:
        return "not done yet"
    before = record["made_with"]
    for part, word in PARTS.items():
        changed = [name for name, now in made_with[part].items() if before[part].get(name) != now]
        if changed:
            word += "s" if len(changed) > 1 else ""
            return f"{word} {first_names(changed)} changed"
    whole = [("version", "this program's version")]
    if runs_network(STEPS[number].function, keywords):
        whole.insert(0, ("backend", "the backend"))
    for part, word in whole:
        if before.get(part) != made_with[part]:
            return f"{word} changed"
    if changed := _changed_since_read(record, number, keywords):
        return f"what step {first_names(changed)} made was changed"
    if not is_as_left(record, number, keywords):
        return "its output is not as it was left: what is missing is made"
    return None


def _changed_since_read(record: dict, number: str, keywords: dict) -> list[str]:
    """Return the steps of which something was changed that this step had read."""
    if not isinstance(record.get("read"), dict):  # of an earlier version
        return []
    files = _files_read_of_steps(number, keywords)
    if record.get("read_seen") == _listings(files, _size_and_time):
        return []
    now = _listings(files, _content)
    return [step for step, listing in now.items() if record["read"].get(step) != listing]


def _files_read_of_steps(number: str, keywords: dict) -> dict[str, list[Path]]:
    """Return the files that a step reads of those before, by these; the user's own folders, such as
    that of the masks, are among the inputs."""
    own = {f"{{{name}}}" for name in STEPS[number].user_folders}
    reads = reads_of(number, keywords.get("outline_source"))
    return {step: _files(set(paths) - own, keywords) for step, paths in reads.items()}


def is_as_left(record: dict, number: str, keywords: dict) -> bool:
    """Return whether a step's output is still what it was when the step had finished."""
    files = _output_files(number, keywords)
    # A folder that was copied has other times.
    return record["seen"] == _listing(files, _size_and_time) or (
        record["left"] == _listing(files, _content)
    )


def _output_files(number: str, keywords: dict) -> list[Path]:
    """Return a step's output files, of those in run folders the latest."""
    return _files(STEPS[number].leaves, keywords)


def _files(patterns: Iterable[str], keywords: dict) -> list[Path]:
    files = []
    for pattern in patterns:
        path = Path(pattern.format(**keywords))
        if "*" in pattern:
            files += [run / path.name for run in list_runs(path.parents[1], path.name)[-1:]]
        elif path.is_file():
            files.append(path)
        elif path.is_dir():
            files += [file for file in path.iterdir() if not is_of_the_system(file)]
    return files


def _listing(files: list[Path], describe: Callable[[Path], object]) -> str:
    """Return a digest of the files' names and of what ``describe`` tells of each."""
    return digest_of(
        sorted((file.parent.name, composed(file).name, describe(file)) for file in files)
    )


def _listings(by_step: dict[str, list[Path]], describe) -> dict[str, str]:
    return {step: _listing(files, describe) for step, files in by_step.items()}


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _content(path: Path) -> str:
    return fingerprint([path]) if path.is_file() else ""  # nothing for a folder of the user's


def _of_output(record: dict | None) -> dict | None:
    return record and {name: record[name] for name in OF_OUTPUT}


def digest_of(content) -> str:
    """Return a digest of JSON values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

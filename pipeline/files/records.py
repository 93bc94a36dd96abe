"""Records of what was done, as JSON files, and what tells that a file is still the same."""

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.files.digests import digest_of_file
from pipeline.files.whole_files import whole_file
from pipeline.progress import progress


def as_recorded(content):
    """Return what a JSON file gives back of ``content``; what no JSON type fits becomes text."""
    return json.loads(json.dumps(content, default=_as_json, skipkeys=True))


def _as_json(value):
    return value.item() if isinstance(value, np.generic) else str(value)


def write_json(path: Path, content) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, default=_as_json)
        file.write("\n")


def read_json(path: Path):
    """Return the content of a JSON file, or None where there is no (readable) file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def read_record(path: Path) -> dict:
    """Return the object in a JSON file, empty where there is none or something else."""
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def fingerprint(files: Iterable[Path]) -> str:
    """Return a hash over the names and contents of files, in the order of their paths.

    An accent in a name may be written either way: a copy to another system may change that.
    """
    digest = hashlib.blake2b(digest_size=16)
    # By the parts, as Windows takes paths for the same that differ in upper and lower case.
    files = sorted(map(Path, files), key=lambda path: composed(path).parts)
    for path in progress(files, "files read, to tell whether they change", only_if_long=True):
        digest.update(os.fsencode(composed(path).name))
        digest.update(digest_of_file(path))
    return digest.hexdigest()


def composed(path: Path) -> Path:
    """Return a path with each accent in one character with its letter."""
    return Path(unicodedata.normalize("NFC", str(path)))

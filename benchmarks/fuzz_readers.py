"""Feed the image reader damaged files: each must give a clear error or a right result.

Small TIFF, PNG, JPEG, BMP and GIF files are cut off, have bits flipped, bytes overwritten,
headers that promise far too many pixels, or inflate to far more than those promise. They are read
in a process of its own, so that a hang or a crash is seen and counted. The last line is the result
in JSON.

    python benchmarks/fuzz_readers.py --files 3000
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.damaged_files import (
    DAMAGES,
    damage,
    make_bombs,
    make_originals,
    make_promises,
)
from benchmarks.measuring import print_json
from pipeline.image_files import image_size, read_image

SECONDS_ALLOWED = 120.0  # for one small file, also on a busy machine; longer is a hang
# A damaged file is decoded only up to 64 MB, or a fixed number of pixels per byte of the file.
MEGABYTES_ALLOWED = 400
# What is right where not both a clear error and a right result are.
ALLOWED = {"whole": ("right",), "promise": ("error",), "bomb": ("error",)}


def judge(path: Path, original: np.ndarray | None) -> str:
    """Read a damaged file; return "error", "right" or what is wrong with the answer.

    ``original``: what the file held where only this is right, None where any sound image is.
    """
    try:
        image = read_image(path)
    except ValueError as error:
        return "error" if str(error).startswith(str(path)) else f"unclear error: {error}"
    except Exception as error:  # any other kind is what this looks for
        return f"wrong kind of error: {type(error).__name__}: {error}"
    if image.ndim != 2 or image.dtype.kind not in "uif" or not image.dtype.isnative:
        return f"wrong result: {image.dtype} of shape {image.shape}"
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        return "wrong result: not finite"
    if image_size(path) != image.shape:
        return f"image_size says {image_size(path)}, the image has {image.shape}"
    if original is not None and not np.array_equal(image, original):
        return "wrong result: other pixels than before the damage"
    return "right"


def must_be_equal(ending: str, kind: str) -> bool:
    """Return whether damage must be noticed: a cut always, and in PNG, which has checksums."""
    return kind == "truncated" or ending == ".png"


def judge_and_measure(path: Path, original: np.ndarray | None) -> tuple[str, float, float]:
    """Return the verdict, the seconds it took and the peak memory of this process in MB."""
    start = time.perf_counter()
    verdict = judge(path, original)
    seconds = time.perf_counter() - start
    import resource  # Windows has none

    return verdict, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def start_reader() -> tuple[ProcessPoolExecutor, int]:
    """Return a process that reads files, and its number."""
    reader = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    return reader, reader.submit(os.getpid).result()


def ask(reader: ProcessPoolExecutor, process: int, *call, seconds: float = SECONDS_ALLOWED):
    """Return what a call (function, arguments) gives in the process; else "hang" or "crash".

    The process has ended then, and a new one is needed.
    """
    try:
        return reader.submit(*call).result(timeout=seconds)
    except BrokenProcessPool:
        return "crash"
    except TimeoutError:
        os.kill(process, signal.SIGKILL)
        return "hang"


def list_tasks(files: int, rng: np.random.Generator):
    """Yield (ending, content, kind of damage, image it must give or None) of all files to read."""
    originals = make_originals(rng)
    for ending, content, image in originals:
        yield ending, content, "whole", image
    for side in (8_000, 20_000, 33_000, 65_000):
        for ending, content in make_promises(side):
            yield ending, content, "promise", None
    for ending, content in make_bombs(megabytes=MEGABYTES_ALLOWED):
        yield ending, content, "bomb", None
    for number in range(files):
        ending, content, image = originals[number % len(originals)]
        kind = str(rng.choice(DAMAGES))
        expected = image if must_be_equal(ending, kind) else None
        yield ending, damage(content, kind, rng), kind, expected


def run(files: int, seed: int, folder: Path) -> dict:
    """Read ``files`` damaged files, print what went wrong, and return the counts."""
    verdicts = Counter()
    seconds, peaks = [], []
    reader, process = start_reader()
    tasks = list_tasks(files, np.random.default_rng(seed))
    for number, (ending, content, kind, expected) in enumerate(tasks):
        path = folder / f"{number:05d}{ending}"
        path.write_bytes(content)
        answer = ask(reader, process, judge_and_measure, path, expected)
        if isinstance(answer, str):
            verdict = answer
            reader.shutdown(wait=False)
            reader, process = start_reader()
        else:
            verdict, duration, peak = answer
            seconds.append(duration)
            peaks.append(peak)
        if verdict in ALLOWED.get(kind, ("error", "right")):
            path.unlink()
        else:
            print(f"{path.name} ({kind}): {verdict}")
            verdicts["wrong"] += 1
        verdicts[verdict.split(":")[0]] += 1
    reader.shutdown()
    return {
        "files": files,
        "seed": seed,
        "clear_errors": verdicts["error"],
        "right_results": verdicts["right"],
        "wrong": verdicts["wrong"],
        "hangs": verdicts["hang"],
        "crashes": verdicts["crash"],
        "slowest_read_s": round(max(seconds), 3),
        "peak_memory_mb": round(max(peaks)),
        "memory_growth_mb": round(max(peaks) - peaks[0]),
    }


def main():
    """Run from the command line; the exit code says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=3000, help="damaged files to read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to keep the files that went wrong in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
        result = run(given.files, given.seed, given.keep or Path(folder))
    print_json(result)
    failed = result["wrong"] or result["memory_growth_mb"] > MEGABYTES_ALLOWED
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

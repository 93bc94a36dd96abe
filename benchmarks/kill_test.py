"""Whether the workflow survives being killed: SIGKILL at random moments of the real script.

StartProcess.py runs with tiny options, once undisturbed and then again and again, killed at random
moments and started anew until it ends. In turns it is the script that is killed, and the step's
process. After each kill every file under its final name must be whole; at the end all files must be
those of the undisturbed run (see `differences`), the networks' weights bit for bit.

    python benchmarks/kill_test.py --backend torch --kills 30
"""

import argparse
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import h5py
import numpy as np

from benchmarks.measuring import print_json
from pipeline.files.records import read_json
from pipeline.image_files import read_image
from pipeline.running.run_lock import is_alive
from tests.tiny_project import make_project, run_script, start_script

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "torch"))
parser.add_argument(
    "--ways",
    default="default",
    choices=("default", "published"),
    help="through the steps: of the defaults, or of the published workflow (tests/tiny_project.py)",
)
parser.add_argument("--kills", type=int, default=30)
parser.add_argument("--seed", type=int, default=0, help="of the moments")
parser.add_argument("--threads", type=int, default=1, help="of the networks' library")

# What differs by its nature: the state and log of the workflow, checkpoints (their moments are by
# the clock), and what tells times.
NOT_COMPARED = (".workflow", "checkpoints", "report.html", "about.json")
PDF_DATE = re.compile(rb"/CreationDate \([^)]*\)")
RUN_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
FINGERPRINT = re.compile(r"\b[0-9a-f]{32}\b")  # of networks among others, whose files hold a date
LONGEST_SHARE = 0.6  # of an undisturbed run's time that passes before a kill


def kill_after(folder: Path, seconds: float, step_only: bool) -> bool:
    """Start the script and kill it after some time; return whether it was still at work.

    ``step_only`` kills the process of the step that runs, if one does; the script then ends itself.

    Raises
    ------
    RuntimeError
        If it ended before with an error.
    """
    process = start_script(folder)
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.005)
    killed = process.poll() is None
    if killed:
        kill(process, folder, step_only)
    said, _ = process.communicate()
    if not killed and process.returncode:
        raise RuntimeError(f"the script failed by itself:\n{said}")
    return killed


def kill(process, folder: Path, step_only: bool) -> None:
    """End the script, or only its step, by SIGKILL, and wait until both are gone."""
    step = (read_json(folder / ".workflow" / "lock.json") or {}).get("step")
    if step_only and is_alive(step):
        os.kill(step[0], signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    step = (read_json(folder / ".workflow" / "lock.json") or {}).get("step") or step
    while is_alive(step):  # it ends by itself, a moment after its run
        time.sleep(0.02)


def broken_files(folder: Path) -> list[str]:
    """Return the files under final names that cannot be read to their end."""
    broken = []
    for path in folder.rglob("*"):
        if not path.is_file() or any(part.startswith(".part") for part in path.parts):
            continue
        try:
            _read(path)
        except (ValueError, OSError, zipfile.BadZipFile, KeyError) as error:
            broken.append(f"{path.relative_to(folder)}: {error}")
    return broken


def _read(path):
    if path.name.startswith("."):  # a temporary name
        return
    if path.suffix.lower() in (".tif", ".tiff", ".png", ".jpg"):
        read_image(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix in (".keras", ".zip"):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise ValueError("damaged")
    elif path.suffix == ".h5":
        with h5py.File(path) as file:
            file.visit(lambda name: None)


def weights_of(network: Path) -> dict[str, np.ndarray]:
    """Return all arrays of a .keras file by name."""
    arrays = {}
    with zipfile.ZipFile(network) as archive:
        content = archive.read("model.weights.h5")

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(keep)
    return arrays


def differences(folder: Path, undisturbed: Path) -> list[str]:
    """Return what differs between all files of two finished projects but ``NOT_COMPARED``.

    Names of runs, which are times, count as equal. Networks are compared by their weights, JSON
    without fingerprints, all else byte for byte but for the date in a PDF.
    """
    files, others = (_files_by_name(root) for root in (folder, undisturbed))
    found = [f"{name}: in one only" for name in sorted(files.keys() ^ others.keys())]
    for name in sorted(files.keys() & others.keys()):
        if not _equal(files[name], others[name]):
            found.append(name)
    return found


def _files_by_name(root):
    files = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root)
        if not any(part in NOT_COMPARED for part in name.parts):
            # A second run folder is a difference: it must not hide behind the first.
            key = RUN_NAME.sub("<run>", name.as_posix())
            files[key if key not in files else name.as_posix()] = path
    return files


def _equal(file, other):
    if file.suffix == ".keras":
        one, two = map(weights_of, (file, other))
        return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)
    if file.suffix == ".json":
        one, two = (
            FINGERPRINT.sub("<fingerprint>", RUN_NAME.sub("<run>", path.read_text("utf-8")))
            for path in (file, other)
        )
        return one == two
    one, two = (PDF_DATE.sub(b"", path.read_bytes()) for path in (file, other))
    return one == two


def main() -> None:
    """Run, print the table and the line of JSON; exit with 1 if anything was lost."""
    options = parser.parse_args()
    threads = str(options.threads)
    os.environ |= {"KERAS_BACKEND": options.backend, "OMP_NUM_THREADS": threads}
    os.environ |= {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    moments = random.Random(options.seed)
    kills, runs, broken, different = 0, 0, [], []
    with tempfile.TemporaryDirectory() as temporary:
        how = {"as_published": options.ways == "published"}
        undisturbed = make_project(Path(temporary) / "undisturbed", **how)
        start = time.monotonic()
        code, said = run_script(undisturbed)
        if code:
            sys.exit(said)
        whole = time.monotonic() - start
        print(f"undisturbed: {whole:.0f} s")
        while kills < options.kills:
            folder = make_project(Path(temporary) / f"run_{runs}", **how)
            runs += 1
            while kills < options.kills and kill_after(
                folder, moments.uniform(0, LONGEST_SHARE * whole), step_only=kills % 2 == 1
            ):
                kills += 1
                broken += broken_files(folder)
            code, said = run_script(folder)
            if code:
                sys.exit(f"after {kills} kills the script failed:\n{said}")
            different += differences(folder, undisturbed)
            print(
                f"run {runs}: {kills} kills so far, {len(broken)} broken, {len(different)} differ"
            )
    for line in broken + different:
        print(line)
    print_json(
        {
            "backend": options.backend,
            "ways": options.ways,
            "kills": kills,
            "kills_of_the_step_only": kills // 2,
            "runs": runs,
            "broken_files": len(broken),
            "differences": len(different),
            "seconds_undisturbed": round(whole, 1),
        }
    )
    sys.exit(bool(broken or different))


if __name__ == "__main__":
    main()

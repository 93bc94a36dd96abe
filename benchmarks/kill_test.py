"""Whether the workflow survives being killed: SIGKILL at random moments of the real script.

StartProcess.py runs with tiny options, once undisturbed and then again and again, killed at random
moments and started anew until it ends. After each kill every file under its final name must be
whole; at the end the masks must be those of the undisturbed run byte for byte, and the networks'
weights bit for bit.

    python benchmarks/kill_test.py --backend torch --kills 30
"""

import argparse
import io
import json
import os
import random
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import h5py
import numpy as np

from benchmarks.measuring import print_json
from pipeline.image_files import read_image
from pipeline.run_folders import read_json
from pipeline.run_lock import is_alive
from tests.tiny_project import make_project, run_script, start_script

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "torch"))
parser.add_argument("--kills", type=int, default=30)
parser.add_argument("--seed", type=int, default=0, help="of the moments")
parser.add_argument("--threads", type=int, default=1, help="of the networks' library")

MASKS = ("Output_Masks_UNet", "Output_Masks_CycleGAN", "2_CycleGAN/data/trainB")
NETWORKS = ("1_WGAN", "2_CycleGAN", "3_UNet")
LONGEST_SHARE = 0.6  # of an undisturbed run's time that passes before a kill


def kill_after(folder: Path, seconds: float) -> bool:
    """Start the script and kill it after some time; return whether it was still at work.

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
    process.kill()
    said, _ = process.communicate()
    step = (read_json(folder / ".workflow" / "lock.json") or {}).get("step")
    while is_alive(step):  # it ends by itself, a moment after its run
        time.sleep(0.02)
    if not killed and process.returncode:
        raise RuntimeError(f"the script failed by itself:\n{said}")
    return killed


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
    """Return what differs between the masks and networks of two finished runs."""
    found = []
    for name in MASKS:
        files = [{p.name for p in (root / name).glob("*.tif")} for root in (folder, undisturbed)]
        if files[0] != files[1]:
            found.append(f"{name}: {sorted(files[0] ^ files[1])}")
        for file in files[0] & files[1]:
            if (folder / name / file).read_bytes() != (undisturbed / name / file).read_bytes():
                found.append(f"{name}/{file}")
    for name in NETWORKS:
        networks = [sorted(root.glob(f"{name}/Models/*/*.keras")) for root in (folder, undisturbed)]
        if [p.name for p in networks[0]] != [p.name for p in networks[1]]:
            found.append(f"{name}: {[str(p.relative_to(folder)) for p in networks[0]]}")
            continue
        for pair in zip(*networks, strict=True):
            one, other = map(weights_of, pair)
            same = one.keys() == other.keys()
            if not same or not all(np.array_equal(one[key], other[key]) for key in one):
                found.append(f"{name}/{pair[0].name}")
    return found


def main() -> None:
    """Run, print the table and the line of JSON; exit with 1 if anything was lost."""
    options = parser.parse_args()
    os.environ |= {"KERAS_BACKEND": options.backend, "OMP_NUM_THREADS": str(options.threads)}
    moments = random.Random(options.seed)
    kills, runs, broken, different = 0, 0, [], []
    with tempfile.TemporaryDirectory() as temporary:
        undisturbed = make_project(Path(temporary) / "undisturbed")
        start = time.monotonic()
        code, said = run_script(undisturbed)
        if code:
            sys.exit(said)
        whole = time.monotonic() - start
        print(f"undisturbed: {whole:.0f} s")
        while kills < options.kills:
            folder = make_project(Path(temporary) / f"run_{runs}")
            runs += 1
            while kills < options.kills and kill_after(
                folder, moments.uniform(0, LONGEST_SHARE * whole)
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
            "kills": kills,
            "runs": runs,
            "broken_files": len(broken),
            "differences": len(different),
            "seconds_undisturbed": round(whole, 1),
        }
    )
    sys.exit(bool(broken or different))


if __name__ == "__main__":
    main()

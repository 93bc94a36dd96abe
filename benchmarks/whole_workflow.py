"""How long the whole workflow takes on the shipped examples, and how well it segments them.

StartProcess.py runs in an empty folder, as a user runs it; the times are those of its log, the
scores those against the examples' truth. Other options of the script are set with --set; other
micrographs, with the options that belong to them, with --micrographs:

    python benchmarks/whole_workflow.py --backend torch --set UNET_EPOCHS=2 --set SEED=7
    python benchmarks/whole_workflow.py --micrographs bright_field
"""

import argparse
import csv
import datetime
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import print_json
from benchmarks.micrograph_kinds import KINDS, write_micrographs
from pipeline.make_examples import write_examples
from pipeline.scoring.score_table import ALL_IMAGES, AS_SAVED, TABLE
from pipeline.wording import format_seconds

PROJECT = Path(__file__).resolve().parents[1]

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "torch"))
parser.add_argument(
    "--precision",
    choices=("float32", "mixed_bfloat16", "auto"),
    help="without it, the preset's",
)
parser.add_argument("--preset", default="quick", choices=("auto", "published", "quick"))
parser.add_argument(
    "--micrographs",
    default="examples",
    choices=("examples", *KINDS),
    help="the shipped examples, or others of benchmarks/micrograph_kinds.py",
)
parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="OPTION=VALUE",
    help="an option on top of StartProcess.py and its value, as Python writes it",
)
parser.add_argument("--folder", type=Path, help="an empty folder to run in, which is kept")


def make_project(folder: Path, kind: str, options: dict[str, str]) -> None:
    """Fill ``folder`` with micrographs, their truth and StartProcess.py with other options.

    Raises
    ------
    ValueError
        If StartProcess.py has no such option.
    """
    if kind == "examples":
        write_examples(folder, folder / "True_Masks")
    else:
        write_micrographs(kind, folder)
        options = KINDS[kind][1] | options
    script = (PROJECT / "StartProcess.py").read_text(encoding="utf-8")
    for name, value in options.items():
        line = f"{name} = {value}"
        script, count = re.subn(rf"(?m)^{re.escape(name)} = .*$", lambda _: line, script)  # noqa: B023
        if count != 1:
            raise ValueError(f"--set {name}: StartProcess.py has no option {name} on top.")
    (folder / "StartProcess.py").write_text(script, encoding="utf-8")


def run_script(folder: Path, backend: str) -> float:
    """Run StartProcess.py and return the peak memory of its largest process in MB.

    Where it fails, it has said why: this process then ends with the same exit code.
    """
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "KERAS_BACKEND": backend}
    command = [sys.executable, "StartProcess.py"]
    ended = subprocess.run(command, cwd=folder, env=environment, check=False)
    if ended.returncode:
        sys.exit(ended.returncode)
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def read_times(log_file: Path) -> dict[str, float]:
    """Return the seconds of each step, from the times of its first and last line in the log."""
    begun, seconds = {}, {}
    for line in log_file.read_text(encoding="utf-8").splitlines():
        found = re.match(r"(\S+ \S+) INFO (?:Step (\w+) of|step (\w+) took)", line)
        if found:
            moment = datetime.datetime.fromisoformat(found[1])
            if found[2]:
                begun[found[2]] = moment
            else:
                seconds[found[3]] = (moment - begun[found[3]]).total_seconds()
    return seconds


def read_scores(folder: Path) -> dict[str, float]:
    """Return the scores over all images, of the masks a user gets."""
    (file,) = folder.glob("Results/*/scores.csv")
    with open(file, newline="", encoding="utf-8") as content:
        for row in csv.DictReader(content):
            if (row["image"], row["segmentation"]) == (ALL_IMAGES, AS_SAVED):
                return {name: round(float(row[name] or "nan"), 4) for name in TABLE}
    raise ValueError(f"{file} has no row of {ALL_IMAGES}, {AS_SAVED}; run step 8 again.")


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """Run the workflow in ``folder``, print a table, and a line of JSON last."""
    options = {"PRESET": repr(arguments.preset)}
    if arguments.precision:
        options["PRECISION"] = repr(arguments.precision)
    options |= dict(pair.split("=", 1) for pair in arguments.set)
    make_project(folder, arguments.micrographs, options)
    peak = run_script(folder, arguments.backend)
    seconds = read_times(folder / ".workflow" / "log.txt")
    scores = read_scores(folder)
    whole = sum(seconds.values())
    precision = arguments.precision or "the preset's precision"
    print(f"\n{arguments.backend}, {precision}, preset {arguments.preset}, ", end="")
    print(f"micrographs: {arguments.micrographs}\n")
    for step, duration in seconds.items():
        print(f"step {step:<8}{duration:>10.1f} s{duration / whole:>8.0%}")
    print(f"{'in all':<13}{whole:>10.1f} s  ({format_seconds(whole)})\n")
    for name, title in TABLE.items():
        print(f"{title:<13}{scores[name]:>10.3f}")
    print_json(
        {
            "seconds": round(whole, 1),
            "seconds_of_steps": seconds,
            "peak_memory_mb": round(peak),
            "scores": scores,
        }
    )


def main() -> None:
    """Run from the command line."""
    arguments = parser.parse_args()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        if any(arguments.folder.iterdir()):
            parser.error(f"--folder {arguments.folder} is not empty; name a new one.")
        measure(arguments.folder.resolve(), arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments)


if __name__ == "__main__":
    main()

"""How long a step takes to start: a process of its own, its imports, and the devices set up.

Each is started as the workflow starts it, but without its keywords, so that it ends where its work
would begin. Beside it the time of a process that does nothing.

    python benchmarks/start_up.py --backend torch
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import print_json, timed
from pipeline.running.step_process import environment_of_step
from pipeline.running.step_table import STEPS, runs_network

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "torch"))
parser.add_argument("--repeats", type=int, default=5, help="the median of so many is given")

PROJECT = Path(__file__).resolve().parents[1]
START = "import json, sys; from pipeline.run_step import run_job; run_job(json.loads(sys.argv[1]))"
DEVICES = {"use_gpus": "all", "allow_memory_growth": True, "deterministic": False, "use_xla": False}


def start(*command: str) -> None:
    """Run Python, and wait for its end; what it says is not shown."""
    subprocess.run([sys.executable, *command], cwd=PROJECT, capture_output=True, check=True)


def main(options: argparse.Namespace) -> None:
    """Measure, print a table, and a line of JSON last."""
    os.environ.update(environment_of_step() | {"KERAS_BACKEND": options.backend})
    _, nothing, _ = timed(lambda: start("-c", ""), options.repeats)
    print(f"{'step':<6}{'function':<22}{'network':<10}{'seconds':>8}")
    print(f"{'-':<6}{'(Python alone)':<22}{'':<10}{nothing:>8.2f}")
    seconds = {}
    for number, step in STEPS.items():
        function, network = step.function, runs_network(step.function, {})
        job = {"number": number, "function": function, "keywords": {}, "log_file": os.devnull}
        job = json.dumps(job | {"devices": DEVICES})
        start("-c", START, job)  # warm-up: the files come from the disk
        _, seconds[number], _ = timed(lambda job=job: start("-c", START, job), options.repeats)
        print(f"{number:<6}{function:<22}{'yes' if network else 'no':<10}{seconds[number]:>8.2f}")
    rounded = {number: round(value, 3) for number, value in seconds.items()}
    print_json({"seconds_per_start": rounded, "seconds_of_python_alone": round(nothing, 3)})


if __name__ == "__main__":
    main(parser.parse_args())

"""What the benchmarks share: options, times, memory, and the form of the result.

Keras is imported within the functions that need it: the options decide on its backend and on the
number of threads, both of which count only before its first import.
"""

import argparse
import contextlib
import datetime
import gc
import importlib.metadata
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

WARM_UP_STEPS = 5  # with torch on a GPU the fourth is recorded, see models/fast/recorded_steps.py
# On a GPU the next step is prepared while the last one runs, as in training: so a few are timed
# as one.
STEPS_AT_A_TIME_ON_A_GPU = 5
PRECISIONS = ("float32", "mixed_bfloat16")


# --- Options ----------------------------------------------------------------------------------


def network_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark that runs a network."""
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    add = parser.add_argument
    add("--backend", default="tensorflow", choices=("tensorflow", "torch"))
    add("--precision", default="float32", choices=PRECISIONS)
    add("--repeats", type=int, default=15, help="the median of so many is given")
    add("--plain-repeats", type=int, default=3, help="of the stock layers; 0 leaves them out")
    add("--threads", type=int, help="on the CPU; without it, as many as the backend takes")
    add("--no-tf32", action="store_true", help="all digits of float32 on a GPU")
    parser.set_defaults(xla="auto")
    return parser


def training_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark of a training step."""
    parser = network_parser(description)
    parser.add_argument("--batch", type=int, help="samples in a batch")
    parser.add_argument("--size", type=int, help="side of an image in pixels")
    parser.add_argument(
        "--xla",
        choices=("auto", "on", "off"),
        help="tensorflow: compile the step with XLA; auto: on a GPU only",
    )
    return parser


def start_backend(
    options: argparse.Namespace, independent_networks: int = 1, to_train: bool = False
) -> None:
    """Import Keras as the options say; ``independent_networks`` as in ``set_up_devices``."""
    os.environ.update(KERAS_BACKEND=options.backend, TF_CPP_MIN_LOG_LEVEL="3")
    if to_train:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in pipeline/run_step.py
    if options.no_tf32:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    if options.threads:
        os.environ.update(
            OMP_NUM_THREADS=str(options.threads),
            TF_NUM_INTRAOP_THREADS=str(options.threads),
            TF_NUM_INTEROP_THREADS="1",
        )
    if options.backend == "torch":
        sys.modules.setdefault("tensorflow", None)  # as in pipeline/run_step.py
    from models import backend, devices

    devices.set_up_devices(
        independent_networks=1 if options.threads else independent_networks,
        use_xla={"auto": "auto", "on": True, "off": False}[options.xla],
    )
    backend.keras.config.set_dtype_policy(options.precision)


# --- Times and memory -------------------------------------------------------------------------


def timed(function: Callable, repeats: int) -> tuple:
    """Return what the function returns, its median seconds, and those of the processor.

    Elapsed time counts what other programs take; processor time is what an idle core would need.
    """
    elapsed, work = [], []
    for _ in range(repeats):
        start, start_work = time.perf_counter(), time.process_time()
        result = function()
        elapsed.append(time.perf_counter() - start)
        work.append(time.process_time() - start_work)
    return result, statistics.median(elapsed), statistics.median(work)


def measure(run: Callable, repeats: int) -> dict[str, float]:
    """Return the seconds and the memory of ``run()``, a step or an image, after a warm-up.

    ``drift`` is the median time of the last quarter over that of the first, ``growth_mb`` what the
    process holds more after the last repeat than before the first: 1 and 0 for a step that is
    constant in time and memory.
    """
    from models import backend

    at_a_time = STEPS_AT_A_TIME_ON_A_GPU if backend.has_gpu() else 1
    for _ in range(WARM_UP_STEPS):
        run()
    wait_for_device()
    held, seconds = _memory_mb("VmRSS"), []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(at_a_time):
            run()
        wait_for_device()
        seconds.append((time.perf_counter() - start) / at_a_time)
    quarter = max(repeats // 4, 1)
    first, last = statistics.median(seconds[:quarter]), statistics.median(seconds[-quarter:])
    measured = {
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "peak_mb": peak_memory_mb(),
        "growth_mb": _memory_mb("VmRSS") - held,
        "drift": last / first,
    }
    return measured | ({"peak_gpu_mb": _peak_gpu_memory_mb()} if backend.has_gpu() else {})


def measure_both(
    build: Callable[[], Callable],
    options: argparse.Namespace,
    build_stock: Callable[[], Callable] | None = None,
) -> dict[str, dict]:
    """Measure what ``build()`` returns, with our layers ("ours") and then with Keras's ("stock").

    ``build() -> run``, ``run() -> dict of losses or outputs``, from equal weights each time;
    ``build_stock`` where Keras's layers are to be run in another way too. The largest difference
    between the first results of both is "difference" of "stock". On a CPU nothing is said of its
    peak of memory, as the process keeps what ours has freed.
    """
    from benchmarks.plain_layers import plain_layers

    forget_peak_memory()
    run = build()
    first = _numbers(run())
    measured = {"ours": measure(run, options.repeats)}
    if options.plain_repeats:
        del run
        gc.collect()
        forget_peak_memory()
        with plain_layers():
            run = (build_stock or build)()
            pairs = zip(first, _numbers(run()), strict=True)
            difference = max(abs(ours - stock) for ours, stock in pairs)
            stock = measure(run, options.plain_repeats) | {"difference": difference}
        if "peak_gpu_mb" not in stock:
            del stock["peak_mb"]
        measured["stock"] = stock
    return measured


def _numbers(results: dict) -> list[float]:
    from keras import ops

    return [float(ops.convert_to_numpy(value)) for _, value in sorted(results.items())]


def wait_for_device() -> None:
    """Return when a GPU has done all it was given."""
    from models import backend

    if backend.has_gpu() and backend.BACKEND == "tensorflow":
        backend.tf.test.experimental.sync_devices()
    elif backend.has_gpu():
        backend.torch.cuda.synchronize()


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024


def peak_memory_mb() -> float:
    """Return the most memory this process has held since ``forget_peak_memory`` (Linux)."""
    return _memory_mb("VmHWM")


def _peak_gpu_memory_mb() -> float:
    from models import backend

    if backend.BACKEND == "tensorflow":
        return backend.tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return backend.torch.cuda.max_memory_allocated() / 2**20


def forget_peak_memory() -> None:
    """Let the peaks of this process and of the GPU begin anew."""
    from models import backend

    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if backend.has_gpu() and backend.BACKEND == "tensorflow":
        backend.tf.config.experimental.reset_memory_stats("GPU:0")
    elif backend.has_gpu():
        backend.torch.cuda.reset_peak_memory_stats()


# --- The result -------------------------------------------------------------------------------


def machine() -> dict:
    """Return what the figures depend on, without the machine's name."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    described = {
        "processor": processor[1] if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "python": platform.python_version(),
    }
    for library in ("keras", "tensorflow", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            described[library] = importlib.metadata.version(library)
    if "models.devices" in sys.modules:
        described["gpus"] = sys.modules["models.devices"].versions()["gpus"]
    return described


def print_json(figures: dict) -> None:
    """Print the figures, the date, the command and the machine as one line of JSON."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    date = datetime.date.today().isoformat()
    print(json.dumps(figures | {"date": date, "command": command, "machine": machine()}))


PEAKS = ("peak_mb", "peak_gpu_mb")


def report(title: str, unit: str, measured: dict, least: dict, more: dict | None = None) -> None:
    """Print a table of ``measure_both`` and ``floor``, and a line of JSON last.

    ``unit`` is what ``seconds`` are for: "step" or "image". ``more`` goes into the JSON as it is.
    """
    ours, stock = measured["ours"], measured.get("stock")
    print(f"{title}\n")
    print(f"{'':<8}{'s/' + unit:>10}{'fastest':>10}{'x floor':>10}{'peak MB':>10}{'on GPU':>10}")
    for name, row in measured.items():
        times = f"{row['seconds']:>10.4f}{row['fastest']:>10.4f}"
        ratio = row["seconds"] / least["seconds"]
        peaks = [f"{row[one]:>10.0f}" if one in row else f"{'-':>10}" for one in PEAKS]
        print(f"{name:<8}{times}{ratio:>10.2f}{''.join(peaks)}")
    print(f"{'floor':<8}{least['seconds']:>10.4f}")
    print(
        f"\nfloor: {least['gflop']:.4g} GFLOP at {least['gflop_per_second']:.4g} GFLOP/s = "
        f"{least['by_operations']:.4f} s; memory at {least['gigabytes_per_second']:.4g} GB/s = "
        f"{least['by_memory']:.4f} s"
    )
    print(f"ours, last quarter over first: {ours['drift']:.2f}; growth {ours['growth_mb']:+.0f} MB")
    figures = {
        f"seconds_per_{unit}": round(ours["seconds"], 5),
        "peak_memory_mb": round(ours["peak_mb"]),
        "ratio_to_floor": round(ours["seconds"] / least["seconds"], 2),
    }
    if stock:
        print(f"largest difference between ours and stock: {stock['difference']:.2g}")
        figures["ratio_to_plain"] = round(stock["seconds"] / ours["seconds"], 2)
        figures["plain"] = _rounded(stock)
    figures |= {"ours": _rounded(ours), "floor": _rounded(least)}
    print_json(figures | (more or {}))


def report_training(
    title: str, build_step: Callable, passes: list[tuple], options: argparse.Namespace
) -> None:
    """Measure a training step, ours and the stock one; print the table and the line of JSON.

    ``build_step(options)`` returns the step; ``passes`` are those ``floor`` takes.
    """
    from benchmarks.floor import floor

    measured = measure_both(lambda: build_step(options), options)
    size = f"batch {options.batch}, {options.size} x {options.size} pixels"
    title = f"{title}, {size}, {options.backend}, {options.precision}"
    report(title, "step", measured, floor(passes, options.precision))


def _rounded(figures: dict) -> dict:
    return {name: float(f"{value:.4g}") for name, value in figures.items()}

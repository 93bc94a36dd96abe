"""How long a simulated mask takes, and how much longer by the slow, readable simulator.

Published options; the outlines' sampling by a network of the WGAN's size and the preparation of
the particles are included. The network is not trained: its outlines are replaced by ellipses of
the size of real ones, which changes the time of nothing. The plain simulator gets the outlines
for nothing and prepares one for each candidate position.
"""

import argparse
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import peak_memory_mb, print_json

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--masks", type=int, default=200, help="masks over which to amortise")
parser.add_argument("--size", type=int, default=384, help="side of a mask in pixels")
parser.add_argument("--repeats", type=int, default=3, help="the median of so many is given")
parser.add_argument("--processes", type=int, default=1, help="processes, of one thread each")
parser.add_argument(
    "--coverage", type=float, help="share to cover, as with MATCH_SCENES (published: by noise)"
)
parser.add_argument("--plain-masks", type=int, default=2, help="masks of the plain simulator")
parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "torch"))


def ellipses(number: int):
    """Return outlines of about the sizes of the TiO2 set's, uint8 (number, 64, 64)."""
    rng = np.random.default_rng(0)
    outlines = np.zeros((number, 64, 64), np.uint8)
    for outline in outlines:
        axes = np.maximum(rng.normal(16, 4, 2), 8).astype(int)
        cv2.ellipse(outline, (32, 32), axes.tolist(), rng.uniform(0, 180), 0, 360, 255, -1)
    return outlines


def time_fast(masks: int, size: int, processes: int, coverage: float | None) -> dict[str, float]:
    """Return the seconds that each part of ``masks`` masks takes.

    With ``coverage`` each covers that share of its pixels, however many tries that takes. The last
    is processor time of this process: what an idle core would need.
    """
    start, start_work = time.perf_counter(), time.process_time()
    rng = random_generator(0, LIBRARY_STREAM)
    number = min(MOST_OUTLINES, OUTLINES_PER_MASK * masks)
    latent = wgan_gp.draw_latent(rng, number, 128)
    wgan_gp.sample_outlines(GENERATOR, latent)
    sampled = time.perf_counter()
    # Smoothed as published, and as the plain simulator does.
    library = prepare_library(rng, OUTLINES[:number], "DISABLE", "SQUARE", **SCALING_OPTIONS)
    prepared = time.perf_counter()
    simulate = partial(
        simulate_label_map,
        library,
        0,
        image_shape=(size, size),
        outline_shape=(64, 64),
        largest_scale=1.3,
        coverage=coverage,
        reach=reach_of(library),
        **ARRANGEMENT_OPTIONS,
    )
    for _ in run_in_processes(simulate, range(masks), processes):
        pass
    placed = time.perf_counter()
    return {
        "sample outlines": sampled - start,
        "prepare particles": prepared - sampled,
        "place particles": placed - prepared,
        "in all": placed - start,
        "processor time": time.process_time() - start_work,
    }


def time_plain(index: int, size: int) -> float:
    """Return the seconds that one mask takes by the plain simulator."""
    start = time.perf_counter()
    plain_label_map(
        np.random.default_rng(index),
        OUTLINES,
        (size, size),
        scale_limits=(0.7, 1.3),
        scaling_mu=1.0,
        scaling_sigma=0.1,
        random_rotation=False,
        grid_spacing_factor=0.125,
        grid_noise_factor=0.05,
        perlin_noise_threshold=0.5,
        perlin_noise_frequency=4,
        max_overlap=0.5,
    )
    return time.perf_counter() - start


def main(arguments: argparse.Namespace) -> None:
    """Measure, print a table, and a line of JSON last."""
    runs = [
        time_fast(arguments.masks, arguments.size, arguments.processes, arguments.coverage)
        for _ in range(arguments.repeats)
    ]
    peak = peak_memory_mb()
    plain = statistics.median(time_plain(i, arguments.size) for i in range(arguments.plain_masks))
    median = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    per_mask = median["in all"] / arguments.masks
    print(f"{arguments.masks} masks of {arguments.size} x {arguments.size} pixels, ", end="")
    print(
        f"{arguments.processes} process(es), {arguments.backend}, median of {arguments.repeats}\n"
    )
    print(f"{'part':<20}{'seconds':>10}{'seconds per mask':>20}")
    for part, seconds in median.items():
        print(f"{part:<20}{seconds:>10.2f}{seconds / arguments.masks:>20.4f}")
    print(f"{'plain simulator':<20}{'':>10}{plain:>20.4f}")
    figures = {
        "seconds_per_mask": round(per_mask, 4),
        "processor_seconds_per_mask": round(median["processor time"] / arguments.masks, 4),
        "ratio_to_plain": round(plain / per_mask, 1),
        "peak_memory_mb": round(peak),
    }
    print_json(figures)


# The imports follow the options: they decide on threads and backend, and --help needs none.
if __name__ == "__main__":
    chosen = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ.update(KERAS_BACKEND=chosen.backend, TF_CPP_MIN_LOG_LEVEL="3")

    import cv2
    import numpy as np

    from models import wgan_gp
    from pipeline.running.worker_processes import run_in_processes
    from pipeline.training_data.mask_simulation import (
        LIBRARY_STREAM,
        MOST_OUTLINES,
        OUTLINES_PER_MASK,
    )
    from simulate.mask_image import random_generator, simulate_label_map
    from simulate.outlines import prepare_library, reach_of
    from tests.simulate.plain_simulation import plain_label_map

    cv2.setNumThreads(1)
    GENERATOR = wgan_gp.build_generator((64, 64), 128)
    OUTLINES = ellipses(MOST_OUTLINES)
    SCALING_OPTIONS = {
        "use_normal_distribution": True,
        "scaling_mu": 1.0,
        "scaling_sigma": 0.1,
        "min_scaling": 0.75,
        "max_scaling": 1.25,
    }
    ARRANGEMENT_OPTIONS = {
        "grid_type": "HEXAGONAL",
        "grid_spacing_factor": 0.125,
        "grid_noise_factor": 0.05,
        "min_no_of_particles": 100,
        "max_no_of_particles": 150,
        "use_perlin_noise": True,
        "perlin_noise_threshold": 0.5,
        "perlin_noise_frequency": 4,
        "max_overlap": 0.5,
    }
    main(chosen)

"""How long the segmentation after the UNet and the filter take, beside scikit-image alone.

The image stands for a probability: a micrograph, smoothed with a Gaussian of sigma 1, thresholded
by Li's method, which leaves agglomerates as ragged as a network does. Without --image it is a
synthetic micrograph of 1024 x 712 pixels with about 100 particles.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import peak_memory_mb, print_json, timed

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--image", type=Path, help="a micrograph (its info bar is cropped)")
parser.add_argument("--repeats", type=int, default=20, help="the median of so many is given")
parser.add_argument("--plain-repeats", type=int, default=1, help="of the plain version")
parser.add_argument("--min-distance", type=int, default=9, help="between centres, in pixels")


def load(path: Path | None) -> tuple:
    """Return a micrograph and a probability, both uint8, and the threshold of the latter."""
    if path is None:
        micrograph, _ = make_example(
            np.random.default_rng(0), height=712, width=1024, agglomerates=20, particles=180
        )
    else:
        micrograph = stretch_to_uint8(read_micrograph(path))
    probability = stretch_to_uint8(gaussian(micrograph, 1))
    return micrograph, probability, float(threshold_li(probability))


def main(arguments: argparse.Namespace) -> None:
    """Measure, print a table, and a line of JSON last."""
    micrograph, probability, threshold = load(arguments.image)
    options = (threshold, True, arguments.min_distance)
    segment_particles(probability, *options)  # warm-up
    mask, elapsed, work = timed(lambda: segment_particles(probability, *options), arguments.repeats)
    # As the network of UNET_TARGET = "instances" gives it, were it right.
    central = centrality(label_particles(mask))
    grown, grow_elapsed, grow_work = timed(
        lambda: grow_particles(probability, central, threshold), arguments.repeats
    )
    kept, filter_elapsed, filter_work = timed(
        lambda: filter_particles(fill_holes(label_particles(mask)), micrograph, True),
        arguments.repeats,
    )
    peak = peak_memory_mb()
    plain, plain_elapsed, plain_work = timed(
        lambda: plain_segment(probability, *options), arguments.plain_repeats
    )
    plain_kept, plain_filter_elapsed, plain_filter_work = timed(
        lambda: plain_fill_and_filter(mask > 0, micrograph, True), arguments.plain_repeats
    )

    agreement, particles = float(np.mean((mask > 0) == plain)), int(label_particles(mask).max())
    plain_particles = int(label_particles(plain).max())
    height, width = mask.shape
    print(f"{height} x {width} pixels, {np.mean(mask > 0):.0%} particle, one thread")
    print(f"median of {arguments.repeats}, plain of {arguments.plain_repeats}\n")
    print(f"{'part':<30}{'seconds':>10}{'processor':>12}{'ratio':>8}")
    for part, seconds, processor, reference in (
        ("segment", elapsed, work, work),
        ("segment, plain", plain_elapsed, plain_work, work),
        ("grow from centres", grow_elapsed, grow_work, work),
        ("fill and filter", filter_elapsed, filter_work, filter_work),
        ("fill and filter, plain", plain_filter_elapsed, plain_filter_work, filter_work),
    ):
        print(f"{part:<30}{seconds:>10.3f}{processor:>12.3f}{processor / reference:>8.1f}")
    print(f"\nsegment: agreement {agreement:.5f}, particles {particles}, plain {plain_particles}")
    figures = {
        "seconds_per_image": round(elapsed, 4),
        "processor_seconds_per_image": round(work, 4),
        "ratio_to_plain": round(plain_work / work, 1),
        "agreement": round(agreement, 5),
        "particles": particles,
        "particles_plain": plain_particles,
        "grow_seconds_per_image": round(grow_elapsed, 4),
        "grow_processor_seconds_per_image": round(grow_work, 4),
        "particles_grown": int(grown.max()),
        "filter_seconds_per_image": round(filter_elapsed, 4),
        "filter_processor_seconds_per_image": round(filter_work, 4),
        "filter_ratio_to_plain": round(plain_filter_work / filter_work, 1),
        "filter_agreement": round(float(np.mean((kept > 0) == plain_kept)), 5),
        "peak_memory_mb": round(peak),
    }
    print_json(figures)


# The imports follow the options: one thread is to be set before them, and --help needs none.
if __name__ == "__main__":
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"

    import cv2
    import numpy as np
    from skimage.filters import gaussian, threshold_li

    from pipeline.image_files import read_micrograph
    from pipeline.intensities import stretch_to_uint8
    from pipeline.particle_masks import (
        fill_holes,
        filter_particles,
        label_particles,
        segment_particles,
    )
    from pipeline.particles.grow_particles import centrality, grow_particles
    from simulate.examples import make_example
    from tests.pipeline.plain_segmentation import plain_fill_and_filter, plain_segment

    cv2.setNumThreads(1)
    main(chosen)

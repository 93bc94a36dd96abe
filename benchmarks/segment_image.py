"""How long the UNet takes for a whole micrograph, and whether many sizes make it slower or larger.

Beside it the same network from stock Keras layers, and the floor. Noise stands for the micrograph.
The segmentation after the network is timed by postprocess.py.

    python benchmarks/segment_image.py --height 712 --width 1024
    python benchmarks/segment_image.py --sizes 20 --plain-repeats 0
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import (
    forget_peak_memory,
    measure_both,
    network_parser,
    peak_memory_mb,
    report,
    start_backend,
)

parser = network_parser(__doc__)
parser.add_argument("--height", type=int, default=712, help="of the micrograph in pixels")
parser.add_argument("--width", type=int, default=1024, help="of the micrograph in pixels")
parser.add_argument("--filters", type=int, default=16)
parser.add_argument(
    "--centrality", action="store_true", help='the network of UNET_TARGET = "instances"'
)
parser.add_argument(
    "--sizes",
    type=int,
    default=0,
    help="micrographs of different sizes, too; if many, no kernels are kept, as in step 6b",
)


def build_network(options: argparse.Namespace):
    """Return the network with the weights of seed 0, as it is after training."""
    return multires_unet.build_unet(
        options.filters, seed=0, with_centrality=options.centrality
    ).network


def build_predictor(options: argparse.Namespace):
    """Return what step 6b calls for each micrograph."""
    return prepare(build_network(options))


def build_stock_predictor(options: argparse.Namespace):
    """Return Keras's own way to the same: a graph on TensorFlow."""
    network = build_network(options)
    return lambda image: np.asarray(network.predict_on_batch(image))


def build_run(options: argparse.Namespace, build):
    """Return a function that segments one micrograph and returns some of its probabilities."""
    predict = build(options)
    random = np.random.default_rng(0)
    image = random.random((1, options.height, options.width, 1), dtype=np.float32)
    return lambda: dict(enumerate(predict(image).ravel()[:: max(image.size // 1000, 1)]))


def time_sizes(options: argparse.Namespace) -> dict[str, float]:
    """Return how micrographs of different sizes, no larger than the one asked for, fare.

    Seconds a megapixel, the first time a size is seen and the second time: they are equal where
    nothing is compiled for a size. The growth of the peak memory from the first such micrograph,
    the largest, to the last.
    """
    predict = build_predictor(options)
    shrink = np.linspace(1.0, 0.7, options.sizes)
    shapes = [(int(options.height * s), int(options.width * s)) for s in shrink]
    predict(np.zeros((1, *shapes[0], 1), np.float32))
    forget_peak_memory()
    random = np.random.default_rng(1)
    rates, peaks = [[], []], []
    for shape in shapes:
        image = random.random((1, *shape, 1), dtype=np.float32)
        for seen in range(2):
            start = time.perf_counter()
            predict(image)
            rates[seen].append((time.perf_counter() - start) / image.size * 1e6)
        peaks.append(peak_memory_mb())
    return {
        "sizes": len(shapes),
        "seconds_per_megapixel_first": round(float(np.median(rates[0])), 5),
        "seconds_per_megapixel_again": round(float(np.median(rates[1])), 5),
        "peak_growth_mb": round(peaks[-1] - peaks[0]),
    }


def main(options: argparse.Namespace) -> None:
    """Measure, print a table, and a line of JSON last."""
    if options.sizes > FEW_SIZES:
        keep_no_kernels()
    measured = measure_both(
        lambda: build_run(options, build_predictor),
        options,
        lambda: build_run(options, build_stock_predictor),
    )
    sizes = time_sizes(options) if options.sizes else {}
    if sizes:
        print(
            f"{sizes['sizes']} sizes: {sizes['seconds_per_megapixel_first']} s a megapixel, again "
            f"{sizes['seconds_per_megapixel_again']} s; growth {sizes['peak_growth_mb']} MB\n"
        )
    least = floor(
        [(build_network(options), (options.height, options.width, 1), 1)], options.precision
    )
    title = f"UNet, {options.filters} filters, one image of {options.height} x {options.width} "
    title += f"pixels, {options.backend}, {options.precision}"
    report(title, "image", measured, least, {"different_sizes": sizes})


if __name__ == "__main__":
    chosen = parser.parse_args()
    start_backend(chosen)

    import numpy as np

    from benchmarks.floor import floor
    from models import multires_unet
    from models.fast.inference import prepare
    from models.fast.process_memory import keep_no_kernels
    from pipeline.segment_images import FEW_SIZES

    main(chosen)

"""How long a training step of the MultiRes UNet takes.

Beside it the same step with stock Keras layers, and the floor. Noise stands for the tiles.

    python benchmarks/train_unet.py --filters 16 --batch 5
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import (
    measure_both,
    report,
    start_backend,
    training_parser,
    use_xla,
)

parser = training_parser(__doc__)
parser.set_defaults(batch=5, size=384)
parser.add_argument("--filters", type=int, default=16)


def build_step(options: argparse.Namespace):
    """Return a function that takes one training step on fixed tiles and returns its losses."""
    random = np.random.default_rng(0)
    images = random.random((options.batch, options.size, options.size, 1), dtype=np.float32)
    masks = (images > 0.5).astype(np.float32)
    model = multires_unet.build_unet(options.filters, particle_weight=2.0, seed=0)
    model.set_up(1e-3)
    step = backend.compile_step(model.train_step, use_xla(options))
    return lambda: step(backend.to_device((images, masks)))


def main(options: argparse.Namespace) -> None:
    """Measure, print a table, and a line of JSON last."""
    measured = measure_both(lambda: build_step(options), options)
    network = multires_unet.build_multires_unet(options.filters)
    # Forward, and both halves of the backward pass, for each tile.
    passes = [(network, (options.size, options.size, 1), 3 * options.batch)]
    title = f"UNet step, {options.filters} filters, batch {options.batch}, "
    title += f"{options.size} x {options.size} pixels, {options.backend}, {options.precision}"
    report(title, "step", measured, floor(passes, options.precision))


if __name__ == "__main__":
    chosen = parser.parse_args()
    start_backend(chosen)

    import numpy as np

    from benchmarks.floor import floor
    from models import backend, multires_unet

    main(chosen)

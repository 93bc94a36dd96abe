"""How long a training step of the MultiRes UNet takes.

Beside it the same step with stock Keras layers, and the floor. Noise stands for the tiles.

    python benchmarks/train_unet.py --filters 16 --batch 5
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import report_training, start_backend, training_parser

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
    step = compiled_steps.compile_step(model.train_step)
    return lambda: step(backend.to_device((images, masks)))


def least_passes(options: argparse.Namespace) -> list[tuple]:
    """Return the passes one step cannot do without: forward, and both halves of the backward."""
    network = multires_unet.build_multires_unet(options.filters)
    return [(network, (options.size, options.size, 1), 3 * options.batch)]


if __name__ == "__main__":
    chosen = parser.parse_args()
    start_backend(chosen, to_train=True)

    import numpy as np

    from models import backend, multires_unet
    from models.fast import compiled_steps

    report_training(
        f"UNet step, {chosen.filters} filters", build_step, least_passes(chosen), chosen
    )

"""How long a training step of the CycleGAN takes, both generators and both discriminators.

Beside it the same step with stock Keras layers, and the floor. Noise stands for the tiles. With
--repeats 500 it shows whether time and memory stay constant.

    python benchmarks/train_cyclegan.py --filters 8 --batch 2
"""

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import report_training, start_backend, training_parser

POOL_SIZE = 50
LOSSES = {  # as published
    "lambda_cycle": (10.0, 10.0),
    "lambda_identity": (0.5, 0.5),
    "label_smoothing_factor": 0.0,
}

parser = training_parser(__doc__)
parser.set_defaults(batch=2, size=384)
parser.add_argument("--filters", type=int, default=8, help="64 in the published workflow")


def build_step(options: argparse.Namespace):
    """Return a function that takes one training step on fixed tiles and returns its losses."""
    shape = (options.size, options.size, 1)
    random = np.random.default_rng(0)
    tiles = random.uniform(-1, 1, (2, options.batch, *shape)).astype(np.float32)
    model = cyclegan.build_cyclegan(options.filters, shape, pool_size=POOL_SIZE, **LOSSES)
    model.set_up(2e-4, 0.5)
    step = compiled_steps.compile_step(model.train_step)
    images_seen = itertools.count(0, options.batch)

    def run():
        choices = image_pool.draw_pool_choices(random, POOL_SIZE, options.batch, next(images_seen))
        return step(backend.to_device((*tiles, *choices)))

    return run


def least_passes(options: argparse.Namespace) -> list[tuple]:
    """Return the passes one step cannot do without, for a pair of tiles.

    Six images go through the generators (translated, back again, and for the identity loss),
    forward and backward: 18. Two fakes go through the discriminators for the generators' loss,
    forward and back to the input: 4. Two real and two fake tiles train the discriminators: 12.
    """
    shape = (options.size, options.size, 1)
    return [
        (cyclegan.build_generator(options.filters), shape, 18 * options.batch),
        (cyclegan.build_discriminator(2 * options.filters), shape, 16 * options.batch),
    ]


if __name__ == "__main__":
    chosen = parser.parse_args()
    start_backend(chosen, independent_networks=2, to_train=True)

    import numpy as np

    from models import backend, cyclegan, image_pool
    from models.fast import compiled_steps

    report_training(
        f"CycleGAN step, {chosen.filters} filters", build_step, least_passes(chosen), chosen
    )

"""How long a training step of the WGAN takes: three updates of the critic, one of the generator.

Beside it the same step with stock Keras layers, and the floor. Random outlines stand for real ones.

    python benchmarks/train_wgan.py --backend torch
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import report_training, start_backend, training_parser

LATENT_SIZE = 128
CRITIC_STEPS = 3

parser = training_parser(__doc__)
parser.set_defaults(batch=64, size=64)


def build_step(options: argparse.Namespace):
    """Return a function that takes one training step on a fixed batch and returns its losses."""
    batch, size = options.batch, options.size
    random = np.random.default_rng(0)
    real = np.sign(random.standard_normal((batch, size, size, 1), dtype=np.float32))
    latent = wgan_gp.draw_latent(random, CRITIC_STEPS + 1, batch, LATENT_SIZE)
    alpha = random.random((CRITIC_STEPS, batch, 1, 1, 1), dtype=np.float32)
    model = wgan_gp.build_wgan((size, size), LATENT_SIZE, gradient_penalty_weight=10.0)
    model.set_up(2e-4, 0.5, 0.9)
    step = compiled_steps.compile_step(model.train_step)
    return lambda: step(backend.to_device((real, latent, alpha)))


def least_passes(options: argparse.Namespace) -> list[tuple]:
    """Return the passes one step cannot do without.

    An update of the critic: a forward pass of the generator, forward and backward passes of the
    critic on real and fake outlines (2 x 3), and the penalty: forward, the input's gradient, and
    from it the weights' (a backward pass through the input's gradient, 2; the critic is linear
    between its kinks, so that nothing flows back through the forward pass). An update of the
    generator: its own forward and backward passes (3), the critic's forward pass and its input's
    gradient (2).
    """
    generator = wgan_gp.build_generator((options.size, options.size), LATENT_SIZE)
    critic = wgan_gp.build_critic((options.size, options.size))
    return [
        (generator, (LATENT_SIZE,), options.batch * (CRITIC_STEPS + 3)),
        (critic, (options.size, options.size, 1), options.batch * (CRITIC_STEPS * (6 + 4) + 2)),
    ]


if __name__ == "__main__":
    chosen = parser.parse_args()
    start_backend(chosen, to_train=True)

    import numpy as np

    from models import backend, wgan_gp
    from models.fast import compiled_steps

    report_training("WGAN step", build_step, least_passes(chosen), chosen)

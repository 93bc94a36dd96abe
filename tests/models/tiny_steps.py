"""Training steps of all three networks, tiny, with the options that lead to other kernels."""

import numpy as np

from models.cyclegan import build_cyclegan
from models.image_pool import draw_pool_choices
from models.multires_unet import build_unet
from models.wgan_gp import build_wgan

# What the published workflow weighs and keeps.
WGAN = {"gradient_penalty_weight": 10.0}
CYCLEGAN = {
    "pool_size": 50,
    "lambda_cycle": (10.0, 10.0),
    "lambda_identity": (0.5, 0.5),
    "label_smoothing_factor": 0.0,
}


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def wgan_steps(dropout=True):
    model = build_wgan((32, 32), 16, dropout=dropout, **WGAN)
    model.set_up(2e-4, 0.5, 0.9)
    return [(model.train_step, (uniform(4, 32, 32, 1), uniform(3, 4, 16), uniform(2, 4, 1, 1, 1)))]


def cyclegan_steps(**options):
    model = build_cyclegan(2, (64, 64, 1), **CYCLEGAN | options)
    model.set_up(2e-4, 0.5)
    tiles = uniform(2, 64, 64, 1), uniform(2, 64, 64, 1, seed=1)
    choices = draw_pool_choices(np.random.default_rng(0), 50, 2, 0)
    return [(model.train_step, (*tiles, *choices))]


def all_options_steps():
    return cyclegan_steps(
        use_skip_connection=True,
        use_resize_convolution=True,
        label_smoothing_factor=0.1,
    )


def crossentropy_steps():
    return cyclegan_steps(use_binary_crossentropy=True, lambda_identity=(0.0, 0.0))


def discriminator_noise_steps():
    return cyclegan_steps(gaussian_noise_value=0.1)


def unet_steps():
    model = build_unet(4, particle_weight=2.0, with_centrality=True, gap_weight=10.0)
    model.set_up(1e-3)
    pairs = uniform(2, 32, 32, 1), uniform(2, 32, 32, 3, seed=1)
    return [(model.train_step, pairs), (model.validation_step, pairs)]


def weight_decay_steps():
    model = build_unet(4, particle_weight=2.0)
    model.set_up(1e-3, weight_decay=0.1)
    pairs = uniform(2, 32, 32, 1), uniform(2, 32, 32, 1, seed=1)
    return [(model.train_step, pairs)]


ONE_A_NETWORK = [wgan_steps, cyclegan_steps, unet_steps]
ALL = [
    *ONE_A_NETWORK,
    all_options_steps,
    crossentropy_steps,
    discriminator_noise_steps,
    weight_decay_steps,
]

"""Initial weights drawn with NumPy, so that both backends start from the same network."""

import math

import numpy as np

from models import lean_networks

# Squares of so many pixels, bright with this probability, and the noise on them, as a share of
# their contrast: a network that is to tell particles from noise is looked at with both.
SQUARE, SQUARES, BRIGHT, NOISE = 12, 8, 0.3, 0.15


def seed_of_layer(seed, network_name, number):
    """Return a seed for one layer that draws random numbers: far from its neighbours' seeds.

    Below 2^30, as torch keeps seeds in 32 bit with a sign. None, another each time, stays None.
    """
    if seed is None:
        return None
    sequence = np.random.SeedSequence([seed, number, *network_name.encode()])
    return int(sequence.generate_state(1)[0] >> 2)


def initialise_weights(network, seed, stream=0):
    """Set every kernel of a built network to Glorot uniform numbers.

    Biases, offsets, scales and moving statistics keep their start values (0, 0, 1 and 0, 1).
    ``stream`` sets networks apart that share a seed. Source: Glorot and Bengio, AISTATS 2010,
    equation 16.
    """
    for index, variable in enumerate(network.trainable_variables):
        if variable.name != "kernel":
            continue
        random = np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, index]))
        shape = tuple(variable.shape)
        window = math.prod(shape[:-2])
        limit = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
        variable.assign(random.uniform(-limit, limit, shape).astype("float32"))


def align_contrast(generator):
    """Negate a new generator's last kernel if it draws bright particles dark.

    Random weights do so as often as not, and a CycleGAN that starts so may keep it for good:
    translated back, the image is right again. ``generator`` takes (b, h, w, 1) and ends in a
    convolution, whose bias is 0, and an activation that rises. It is shown noisy bright squares.
    """
    random = np.random.default_rng(0)
    bright = random.random((4, SQUARES, SQUARES)) < BRIGHT
    shapes = np.kron(bright, np.ones((1, SQUARE, SQUARE)))[..., None]
    noise = NOISE * random.standard_normal(shapes.shape)
    drawn = lean_networks.predict(generator, (2 * (shapes + noise) - 1).astype(np.float32))
    if np.vdot(shapes - shapes.mean(), drawn) < 0:
        kernel = [weight for weight in generator.trainable_variables if weight.name == "kernel"][-1]
        kernel.assign(-kernel)

"""Initial weights drawn with NumPy, so that both backends start from the same network."""

import math

import keras
import numpy as np

from models import lean_networks

# Squares of so many pixels, so many a side, and the noise on them, as a share of their contrast: a
# network that is to tell particles from noise is looked at with both. The shares that are bright.
SQUARE, SQUARES, NOISE = 12, 8, 0.15
SHARES = 0.15, 0.3, 0.5, 0.7, 0.85


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
    """Make a new generator with a skip connection draw bright what is bright.

    Random weights of the last convolution, to which the connection leads, do the contrary as often
    as not, and a CycleGAN that starts so may keep it for good: translated back, the image is right
    again. Each channel of the connection gets a weight of its sign: positive where it is the higher
    the brighter the image. After their normalisation some channels are so where the particles cover
    a part of the image and not where they cover more: their weight is 0. They are shown noisy
    bright squares, of one share of the image after another.
    """
    last = [layer for layer in generator.layers if hasattr(layer, "kernel")][-1]
    connection = last.input
    to_connection = keras.Model(generator.inputs[0], connection)
    signs = []
    for share in SHARES:
        random = np.random.default_rng(0)
        bright = random.random((4, SQUARES, SQUARES)) < share
        shapes = np.kron(bright, np.ones((1, SQUARE, SQUARE)))
        noise = NOISE * random.standard_normal(shapes.shape)
        images = (2 * (shapes + noise) - 1).astype(np.float32)[..., None]
        channels = lean_networks.predict(to_connection, images)
        signs.append(np.sign(np.einsum("bhw,bhwc->c", shapes - shapes.mean(), channels)))
    sign = np.where(np.ptp(signs, axis=0) == 0, signs[0], 0)
    kernel = np.array(last.kernel)  # (1, 1, channels, 1)
    aligned = np.abs(kernel) * sign[:, None]
    aligned[:, :, 0] = kernel[:, :, 0]  # what comes through the network has no sign yet
    last.kernel.assign(aligned)

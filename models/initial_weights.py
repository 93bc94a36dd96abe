"""Initial weights drawn with NumPy, so that both backends start from the same network."""

import math

import numpy as np


def seed_of_layer(seed, network_name, number):
    """Return a seed for one layer that draws random numbers: far from its neighbours' seeds.

    Below 2^30, as torch keeps seeds in 32 bit with a sign.
    """
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

"""Initial weights drawn with NumPy, so that both backends start from the same network."""

import math

import numpy as np

from models.fast import lean_networks


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


def align_contrast(generator, images):
    """Negate a new generator's last kernel if it draws dark what is bright in images.

    Random weights do so as often as not, and a CycleGAN that starts so may keep it for good:
    translated back, the image is right again. After a normalisation it depends on how much of an
    image is bright, so ``images``, (n, h, w, 1), are to be of those that the generator will learn
    from. It ends in a convolution, whose bias is 0, and an activation that rises.
    """
    drawn = np.concatenate([lean_networks.predict(generator, image[None]) for image in images])
    if np.vdot(images - images.mean(axis=(1, 2, 3), keepdims=True), drawn) < 0:
        kernel = [weight for weight in generator.trainable_variables if weight.name == "kernel"][-1]
        kernel.assign(-kernel)

"""The loss that two of the networks share."""

from keras import ops

from models import backend

EPSILON = 1e-7  # probabilities are at least that far from 0 and 1


def crossentropy(target, probability):
    """Return the binary cross-entropy of each pixel, of the shape of both; both in [0, 1].

    Keras's own makes tensors of its limits, which a GPU is waited for, and with torch ends the
    process where a probability is NaN.
    """
    probability = backend.clip(probability, EPSILON, 1.0 - EPSILON)
    return -(target * ops.log(probability) + (1.0 - target) * ops.log(1.0 - probability))

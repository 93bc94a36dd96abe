"""The networks from Keras's own layers, called as functions: the plain twin of our training steps.

Imported after the backend is chosen. Weights have the same order and shapes, so that a network
built within ``plain_layers()`` from the same seed is the same network.
"""

import contextlib
from unittest import mock

import keras
from keras import ops

from models import cyclegan, cyclegan_networks, layers, multires_unet, wgan_gp


class PlainReflectionPadding2D(layers.ReflectionPadding2D):
    """``ReflectionPadding2D`` by ``keras.ops.pad``."""

    def call(self, x):
        around = (self.padding, self.padding)
        return ops.pad(x, ((0, 0), around, around, (0, 0)), mode="reflect")


class PlainPadToMultiple(layers.PadToMultiple):
    """``PadToMultiple`` by ``keras.ops.pad``."""

    def call(self, x):
        bottom, right = -x.shape[1] % self.multiple, -x.shape[2] % self.multiple
        if not bottom and not right:
            return x
        return ops.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="reflect")


def _instance_normalization(epsilon=1e-5, **options):
    return keras.layers.GroupNormalization(groups=-1, epsilon=epsilon, **options)


def _resize_convolution(filters, kernel_size, edge="zeros", dtype=None, **options):
    enlarge = keras.layers.UpSampling2D(2, dtype=dtype)
    if edge == "zeros":
        convolve = keras.layers.Conv2D(filters, kernel_size, padding="same", dtype=dtype, **options)
        return lambda x: convolve(enlarge(x))
    pad = PlainReflectionPadding2D(1, dtype=dtype)
    convolve = keras.layers.Conv2D(filters, kernel_size, dtype=dtype, **options)
    return lambda x: convolve(pad(enlarge(x)))


def _sum(**options):
    return lambda x, y: keras.layers.Add(**options)([x, y])


def _concatenation(**options):
    return lambda *inputs: keras.layers.Concatenate(**options)(inputs)


PLAIN = {
    "Conv2D": keras.layers.Conv2D,
    "Conv2DTranspose": keras.layers.Conv2DTranspose,
    "ResizeConv2D": _resize_convolution,
    "MaxPooling2D": keras.layers.MaxPooling2D,
    "LeakyReLU": keras.layers.LeakyReLU,
    "Dropout": keras.layers.Dropout,
    "GaussianNoise": keras.layers.GaussianNoise,
    "BatchNormalization": keras.layers.BatchNormalization,
    "InstanceNormalization": _instance_normalization,
    "ReflectionPadding2D": PlainReflectionPadding2D,
    "PadToMultiple": PlainPadToMultiple,
    "Sum": _sum,
    "Concatenation": _concatenation,
}


def _call(network, x, training=False):
    return network(x, training=training)


@contextlib.contextmanager
def plain_layers():
    """Within this context networks are built from stock Keras layers, and steps call them."""
    # The CycleGAN's networks name some layers by themselves.
    named = {name: layer for name, layer in PLAIN.items() if hasattr(cyclegan_networks, name)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(layers, **PLAIN))
        stack.enter_context(mock.patch.multiple(cyclegan_networks, **named))
        for module in (cyclegan, multires_unet, wgan_gp):
            stack.enter_context(mock.patch.object(module, "run_through", _call))
        yield

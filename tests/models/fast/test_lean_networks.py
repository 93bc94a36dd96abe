"""Networks run without holding what is not needed: the same output, less memory."""

import contextlib
import gc
import weakref

import keras
import numpy as np
import pytest

from models import backend, layers
from models.cyclegan_networks import build_discriminator, build_generator
from models.fast.lean_networks import run_through
from models.multires_unet import build_multires_unet


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: build_multires_unet(4, with_centrality=True), id="unet"),
        pytest.param(lambda: build_generator(4, use_skip_connection=True), id="generator"),
        pytest.param(lambda: build_discriminator(4, gaussian_noise_value=0.5), id="discriminator"),
    ],
)
def test_the_output_is_that_of_the_network_in_inference_mode(network):
    network = network()
    image = np.random.default_rng(0).random((2, 64, 48, 1), np.float32)
    (x,) = backend.to_device((image,))
    with backend.without_gradients():
        expected = keras.ops.convert_to_numpy(network(x, training=False))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(run_through(network, x)), expected)


@pytest.mark.skipif(backend.BACKEND != "torch", reason="TensorFlow knows one order of memory")
def test_images_with_a_new_axis_are_in_the_memory_order_that_convolutions_are_fast_in():
    image = np.random.default_rng(0).random((64, 48), np.float32)
    (x,) = backend.to_device((image[np.newaxis, ..., np.newaxis],))
    assert tuple(x.shape) == (1, 64, 48, 1)
    assert x.stride() == (64 * 48, 48, 1, 1)
    y = build_generator(4).layers[1](x)
    assert y.permute(0, 3, 1, 2).is_contiguous(memory_format=backend.torch.channels_last)


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: build_multires_unet(4), id="unet"),
        pytest.param(lambda: build_generator(4), id="generator"),
    ],
)
def test_the_output_is_that_of_the_network_in_training(network):
    network = network()
    image = np.random.default_rng(0).random((2, 64, 48, 1), np.float32)
    (x,) = backend.to_device((image,))
    expected = network(x, training=True)
    got = run_through(network, x, training=True)
    np.testing.assert_array_equal(*map(_numbers, (got, expected)))
    inference = run_through(network, x)
    has_batches = any(isinstance(layer, layers.BatchNormalization) for layer in network.layers)
    assert np.array_equal(_numbers(inference), _numbers(got)) is not has_batches


def _numbers(tensor):
    return keras.ops.convert_to_numpy(backend.stop_gradient(tensor))


def test_a_tensor_used_twice_and_dropout():
    x = keras.Input((8,))
    y = keras.layers.Dropout(0.5)(x)
    network = keras.Model(x, keras.layers.Add()([y, y]))
    (ones,) = backend.to_device((np.ones((3, 8), np.float32),))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(run_through(network, ones)), 2)


@pytest.mark.parametrize("training", [False, True])
def test_no_more_than_the_last_results_are_held(training):
    held, alive = [], []

    class Watch(keras.layers.Layer):
        def call(self, x, other):
            alive.append(sum(reference() is not None for reference in held))
            y = (x + other) / 2.0 + 1.0
            held.append(weakref.ref(y))
            return y

    x = y = keras.Input((4,))
    for _ in range(10):
        y = Watch()(y, y)
    network = keras.Model(x, y)
    held.clear()
    alive.clear()
    (zeros,) = backend.to_device((np.zeros((1, 4), np.float32),))
    if training and backend.BACKEND == "torch":
        zeros.requires_grad_()  # so there will be a backward pass; it needs no result of a sum
    gc.disable()  # by itself Python collects at some time or other
    try:
        with contextlib.nullcontext() if training else backend.without_gradients():
            result = run_through(network, zeros, training=training)
    finally:
        gc.enable()
    assert len(alive) == 10 and max(alive) <= 2
    np.testing.assert_array_equal(_numbers(result), 10)

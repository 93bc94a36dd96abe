"""Networks run for their output alone: the same output, and nothing held that is not needed."""

import gc
import weakref

import keras
import numpy as np
import pytest

from models import backend
from models.cyclegan_networks import build_discriminator, build_generator
from models.lean_inference import run_through
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


def test_a_tensor_used_twice_and_dropout():
    x = keras.Input((8,))
    y = keras.layers.Dropout(0.5)(x)
    network = keras.Model(x, keras.layers.Add()([y, y]))
    (ones,) = backend.to_device((np.ones((3, 8), np.float32),))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(run_through(network, ones)), 2)


def test_no_more_than_the_last_results_are_held():
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
    gc.disable()  # by itself Python collects at some time or other
    try:
        with backend.without_gradients():
            result = run_through(network, zeros)
    finally:
        gc.enable()
    assert len(alive) == 10 and max(alive) <= 2
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(result), 10)

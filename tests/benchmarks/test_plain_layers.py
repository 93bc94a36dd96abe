"""The benchmarks' twins are made of Keras's own layers, and are the same networks."""

import keras
import numpy as np
import pytest

from benchmarks.plain_layers import plain_layers
from models.cyclegan_networks import build_discriminator, build_generator
from models.fast import lean_networks
from models.initial_weights import initialise_weights
from models.multires_unet import build_multires_unet


@pytest.mark.parametrize(
    ("build", "stock"),
    [
        (lambda: build_multires_unet(4), keras.layers.BatchNormalization),
        (lambda: build_generator(4), keras.layers.GroupNormalization),
        (lambda: build_discriminator(4), keras.layers.GroupNormalization),
    ],
    ids=["unet", "generator", "discriminator"],
)
def test_the_twin_is_the_same_network_of_stock_layers(build, stock):
    ours = build()
    with plain_layers():
        twin = build()
    assert any(type(layer) is stock for layer in twin.layers)
    assert not any(type(layer) in (stock, keras.layers.Conv2D) for layer in ours.layers)
    for network in (ours, twin):
        initialise_weights(network, 3, stream=0)
    image = np.random.default_rng(0).random((1, 48, 64, 1), np.float32)
    np.testing.assert_allclose(
        lean_networks.predict(ours, image), lean_networks.predict(twin, image), atol=1e-4
    )

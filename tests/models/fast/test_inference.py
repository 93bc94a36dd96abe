"""Networks prepared for inference give what the networks as they are give, for all sizes."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models import backend, layers, wgan_gp
from models.cyclegan_networks import build_generator
from models.fast import inference as fast_inference
from models.fast import lean_networks
from models.multires_unet import build_multires_unet

SIZES = ((2, 64, 48), (1, 33, 17), (1, 50, 80))


def as_if_trained(network):
    """Give the normalisations statistics and weights that an untrained network does not have."""
    random = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(random.normal(0.0, 0.3, shape))
            layer.moving_variance.assign(random.uniform(0.2, 3.0, shape))
            if layer.center:
                layer.beta.assign(random.normal(0.0, 0.3, shape))
            if layer.scale:
                layer.gamma.assign(random.normal(0.0, 1.0, shape))  # of both signs
    return network


@pytest.mark.usefixtures("kernels_are")
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: build_multires_unet(16, with_centrality=True), id="unet"),
        pytest.param(lambda: build_multires_unet(4, output_channels=3), id="unet of classes"),
        pytest.param(lambda: build_generator(4, True, residual_blocks=1), id="generator"),
        pytest.param(lambda: build_generator(4, False, True, residual_blocks=1), id="resizing"),
    ],
)
def test_a_prepared_network_gives_what_the_network_gives(build):
    network = as_if_trained(build())
    predict = fast_inference.prepare(network)
    random = np.random.default_rng(1)
    for size in SIZES:
        image = random.random((*size, 1), np.float32)
        before = image.copy()
        np.testing.assert_allclose(
            predict(image), lean_networks.predict(network, image), rtol=0, atol=2e-5
        )
        np.testing.assert_array_equal(image, before)


def test_what_does_more_than_convolve_is_not_folded():
    generator = as_if_trained(wgan_gp.build_generator((16, 16), 8))
    folded = fast_inference.fold_batch_normalization(generator)
    latent = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float32)
    expected = lean_networks.predict(generator, latent)
    assert expected.shape == (2, 16, 16, 1)
    np.testing.assert_allclose(lean_networks.predict(folded, latent), expected, rtol=0, atol=2e-5)


def test_no_normalisation_and_no_relu_is_left_behind_the_unets_convolutions():
    network = fast_inference.fold_batch_normalization(build_multires_unet(4))
    kinds = [type(layer) for layer in network.layers]
    assert not any(issubclass(kind, keras.layers.BatchNormalization) for kind in kinds)
    relu = keras.activations.relu
    convolutions = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]
    # Three of each of the 9 blocks, and one of each of the 10 steps of the ResPaths.
    assert sum(layer.activation is relu for layer in convolutions) == 37
    assert keras.layers.ReLU not in kinds and keras.layers.Activation in kinds  # the sigmoid
    assert kinds.count(fast_inference.OverwritingReLU) == 19  # behind sums
    # One behind the concatenation and one behind the sum of each of the 9 blocks, and one behind
    # each of the 10 sums of the ResPaths.
    assert kinds.count(fast_inference.ScaleAndShift) == 28


@pytest.mark.skipif(layers.TORCH, reason="it is TensorFlow that keeps their work space")
def test_transposed_convolutions_in_bfloat16_become_convolutions_of_single_pixels(monkeypatch):
    """On a CPU, and those alone whose windows do not overlap."""
    x = image = keras.Input((None, None, 5))
    kinds = ((2, {}), (2, {"use_bias": False}), (3, {}), (2, {"activation": "tanh"}))
    for number, (size, options) in enumerate(kinds):
        policy = "float32" if number == 3 else "mixed_bfloat16"
        x = layers.Conv2DTranspose(
            6, size, strides=2, padding="same", dtype=policy, bias_initializer="normal", **options
        )(x)
    network = keras.Model(image, x)

    def transposed(folded):
        kinds = (keras.layers.Conv2DTranspose, layers.Conv2DTranspose)
        return [one.kernel_size for one in folded.layers if type(one) in kinds]

    with backend.on_cpu():
        folded = fast_inference.fold_batch_normalization(network)
        assert transposed(folded) == [(3, 3), (2, 2)]
        image = np.random.default_rng(4).normal(size=(2, 7, 9, 5)).astype(np.float32)
        expected = lean_networks.predict(network, image)
        assert expected.shape == (2, 112, 144, 6) and expected.std() > 0.01
        np.testing.assert_allclose(
            lean_networks.predict(folded, image), expected, rtol=0, atol=0.05 * expected.std()
        )
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    on_gpu = fast_inference.fold_batch_normalization(network)
    assert transposed(on_gpu) == transposed(network)


def unusual():
    """Return a network with everything that must not be folded as usual."""
    x = image = keras.Input((None, None, 2))
    x = layers.Conv2D(16, 3, padding="same", use_bias=True)(x)
    both = layers.BatchNormalization(center=False)(x)  # x goes elsewhere too
    rectified = keras.layers.ReLU()(x)
    x = layers.Sum()(layers.Sum()(both, rectified), x)
    x = layers.Conv2D(4, 3, strides=2, activation="tanh")(x)
    x = layers.BatchNormalization(epsilon=0.1)(x)
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same")(x)
    x = layers.BatchNormalization()(keras.layers.ReLU(max_value=0.3)(x))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same")(x)
    x = keras.layers.ReLU()(layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.BatchNormalization()(keras.layers.Dense(5)(x)))


def test_what_cannot_be_folded_stays_right():
    keras.utils.set_random_seed(1)  # by some initial weights outputs hardly differ
    network = as_if_trained(unusual())
    image = np.random.default_rng(2).normal(size=(3, 20, 24, 2)).astype(np.float32)
    expected = lean_networks.predict(network, image)
    assert expected.std() > 0.1
    np.testing.assert_allclose(
        fast_inference.prepare(network)(image), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.skipif(layers.TORCH, reason="PyTorch makes no graphs")
def test_one_graph_serves_all_sizes(monkeypatch):
    traced = []

    class Count(keras.layers.Layer):
        def call(self, x):
            traced.append(x.shape)
            return x + 1.0

    image = keras.Input((None, None, 1))
    predict = fast_inference.prepare(keras.Model(image, Count()(image)))
    traced.clear()
    for size in SIZES:
        np.testing.assert_array_equal(predict(np.zeros((*size, 1), np.float32)), 1)
    assert len(traced) == 1


def test_saved_networks_are_prepared_again_and_again(tmp_path):
    """In a process that made no layers of its own, as step 6b is: their names must not meet."""
    image = np.random.default_rng(3).random((2, 41, 33, 1), np.float32)
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            network = as_if_trained(build_multires_unet(4, with_centrality=True, levels=2))
        finally:
            keras.config.set_dtype_policy("float32")
        network.save(tmp_path / f"{policy}.keras")
        np.save(tmp_path / f"{policy}.npy", lean_networks.predict(network, image))
    # bfloat16 has 8 bits; folded or not, the network is 0.006 off its float32 twin.
    code = (
        "import sys, numpy as np\n"
        "from pipeline.inference import load_predictor\n"
        "folder = sys.argv[1]\n"
        "image = np.random.default_rng(3).random((2, 41, 33, 1), np.float32)\n"
        "for name in ('float32', 'mixed_bfloat16'):\n"
        "    found = load_predictor(f'{folder}/{name}.keras', False)(image)\n"
        "    expected = np.load(f'{folder}/{name}.npy')\n"
        "    tolerance = 2e-5 if name == 'float32' else 0.03\n"
        "    np.testing.assert_allclose(found, expected, 0, tolerance)\n"
    )
    root = Path(__file__).resolve().parents[3]
    # As it is here, and as where the processor has no instructions for bfloat16, which TensorFlow
    # would have to be told in another way.
    for instructions in ("DEFAULT", "AVX2") if layers.TORCH else ("DEFAULT",):
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
        command = [sys.executable, "-c", code, tmp_path]
        subprocess.run(command, cwd=root, env=environment, check=True)

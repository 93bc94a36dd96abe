"""Initial weights: Glorot's limits, and other numbers for each seed, network and layer."""

import math

import cv2
import keras
import numpy as np
import pytest

from models.cyclegan import build_cyclegan
from models.cyclegan_networks import build_generator
from models.fast import lean_networks
from models.initial_weights import align_contrast, initialise_weights, seed_of_layer
from models.wgan_gp import build_wgan
from tests.models.tiny_steps import CYCLEGAN, WGAN


def network(seed=1, stream=2):
    image = keras.Input((8, 8, 32))
    x = keras.layers.Conv2D(64, 3)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2DTranspose(32, 2, strides=2)(x)
    x = keras.layers.Conv2D(64, 3)(x)
    model = keras.Model(image, keras.layers.Dense(96)(x))
    initialise_weights(model, seed, stream=stream)
    return model


def kernels(model):
    return [np.array(weight) for weight in model.trainable_weights if weight.name == "kernel"]


def test_kernels_are_uniform_between_the_limits_of_glorot():
    """Equation 16: the root of 6 by the numbers that go into an output, and out of an input."""
    # Windows of 9, 4, 9 and 1; 32 + 64 channels, or 64 + 96.
    sizes = 9 * 96, 4 * 96, 9 * 96, 160
    for kernel, size in zip(kernels(network()), sizes, strict=True):
        limit = math.sqrt(6 / size)
        assert 0.995 * limit < kernel.max() <= limit * (1 + 1e-6)
        assert 0.995 * limit < -kernel.min() <= limit * (1 + 1e-6)
        assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
        assert abs(kernel.mean()) < 0.03 * limit


def test_all_others_keep_their_start_values():
    values = {"bias": 0, "beta": 0, "gamma": 1, "moving_mean": 0, "moving_variance": 1}
    others = [weight for weight in network().weights if weight.name != "kernel"]
    assert {weight.name for weight in others} == set(values)
    for weight in others:
        np.testing.assert_array_equal(np.array(weight), values[weight.name])


def test_equal_seeds_give_equal_weights_and_others_do_not():
    first = kernels(network())
    for own, other in zip(first, kernels(network()), strict=True):
        np.testing.assert_array_equal(own, other)
    for options in ({"seed": 2}, {"stream": 3}):
        for own, other in zip(first, kernels(network(**options)), strict=True):
            assert np.mean(own == other) < 0.01
    assert first[0].shape == first[2].shape and np.mean(first[0] == first[2]) < 0.01


def test_seeds_of_layers_differ_by_seed_network_and_number():
    seeds = [
        seed_of_layer(seed, name, number)
        for seed in range(5)
        for name in ("disc_a", "disc_b", "critic")
        for number in range(5)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(type(seed) is int and 0 <= seed < 2**30 for seed in seeds)


def test_no_two_networks_of_a_cyclegan_begin_alike():
    model = build_cyclegan(2, (48, 48, 1), seed=1, **CYCLEGAN | {"pool_size": 0})
    for pair in ((model.gen_a, model.gen_b), (model.disc_a, model.disc_b)):
        for own, other in zip(*map(kernels, pair), strict=True):
            assert np.mean(own == other) < 0.01


def test_what_the_critic_drops_follows_from_the_seed():
    seeds = [
        [
            layer.seed
            for layer in build_wgan((16, 16), 4, seed, **WGAN).critic.layers
            if "dropout" in layer.name
        ]
        for seed in (1, 1, 2)
    ]
    assert seeds[0] == seeds[1] and len({*seeds[0], *seeds[2]}) == 6


def disks(share):
    """Return micrographs of bright disks on a darker background, with noise, and where they are.

    They cover a ``share``. The grey values are of a narrow range, below 0, as a micrograph's may
    be."""
    random = np.random.default_rng(1)
    inside = np.zeros((2, 96, 96), np.uint8)
    for image in inside:
        while image.mean() < share:
            column, row, radius = (int(number) for number in random.integers(4, [96, 96, 13]))
            cv2.circle(image, (column, row), radius, 1, -1)
    noise = 0.05 * random.standard_normal(inside.shape)
    return (np.where(inside, -0.2, -0.6) + noise)[..., None].astype(np.float32), inside


def contrast(generator, images, inside):
    """Return how what a generator draws of images of disks correlates with where they are."""
    drawn = lean_networks.predict(generator, images)
    return np.corrcoef(drawn.ravel(), inside.ravel())[0, 1]


@pytest.mark.parametrize("use_skip_connection", [True, False])
@pytest.mark.parametrize("output_activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_generators_start_by_drawing_bright_what_is_bright(
    use_skip_connection, output_activation, share
):
    images, inside = disks(share)
    negated = 0
    for seed in range(4):
        generator = build_generator(
            2, use_skip_connection, output_activation=output_activation, residual_blocks=1
        )
        initialise_weights(generator, seed)
        before, first = contrast(generator, images, inside), generator.get_weights()
        align_contrast(generator, images)
        if abs(before) < 0.05:  # neither
            continue
        changed = [
            not np.array_equal(own, other)
            for own, other in zip(first, generator.get_weights(), strict=True)
        ]
        assert sum(changed) == (before < 0), seed
        assert contrast(generator, images, inside) == pytest.approx(abs(before), abs=1e-4)
        negated += sum(changed)
    assert negated < 4
    if use_skip_connection:  # without, what goes through so many layers has hardly a sign
        assert negated > 0


def test_the_sign_depends_on_how_much_is_bright():
    """After a normalisation: so one that is right where little is may be wrong where much is."""
    wrong = 0
    for seed in range(4):
        generator = build_generator(4, True, True, residual_blocks=1)
        initialise_weights(generator, seed)
        align_contrast(generator, disks(0.2)[0])
        wrong += contrast(generator, *disks(0.8)) < -0.05
        align_contrast(generator, disks(0.8)[0])
        assert contrast(generator, *disks(0.8)) > -0.05
    assert wrong > 0

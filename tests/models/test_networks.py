"""Shapes and exact parameter counts, as the published workflow has them."""

import math

import keras
import numpy as np
import pytest

from models import backend, cyclegan, layers, multires_unet, wgan_gp
from models.fast import lean_networks
from tests.models.tiny_steps import CYCLEGAN


def of_kind(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_wgan_parameter_counts():
    assert wgan_gp.build_generator((64, 64), 128).count_params() == 2_532_676
    assert wgan_gp.build_critic((64, 64)).count_params() == 4_311_553


def test_wgan_bends_and_drops_what_the_published_one_does():
    critic, generator = wgan_gp.build_critic((16, 16)), wgan_gp.build_generator((16, 16), 4)
    slopes = [layer.negative_slope for layer in of_kind(critic, layers.LeakyReLU)]
    assert slopes == [0.2] * 4
    slopes = [layer.negative_slope for layer in of_kind(generator, layers.LeakyReLU)]
    assert slopes == [0.2] * 3
    assert [layer.rate for layer in of_kind(critic, layers.Dropout)] == [0.3, 0.3, 0.2]
    assert generator.layers[-1].activation is keras.activations.tanh


def test_wgan_draws_outlines_of_the_shape_asked_for():
    generator = wgan_gp.build_generator((48, 32), 16)
    outlines = wgan_gp.sample_outlines(generator, np.zeros((3, 16), np.float32))
    assert outlines.shape == (3, 48, 32)
    assert outlines.dtype == np.uint8


def test_drawn_outlines_are_white_where_the_generator_is_at_1():
    generator = wgan_gp.build_generator((16, 16), 4)
    last = [layer for layer in generator.layers if isinstance(layer, layers.BatchNormalization)][-1]
    latent = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for beta, grey in ((100.0, 255), (-100.0, 0), (np.arctanh(0.6), 204)):
        last.gamma.assign([0.0])
        last.beta.assign([beta])
        assert np.all(wgan_gp.sample_outlines(generator, latent) == grey)


def test_outlines_drawn_in_parts_are_those_of_their_latent_vectors(monkeypatch):
    monkeypatch.setattr(wgan_gp, "OUTLINES_AT_A_TIME", 2)
    generator = wgan_gp.build_generator((16, 16), 4)
    latent = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32) * 9
    outlines = wgan_gp.sample_outlines(generator, latent)
    expected = (lean_networks.predict(generator, latent)[..., 0] + 1) * 127.5
    assert np.abs(expected[1:] - expected[:-1]).max(axis=(1, 2)).min() > 2  # no two are alike
    np.testing.assert_allclose(outlines, expected, atol=0.51)


def test_wgan_generator_refuses_sizes_it_cannot_reach():
    with pytest.raises(ValueError, match="outline_shape is \\(50, 64\\); use multiples of 8"):
        wgan_gp.build_generator((50, 64), 16)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 45_591_425),
        ({"use_skip_connection": True}, 45_592_514),
        ({"use_resize_convolution": True}, 45_591_425),
    ],
)
def test_cyclegan_generator_parameter_counts(options, count):
    assert cyclegan.build_generator(64, **options).count_params() == count


def test_cyclegan_discriminator():
    discriminator = cyclegan.build_discriminator(128)
    assert discriminator.count_params() == 2_633_345
    assert discriminator.compute_output_shape((1, 384, 384, 1)) == (1, 43, 43, 1)


@pytest.mark.parametrize("use_skip_connection", [False, True])
def test_cyclegan_generators_lead_around_each_of_nine_blocks(use_skip_connection):
    generator = cyclegan.build_generator(2, use_skip_connection=use_skip_connection)
    assert len(of_kind(generator, layers.Sum)) == 9 + use_skip_connection


def test_cyclegan_generators_see_the_image_mirrored_where_they_enlarge_it():
    generator = cyclegan.build_generator(2, use_resize_convolution=True)
    enlarging = of_kind(generator, layers.ResizeConv2D)
    assert [layer.edge for layer in enlarging] == ["mirrored"] * 3


def test_cyclegan_discriminators_are_twice_as_wide_as_the_generators():
    model = cyclegan.build_cyclegan(2, (48, 48, 1), **CYCLEGAN)
    for network in (model.disc_a, model.disc_b):
        assert [layer.filters for layer in of_kind(network, layers.Conv2D)] == [4, 8, 16, 1]
        slopes = [layer.negative_slope for layer in of_kind(network, layers.LeakyReLU)]
        assert slopes == [0.2] * 3
    for network in (model.gen_a, model.gen_b):
        assert of_kind(network, layers.Conv2D)[0].filters == 2


def test_unet_parameter_counts():
    network = multires_unet.build_multires_unet(16)
    assert network.count_params() == 2_429_491
    assert sum(math.prod(v.shape) for v in network.trainable_variables) == 2_414_297
    assert multires_unet.build_multires_unet(16, output_channels=4).count_params() == 2_429_567


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (64, 33)])
@pytest.mark.parametrize("resize", [False, True])
def test_outputs_have_the_input_size(size, resize):
    image = np.random.default_rng(0).random((2, *size, 1), dtype=np.float32)
    generator = cyclegan.build_generator(2, use_resize_convolution=resize, residual_blocks=1)
    assert lean_networks.predict(generator, image).shape == image.shape
    if not resize:
        unet = multires_unet.build_multires_unet(4, output_channels=3)
        probabilities = lean_networks.predict(unet, image)
        assert probabilities.shape == (2, *size, 3)
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, atol=1e-5)


def test_discriminator_noise_acts_in_training_only():
    image = np.ones((1, 48, 48, 1), np.float32)
    discriminator = cyclegan.build_discriminator(2, gaussian_noise_value=0.5, seed=1)
    quiet = lean_networks.predict(discriminator, image)
    np.testing.assert_array_equal(quiet, lean_networks.predict(discriminator, image))
    with backend.without_gradients():
        noisy = [
            np.asarray(discriminator(backend.to_device((image,))[0], training=True))
            for _ in range(2)
        ]
    assert np.abs(noisy[0] - noisy[1]).max() > 1e-3


def test_both_discriminators_of_a_cyclegan_have_noise_of_their_own():
    options = CYCLEGAN | {"gaussian_noise_value": 0.3, "pool_size": 0, "seed": 1}
    model = cyclegan.build_cyclegan(1, (48, 48, 1), **options)
    image = backend.to_device((np.zeros((1, 48, 48, 1), np.float32),))[0]
    scores = []
    for disc in (model.disc_a, model.disc_b):
        noise = [layer for layer in disc.layers if isinstance(layer, layers.GaussianNoise)]
        assert [layer.stddev for layer in noise] == [0.3] * 4  # before each convolution
        with backend.without_gradients():
            scores.append(np.asarray(noise[0](image, training=True)))
    assert np.abs(scores[0] - scores[1]).max() > 0.1


def test_sigmoid_generator_gives_probabilities():
    generator = cyclegan.build_generator(2, output_activation="sigmoid", residual_blocks=1)
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype(np.float32)
    output = lean_networks.predict(generator, image)
    assert 0.0 <= output.min() < output.max() <= 1.0


def test_binary_crossentropy_cannot_go_with_identity_losses():
    with pytest.raises(ValueError, match="use_binary_crossentropy = True cannot go with"):
        cyclegan.build_cyclegan(2, (32, 32, 1), use_binary_crossentropy=True, **CYCLEGAN)


def test_weighted_crossentropy_by_hand():
    mask = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    probability = np.array([0.5, 0.25], np.float32).reshape(1, 1, 2, 1)
    tensors = backend.to_device((mask, probability))
    loss = float(multires_unet.weighted_crossentropy(*tensors, 3.0))
    expected = -(3.0 * math.log(0.5) + math.log(0.75)) / 2
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("short_networks")
def test_centrality_is_a_second_channel_that_is_learned():
    random = np.random.default_rng(0)
    image = random.random((2, 32, 32, 1), dtype=np.float32)
    target = np.stack([image[..., 0] > 0.5, image[..., 0]], -1).astype(np.float32)
    unet = multires_unet.build_unet(4, seed=1, batch_norm_momentum=0.5, with_centrality=True)
    unet.set_up(1e-2)
    before = lean_networks.predict(unet.network, image)
    assert before.shape == (2, 32, 32, 2)
    assert before.min() >= 0 and before.max() <= 1
    for _ in range(8):
        unet.train_step(backend.to_device((image, target)))
    after = lean_networks.predict(unet.network, image)
    for channel in range(2):
        errors = [np.abs((x - target)[..., channel]).mean() for x in (before, after)]
        assert errors[1] < 0.8 * errors[0]

"""What discriminators see: real and fake changed alike, image by image, and differentiably."""

import numpy as np
import pytest
from keras import ops

from models import augmentation, backend, cyclegan
from models.fast import lean_networks
from models.fast.lean_networks import run_through
from models.image_pool import draw_pool_choices

NEITHER = 0.5  # the chance of no shift, no change of grey
AWAY = 0.0  # of a hole: half of it hangs over the edge


def augmented(images, chances, change_grey=True):
    x, y = backend.to_device((images, np.array(chances, np.float32)))
    return ops.convert_to_numpy(augmentation.augment(x, y, change_grey))


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0.1, 0.9, (2, 32, 48, 1)).astype(np.float32)


def test_each_image_is_shifted_and_cut_by_its_own_chances(images):
    # The largest shift is 4 of 32 rows and 6 of 48 columns, to either side.
    chances = [[NEITHER, NEITHER, 0.999, 0.0, 0.999, 0.999], [NEITHER] * 6]
    first, second = augmented(images, chances)[..., 0]
    expected = np.zeros((32, 48), np.float32)
    expected[4:, :42] = images[0, :28, 6:, 0]
    expected[24:, 36:] = 0  # half of the hole of 16 x 24
    np.testing.assert_allclose(first, expected, atol=1e-6)
    expected = images[1, ..., 0].copy()
    expected[8:24, 12:36] = 0
    np.testing.assert_allclose(second, expected, atol=1e-6)


def test_brightness_and_contrast_change_micrographs_only(images):
    chances = [[0.75, 0.0, NEITHER, NEITHER, AWAY, AWAY]] * 2
    means = images.mean(axis=(1, 2, 3), keepdims=True)
    expected = (images - means) / 2 + means + 0.25
    expected[:, :8, :12] = 0
    np.testing.assert_allclose(augmented(images, chances), expected, atol=1e-5)
    expected = images.copy()
    expected[:, :8, :12] = 0
    np.testing.assert_allclose(augmented(images, chances, change_grey=False), expected, atol=1e-6)


def test_shifts_of_all_sizes_are_as_likely():
    chances = np.linspace(0, 1, 9 * 50, endpoint=False)
    numbers = np.full((len(chances), 6), NEITHER, np.float32)
    numbers[:, 2], numbers[:, 4:] = chances, AWAY
    image = np.zeros((len(chances), 32, 8, 1), np.float32)
    image[:, 20] = 1
    rows = augmented(image, numbers, change_grey=False)[:, :, 7, 0].argmax(axis=1)
    assert np.unique(rows, return_counts=True)[1].tolist() == [50] * 9
    assert (rows.min(), rows.max()) == (16, 24)


def test_gradients_are_those_of_what_is_left(images):
    chances = np.array([[NEITHER] * 6] * 2, np.float32)
    x, y = backend.to_device((images, chances))
    gradient = backend.input_gradient(lambda z: augmentation.augment(z, y, False), x)
    expected = np.ones((32, 48))
    expected[8:24, 12:36] = 0
    found = ops.convert_to_numpy(backend.stop_gradient(gradient))
    np.testing.assert_allclose(found[..., 0], [expected] * 2, atol=1e-6)


def model_and_batch(random, **options):
    model = cyclegan.build_cyclegan(1, (48, 48, 1), seed=1, pool_size=0, **options)
    images = random.uniform(-1, 1, (2, 2, 48, 48, 1)).astype(np.float32)
    batch = (*images, *draw_pool_choices(random, 0, 2, 0), augmentation.draw_chances(random, 2))
    return model, batch


def record_inputs(monkeypatch, model):
    """Return two lists that will hold what the discriminators and the generators are given."""
    judged, given = [], []

    def record(network, x, training):
        found = judged if network in (model.disc_a, model.disc_b) else given
        found.append(ops.convert_to_numpy(backend.stop_gradient(x)))
        return run_through(network, x, training=training)

    monkeypatch.setattr(cyclegan, "run_through", record)
    return judged, given


def test_a_discriminator_sees_every_image_augmented_and_nothing_else_does(monkeypatch):
    random = np.random.default_rng(1)
    model, batch = model_and_batch(random, augment_discriminators=True)
    model.set_up(1e-9, 0.5)
    fakes = [
        lean_networks.predict(model.gen_b, batch[1]),
        lean_networks.predict(model.gen_a, batch[0]),
    ]
    seen = []

    def spy(x, chances, change_grey):
        seen.append([ops.convert_to_numpy(backend.stop_gradient(y)) for y in (x, chances)])
        seen[-1].append(change_grey)
        return x + 10

    monkeypatch.setattr(cyclegan, "augment", spy)
    judged, given = record_inputs(monkeypatch, model)
    model.train_step(backend.to_device(batch))
    # Of each side the fakes for the generators' loss, the real ones, the fakes for its own.
    for side, change_grey in enumerate((True, False)):
        for use, expected in enumerate((fakes[side], batch[side], fakes[side])):
            (found,) = [
                x for x, chances, _ in seen if np.array_equal(chances, batch[-1][side, use])
            ]
            np.testing.assert_allclose(found, expected, atol=1e-4)
        assert [grey for x, _, grey in seen if np.array_equal(x, batch[side])] == [change_grey]
    assert len(seen) == 6 and len(judged) == 4 and len(given) == 4
    assert min(x.min() for x in judged) > 8 and max(x.max() for x in given) < 2


@pytest.mark.parametrize("cross_entropy", [False, True])
def test_noise_is_added_before_the_return_generators_only(monkeypatch, cross_entropy):
    """Of 0.1 of the range: micrographs are from -1 to 1, masks too or, by cross-entropy, to 1."""
    options = {"use_binary_crossentropy": True, "lambda_identity": (0, 0)} if cross_entropy else {}
    model, batch = model_and_batch(np.random.default_rng(2), cycle_noise=0.1, **options)
    model.set_up(1e-9, 0.5)
    fakes = [
        lean_networks.predict(model.gen_a, batch[0]),
        lean_networks.predict(model.gen_b, batch[1]),
    ]
    judged, given = record_inputs(monkeypatch, model)
    losses = model._generators_loss(*backend.to_device(batch[:2]), [None, None])
    assert np.isfinite(float(ops.convert_to_numpy(backend.stop_gradient(losses[0]))))
    for fake, expected in zip(fakes, (0.1 if cross_entropy else 0.2, 0.2), strict=True):
        assert any(np.allclose(x, fake, atol=1e-4) for x in judged)
        differences = [(x - fake).std() for x in given if x.shape == fake.shape]
        assert min(differences) == pytest.approx(expected, rel=0.1)


def test_averaged_generators_have_the_mean_of_their_weights_and_get_the_last_back():
    random = np.random.default_rng(3)
    model, _ = model_and_batch(random)
    model.set_up(1e-2, 0.5, generator_ema=0.5)
    generators = model.gen_a, model.gen_b
    optimizers = model.gen_a_optimizer, model.gen_b_optimizer
    expected = None
    for _ in range(3):
        for generator, optimizer in zip(generators, optimizers, strict=True):
            variables = generator.trainable_variables
            gradients = [random.normal(size=v.shape).astype(np.float32) for v in variables]
            optimizer.apply(list(backend.to_device(gradients)), variables)
        last = [np.concatenate([w.ravel() for w in g.get_weights()]) for g in generators]
        pairs = zip(expected or last, last, strict=True)
        expected = [(mean + new) / 2 for mean, new in pairs]
    discriminator = model.disc_a.get_weights()
    with model.averaged_generators():
        for generator, mean, end in zip(generators, expected, last, strict=True):
            weights = np.concatenate([w.ravel() for w in generator.get_weights()])
            np.testing.assert_allclose(weights, mean, atol=1e-5)
            assert np.abs(weights - end).max() > 1e-3
        for a, b in zip(discriminator, model.disc_a.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    for generator, end in zip(generators, last, strict=True):
        np.testing.assert_array_equal(
            np.concatenate([w.ravel() for w in generator.get_weights()]), end
        )


def test_without_an_average_the_last_weights_stay():
    model, _ = model_and_batch(np.random.default_rng(4))
    model.set_up(1e-2, 0.5)
    before = model.gen_a.get_weights()
    with model.averaged_generators():
        for a, b in zip(before, model.gen_a.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

"""What a training step does to the weights: who is moved, by which loss, and what pools show."""

import numpy as np
import pytest
from keras import ops

from models import backend, cyclegan, multires_unet, wgan_gp
from models.fast import lean_networks
from tests.models.tiny_steps import CYCLEGAN, WGAN

pytestmark = pytest.mark.usefixtures("short_networks")
RATE = 1e-4  # so small that a step downhill is downhill


@pytest.fixture
def random():
    return np.random.default_rng(0)


def wgan(random):
    """Return a model whose optimisers move nothing yet, its networks' names, and a batch."""
    model = wgan_gp.build_wgan((16, 16), 4, seed=1, dropout=False, **WGAN)
    model.set_up(0.0, 0.5, 0.9)
    real = np.sign(random.standard_normal((6, 16, 16, 1))).astype(np.float32)
    alpha = random.random((1, 6, 1, 1, 1), dtype=np.float32)
    return model, ("generator", "critic"), (real, wgan_gp.draw_latent(random, 2, 6, 4), alpha)


def gan(random, **options):
    """Return the same of a CycleGAN."""
    model = cyclegan.build_cyclegan(1, (48, 48, 1), seed=1, **CYCLEGAN | {"pool_size": 0} | options)
    model.set_up(0.0, 0.5)
    images = random.uniform(-1, 1, (2, 2, 48, 48, 1)).astype(np.float32)
    unused = np.zeros((2, 2), np.float32)
    return model, ("gen_a", "gen_b", "disc_a", "disc_b"), (*images, *[unused] * 3)


def run_step(model, batch):
    """Return the losses of a training step, which are those from before it."""
    losses = model.train_step(backend.to_device(batch))  # twice at most: not worth compiling
    return {name: float(ops.convert_to_numpy(value)) for name, value in losses.items()}


def weights_of(network):
    return [ops.convert_to_numpy(v.value).copy() for v in network.trainable_variables]


def is_moved(network, before):
    return [(a != b).any() for a, b in zip(weights_of(network), before, strict=True)]


@pytest.mark.parametrize(
    ("builder", "name", "loss"),
    [
        (wgan, "critic", "d_total_loss"),
        (wgan, "generator", "g_loss"),
        (gan, "disc_a", "d_a"),
        (gan, "disc_b", "d_b"),
    ],
)
def test_each_optimizer_moves_its_network_downhill(builder, name, loss, random):
    model, names, batch = builder(random)
    getattr(model, f"{name}_optimizer").learning_rate = RATE
    before = {other: weights_of(getattr(model, other)) for other in names}
    first, second = (run_step(model, batch)[loss] for _ in range(2))
    assert second < first
    moved = {other for other in names if any(is_moved(getattr(model, other), before[other]))}
    assert moved == {name}


def test_each_generator_moves_against_its_own_gradient(random):
    """Adam's first step is as long as its rate; the generators' weights have the same shapes."""
    model, _, batch = gan(random)
    generators = model.gen_a, model.gen_b
    real_a, real_b = backend.to_device(batch[:2])

    def joint_loss():
        ways = (("a", real_a, real_b), ("b", real_b, real_a))
        return sum(model._cycle_loss(*way)[0] for way in ways), None

    gradients = []
    for generator in generators:
        variables = generator.trainable_variables
        found = backend.value_and_gradients(joint_loss, variables)[1]
        gradients.append([ops.convert_to_numpy(gradient) for gradient in found])
    for optimizer in (model.gen_a_optimizer, model.gen_b_optimizer):
        optimizer.learning_rate = RATE
    before = [weights_of(generator) for generator in generators]
    run_step(model, batch)
    for generator, start, downhill in zip(generators, before, gradients, strict=True):
        steps = [(end - w) / RATE for w, end in zip(start, weights_of(generator), strict=True)]
        step, gradient = (np.concatenate([x.ravel() for x in xs]) for xs in (steps, downhill))
        clear = np.abs(gradient) > 1e-3  # far above Adam's epsilon
        assert clear.mean() > 0.5
        np.testing.assert_allclose(step[clear], -np.sign(gradient[clear]), atol=0.05)


@pytest.mark.parametrize(
    ("name", "judge", "lambda_cycle", "own", "other"),
    [
        ("gen_a", "disc_b", (10.0, 0.0), "g_a", "g_cyc_b"),
        ("gen_b", "disc_a", (0.0, 10.0), "g_b", "g_cyc_a"),
    ],
)
def test_a_generator_learns_from_the_other_ones_cycle(
    name, judge, lambda_cycle, own, other, random
):
    """Both minimise one loss: what one draws, the other has to bring back (Zhu et al., eq. 3)."""
    model, _, batch = gan(random, lambda_cycle=lambda_cycle, lambda_identity=(0.0, 0.0))
    judge = getattr(model, judge)
    judge.set_weights([np.zeros_like(weights) for weights in judge.get_weights()])
    getattr(model, f"{name}_optimizer").learning_rate = RATE
    network = getattr(model, name)
    before = weights_of(network)
    first, second = (run_step(model, batch) for _ in range(2))
    assert first[own] == second[own] == 1.0  # the judge gives 0 to everything: nothing to learn
    assert second[other] < first[other]
    kernels = [variable.name == "kernel" for variable in network.trainable_variables]
    assert all(np.array(is_moved(network, before))[kernels])


def test_the_learning_rate_schedule_reaches_all_four_optimizers(random):
    model, names, _ = gan(random)
    expected = [getattr(model, f"{name}_optimizer") for name in names]
    assert list(map(id, model.optimizers())) == list(map(id, expected))


def test_a_discriminator_is_shown_the_old_fakes_that_were_chosen():
    model = cyclegan.build_cyclegan(1, (48, 48, 1), seed=1, **CYCLEGAN | {"pool_size": 3})
    model.set_up(0.0, 0.5)
    random = np.random.default_rng(2)
    images = random.uniform(-1, 1, (2, 2, 2, 48, 48, 1)).astype(np.float32)  # step, side, image
    images[1] = np.sign(images[1] + 0.9)
    # Of A, the second fake of the first step is shown as the first one of the second step; of B,
    # the first as the second. All choices differ between the sides.
    slots = np.array([[[0, 1], [1, 2]], [[1, 2], [0, 1]]], np.int32)
    take_old = np.array([[[0, 0], [0, 0]], [[1, 0], [0, 1]]], np.float32)
    store_new = np.array([[[0, 1], [1, 0]], [[0, 0], [0, 0]]], np.float32)
    fakes = [
        [lean_networks.predict(model.gen_b, masks), lean_networks.predict(model.gen_a, micrographs)]
        for micrographs, masks in images
    ]
    shown = [fakes[0], [fakes[1][0].copy(), fakes[1][1].copy()]]
    shown[1][0][0] = fakes[0][0][1]
    shown[1][1][1] = fakes[0][1][0]

    def loss_on(side, fake):
        disc = (model.disc_a, model.disc_b)[side]
        return np.mean(np.square(lean_networks.predict(disc, fake)))

    for step in range(2):
        choices = slots[step], take_old[step], store_new[step]
        losses = run_step(model, (*images[step], *choices))
        for side, name in enumerate(("d_fake_a", "d_fake_b")):
            expected = loss_on(side, shown[step][side])
            assert losses[name] == pytest.approx(expected, rel=1e-3)
            if step == 1:  # the new fakes would not give the same
                assert loss_on(side, fakes[1][side]) != pytest.approx(expected, rel=1e-2)


def test_each_set_of_latent_vectors_updates_the_critic_but_the_last(random, monkeypatch):
    model, _, (real, *_) = wgan(random)
    latent = wgan_gp.draw_latent(random, 4, 6, 4)
    alpha = random.random((3, 6, 1, 1, 1), dtype=np.float32)
    seen = {"critic": [], "generator": []}
    update_critic, update_generator = model._update_critic, model._update_generator

    def note_critic(real, latent, alpha):
        seen["critic"].append((ops.convert_to_numpy(latent), ops.convert_to_numpy(alpha)))
        return update_critic(real, latent, alpha)

    def note_generator(latent):
        seen["generator"].append(ops.convert_to_numpy(latent))
        return update_generator(latent)

    monkeypatch.setattr(model, "_update_critic", note_critic)
    monkeypatch.setattr(model, "_update_generator", note_generator)
    run_step(model, (real, latent, alpha))
    assert [int(o.iterations) for o in (model.critic_optimizer, model.generator_optimizer)] == [
        3,
        1,
    ]
    for step, (latent_seen, alpha_seen) in enumerate(seen["critic"]):
        assert np.array_equal(latent_seen, latent[step])
        assert np.array_equal(alpha_seen, alpha[step])
    assert np.array_equal(seen["generator"], latent[3:])


def test_the_options_of_adam_reach_the_optimizers(random):
    model, *_ = wgan(random)
    for optimizer in (model.critic_optimizer, model.generator_optimizer):
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.9)
    model, *_ = gan(random)
    model.set_up(2e-4, 0.4)
    assert [optimizer.beta_1 for optimizer in model.optimizers()] == [0.4] * 4
    unet = multires_unet.build_unet(4, particle_weight=2.0)
    unet.set_up(1e-3, weight_decay=0.1)
    assert unet.adam.weight_decay == 0.1

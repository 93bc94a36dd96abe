"""The losses of a training step against their definitions, from the networks' outputs."""

import numpy as np
import pytest
from keras import ops

from models import backend, cyclegan, multires_unet, wgan_gp
from models.fast import lean_networks
from models.losses import crossentropy


@pytest.fixture
def random():
    return np.random.default_rng(0)


def run_step(model, batch):
    losses = model.train_step(backend.to_device(batch))  # once: not worth compiling
    return {name: float(ops.convert_to_numpy(value)) for name, value in losses.items()}


def test_wgan_losses(random):
    """Gulrajani et al. (2017), algorithm 1; with one critic update, both from the first weights."""
    model = wgan_gp.build_wgan((16, 16), 4, seed=1, gradient_penalty_weight=7.0, dropout=False)
    model.set_up(1e-9, 0.5, 0.9)  # so small that the second update sees the same networks
    real = np.sign(random.standard_normal((6, 16, 16, 1))).astype(np.float32)
    latent = wgan_gp.draw_latent(random, 2, 6, 4)
    alpha = random.random((1, 6, 1, 1, 1), dtype=np.float32)

    def fakes(latent):
        # As in training: normalised with the batch's own statistics.
        with backend.without_gradients():
            y = model.generator(backend.to_device((latent,))[0], training=True)
        return ops.convert_to_numpy(y)

    def score(images):
        return lean_networks.predict(model.critic, images)[:, 0]

    fake = fakes(latent[0])
    between = backend.to_device((real + alpha[0] * (fake - real),))[0]
    gradient = backend.input_gradient(lambda x: model.critic(x, training=True), between)
    gradient = ops.convert_to_numpy(backend.stop_gradient(gradient))
    norms = np.sqrt(np.square(gradient).sum(axis=(1, 2, 3)))
    penalty = np.mean((norms - 1) ** 2)
    expected = {
        "d_loss": score(fake).mean() - score(real).mean(),
        "grad_penalty": penalty,
        "grad_norm": norms.mean(),
        "d_total_loss": score(fake).mean() - score(real).mean() + 7.0 * penalty,
        "g_loss": -score(fakes(latent[1])).mean(),
    }
    losses = run_step(model, (real, latent, alpha))
    assert losses == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.usefixtures("short_networks")
@pytest.mark.parametrize(
    ("cross_entropy", "identity"), [(False, (0.5, 0.25)), (False, (0.5, 0.0)), (True, (0.0, 0.0))]
)
def test_cyclegan_losses(cross_entropy, identity, random):
    """Zhu et al. (2017), equations 1 to 3 and section 5.2, with least squares (section 4)."""
    model = cyclegan.build_cyclegan(
        1,
        (32, 40, 1),
        seed=2,
        use_binary_crossentropy=cross_entropy,
        lambda_cycle=(3.0, 5.0),
        lambda_identity=identity,
        label_smoothing_factor=0.2,
        pool_size=0,
    )
    model.set_up(1e-9, 0.5)
    micrographs = random.uniform(-1, 1, (2, 64, 72, 1)).astype(np.float32)
    masks = np.sign(random.standard_normal((2, 64, 72, 1))).astype(np.float32)
    masks = (masks + 1) / 2 if cross_entropy else masks

    def run(network, x):
        return lean_networks.predict(network, x)

    def mask_distance(mask, found):
        if cross_entropy:
            found = np.clip(found, 1e-7, 1 - 1e-7)
            return -np.mean(mask * np.log(found) + (1 - mask) * np.log(1 - found))
        return np.abs(mask - found).mean()

    fake_masks, fake_images = run(model.gen_a, micrographs), run(model.gen_b, masks)
    expected = {
        "g_adv_a": np.mean((run(model.disc_b, fake_masks) - 0.9) ** 2),
        "g_adv_b": np.mean((run(model.disc_a, fake_images) - 0.9) ** 2),
        "g_cyc_a": 5.0 * mask_distance(masks, run(model.gen_a, fake_images)),
        "g_cyc_b": 3.0 * np.abs(micrographs - run(model.gen_b, fake_masks)).mean(),
        "g_id_a": 0.0,
        "g_id_b": 0.0,
    }
    if not cross_entropy:
        expected["g_id_a"] = 5.0 * identity[1] * mask_distance(masks, run(model.gen_a, masks))
        identical = run(model.gen_b, micrographs)
        expected["g_id_b"] = 3.0 * identity[0] * np.abs(micrographs - identical).mean()
    for side in "ab":
        expected[f"g_{side}"] = sum(expected[f"g_{part}_{side}"] for part in ("adv", "cyc", "id"))
    for side, disc, real, fake in (
        ("a", model.disc_a, micrographs, fake_images),
        ("b", model.disc_b, masks, fake_masks),
    ):
        expected[f"d_real_{side}"] = np.mean((run(disc, real) - 0.9) ** 2)
        expected[f"d_fake_{side}"] = np.mean((run(disc, fake) - 0.1) ** 2)
        both = expected[f"d_real_{side}"], expected[f"d_fake_{side}"]
        expected[f"d_{side}"] = np.mean(both)
    nothing = np.zeros((2, 2), np.int32)
    batch = (micrographs, masks, nothing, nothing.astype(bool), nothing.astype(bool))
    assert run_step(model, batch) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.usefixtures("short_networks")
@pytest.mark.parametrize("gap_weight", [0.0, 5.0])
def test_unet_losses(random, gap_weight):
    """Binary cross-entropy of mask and centrality; particle pixels of the mask count more.

    So do pixels of narrow gaps, of both.
    """
    model = multires_unet.build_unet(
        4, particle_weight=3.0, seed=3, with_centrality=True, gap_weight=gap_weight
    )
    image = random.random((2, 16, 24, 1), dtype=np.float32)
    target = random.random((2, 16, 24, 3 if gap_weight else 2), dtype=np.float32)
    target[..., 0] = target[..., 0] > 0.7
    weights = 1 + gap_weight * target[..., -1] if gap_weight else 1.0
    mask, probability = target[..., 0], lean_networks.predict(model.network, image)
    entropies = np.log(probability), np.log(1 - probability)
    inside, outside = (entropy[..., 0] for entropy in entropies)
    loss = -np.mean(weights * (3.0 * mask * inside + (1 - mask) * outside))
    loss -= np.mean(weights * target[..., 1] * entropies[0][..., 1])
    loss -= np.mean(weights * (1 - target[..., 1]) * entropies[1][..., 1])
    found = model.validation_step(backend.to_device((image, target)))
    found = {name: float(ops.convert_to_numpy(value)) for name, value in found.items()}
    assert found == pytest.approx(
        {
            "val_loss": loss,
            "val_mae": np.abs(mask - probability[..., 0]).mean(),
            "val_acc": np.mean((probability[..., 0] > 0.5) == (mask > 0.5)),
        },
        rel=1e-3,
    )


def test_crossentropy_is_the_logarithm_of_small_probabilities_too():
    target, probability = backend.to_device((np.ones(1, np.float32), np.full(1, 1e-5, np.float32)))
    loss = ops.convert_to_numpy(crossentropy(target, probability))
    assert loss[0] == pytest.approx(-np.log(1e-5), rel=1e-4)

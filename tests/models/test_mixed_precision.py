"""With mixed_bfloat16 every model trains: float32 weights, losses and outputs, finite and close."""

import keras
import numpy as np
import pytest

from models import backend, cyclegan, image_pool, multires_unet, wgan_gp
from models.fast import compiled_steps, lean_networks
from tests.models.tiny_steps import CYCLEGAN, WGAN

pytestmark = pytest.mark.usefixtures("short_networks")


@pytest.fixture
def set_precision():
    """Return what sets the precision of new layers, for this test."""
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


def noise(random, *shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def wgan(random):
    model = wgan_gp.build_wgan((16, 16), 8, dropout=False, **WGAN)
    model.set_up(2e-4, 0.5, 0.9)
    alpha = np.abs(noise(random, 2, 4, 1, 1, 1))
    batch = noise(random, 4, 16, 16, 1), noise(random, 3, 4, 8), alpha
    return model, ("generator", "critic"), batch


def gan(random):
    model = cyclegan.build_cyclegan(
        2, (48, 48, 1), use_skip_connection=True, **CYCLEGAN | {"pool_size": 2}
    )
    model.set_up(2e-4, 0.5)
    choices = image_pool.draw_pool_choices(random, 2, 2, 0)
    tiles = noise(random, 2, 48, 48, 1), noise(random, 2, 48, 48, 1)
    return model, ("gen_a", "gen_b", "disc_a", "disc_b"), (*tiles, *choices)


def unet(random):
    model = multires_unet.build_unet(4, 2.0)
    model.set_up(1e-3)
    mask = (noise(random, 2, 32, 32, 1) > 0).astype(np.float32)
    return model, ("network",), (np.abs(noise(random, 2, 32, 32, 1)), mask)


def weights_of(network):
    return [np.array(weight) for weight in network.trainable_weights]


@pytest.mark.parametrize("builder", [wgan, gan, unet])
def test_a_training_step(builder, set_precision, monkeypatch):
    monkeypatch.setattr(compiled_steps, "xla_for_steps", False)
    set_precision("mixed_bfloat16")
    model, names, batch = builder(np.random.default_rng(4))
    networks = [getattr(model, name) for name in names]
    before = [weights_of(network) for network in networks]
    losses = compiled_steps.compile_step(model.train_step)(backend.to_device(batch))
    values = {name: float(value) for name, value in losses.items()}
    assert all(np.isfinite(value) for value in values.values()), values
    assert all(keras.backend.standardize_dtype(v.dtype) == "float32" for v in losses.values())
    for name, network, start in zip(names, networks, before, strict=True):
        after = weights_of(network)
        assert all(weight.dtype == np.float32 for weight in after)
        assert all(np.isfinite(weight).all() for weight in after)
        changed = [(a != b).any() for a, b in zip(after, start, strict=True)]
        assert np.mean(changed) > 0.8, f"{name}: most of its weights are as they were"


def test_outputs_are_close_to_those_in_float32(set_precision):
    image = noise(np.random.default_rng(4), 1, 32, 32, 1)
    outputs = []
    for name in ("float32", "mixed_bfloat16"):
        set_precision(name)
        outputs.append(lean_networks.predict(multires_unet.build_unet(4, seed=2).network, image))
    assert outputs[0].dtype == outputs[1].dtype == np.float32
    assert 0 < np.abs(outputs[0] - outputs[1]).max() < 0.05

"""With mixed_bfloat16 every model trains: float32 weights, losses and outputs, finite and close."""

import keras
import numpy as np
import pytest

from models import (
    augmentation,
    backend,
    cyclegan,
    image_pool,
    lean_networks,
    multires_unet,
    wgan_gp,
)

random = np.random.default_rng(4)


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def precision(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def noise(*shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def wgan():
    model = wgan_gp.build_wgan((16, 16), 8, dropout=False)
    model.set_up(2e-4, 0.5, 0.9)
    return model, (noise(4, 16, 16, 1), noise(3, 4, 8), np.abs(noise(2, 4, 1, 1, 1)))


def gan():
    options = {"use_skip_connection": True, "cycle_noise": 0.02, "augment_discriminators": True}
    model = cyclegan.build_cyclegan(2, (48, 48, 1), pool_size=2, **options)
    model.set_up(2e-4, 0.5)
    choices = image_pool.draw_pool_choices(random, 2, 2, 0)
    chances = augmentation.draw_chances(random, 2)
    return model, (noise(2, 48, 48, 1), noise(2, 48, 48, 1), *choices, chances)


def unet():
    model = multires_unet.build_unet(4, 2.0)
    model.set_up(1e-3)
    return model, (np.abs(noise(2, 32, 32, 1)), (noise(2, 32, 32, 1) > 0).astype(np.float32))


@pytest.mark.parametrize("builder", [wgan, gan, unet])
def test_a_training_step(builder, precision):
    model, batch = builder()
    before = [np.array(weight) for weight in model.trainable_weights]
    losses = backend.compile_step(model.train_step, use_xla=False)(backend.to_device(batch))
    values = {name: float(value) for name, value in losses.items()}
    assert all(np.isfinite(value) for value in values.values()), values
    assert all(keras.backend.standardize_dtype(v.dtype) == "float32" for v in losses.values())
    after = [np.array(weight) for weight in model.trainable_weights]
    assert all(weight.dtype == np.float32 for weight in after)
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
    assert all(np.isfinite(weight).all() for weight in after)


def test_outputs_are_close_to_those_in_float32():
    image = noise(1, 32, 32, 1)
    outputs = []
    for name in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(name)
        outputs.append(lean_networks.predict(multires_unet.build_unet(4, seed=2).network, image))
    keras.config.set_dtype_policy("float32")
    assert outputs[0].dtype == outputs[1].dtype == np.float32
    assert 0 < np.abs(outputs[0] - outputs[1]).max() < 0.05

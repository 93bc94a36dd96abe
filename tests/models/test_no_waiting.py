"""No training step makes a tensor of Python's numbers, or reads one: a GPU would be waited for."""

import numpy as np
import pytest

from models import backend, kernels
from models.augmentation import draw_chances
from models.cyclegan import build_cyclegan
from models.image_pool import draw_pool_choices
from models.multires_unet import build_unet
from models.wgan_gp import build_wgan

pytestmark = pytest.mark.skipif(
    backend.BACKEND != "torch", reason="TensorFlow runs a graph, whose numbers are in it"
)


def uniform(*shape):
    return np.random.default_rng(len(shape)).random(shape, np.float32)


def wgan_steps():
    model = build_wgan((32, 32), 16)
    model.set_up(2e-4, 0.5, 0.9)
    return [(model.train_step, (uniform(4, 32, 32, 1), uniform(3, 4, 16), uniform(2, 4, 1, 1, 1)))]


def cyclegan_steps(generator_ema=0.0, **options):
    model = build_cyclegan(2, (64, 64, 1), **options)
    model.set_up(2e-4, 0.5, generator_ema)
    tiles = uniform(2, 64, 64, 1), uniform(2, 64, 64, 1)
    random = np.random.default_rng(0)
    choices = draw_pool_choices(random, 50, 2, 0)
    return [(model.train_step, (*tiles, *choices, draw_chances(random, 2)))]


def all_options_steps():
    return cyclegan_steps(
        generator_ema=0.9,
        augment_discriminators=True,
        use_skip_connection=True,
        use_resize_convolution=True,
        label_smoothing_factor=0.1,
    )


def crossentropy_steps():
    return cyclegan_steps(use_binary_crossentropy=True, lambda_identity=(0.0, 0.0))


def cycle_noise_steps():
    return cyclegan_steps(cycle_noise=0.02)


def discriminator_noise_steps():
    return cyclegan_steps(gaussian_noise_value=0.1)


def unet_steps():
    model = build_unet(4, particle_weight=2.0, with_centrality=True)
    model.set_up(1e-3)
    pairs = uniform(2, 32, 32, 1), uniform(2, 32, 32, 2)
    return [(model.train_step, pairs), (model.validation_step, pairs)]


@pytest.mark.parametrize(
    "make_steps",
    [
        wgan_steps,
        cyclegan_steps,
        all_options_steps,
        crossentropy_steps,
        cycle_noise_steps,
        discriminator_noise_steps,
        unet_steps,
    ],
)
def test_steps_wait_for_no_gpu(make_steps, monkeypatch):
    torch = backend.torch
    monkeypatch.setattr(kernels, "_draw_kept_on_cpu", kernels._draw_kept)  # as on a GPU
    steps = [(step, backend.to_device(arrays)) for step, arrays in make_steps()]
    for step, tensors in steps:
        step(tensors)  # what is made once is of no matter

    def watch(owner, name, waits):
        function = getattr(owner, name)

        def watched(first, *arguments, **options):
            # Within `on_cpu` they stay on the CPU.
            if waits(first) and not backend._is_on_cpu:
                raise AssertionError(f"{name} of {first!r}")
            return function(first, *arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    for name in ("as_tensor", "tensor", "from_numpy"):
        watch(torch, name, lambda value: not isinstance(value, torch.Tensor))
    for name in ("item", "tolist", "numpy", "__int__", "__float__", "__bool__"):
        watch(torch.Tensor, name, lambda tensor: True)
    for step, tensors in steps:
        step(tensors)
    with pytest.raises(AssertionError, match="as_tensor of 1"):
        torch.as_tensor(1)

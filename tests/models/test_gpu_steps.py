"""Training steps as on a GPU, looked at without one."""

from functools import partial

import keras
import numpy as np
import pytest

from models import backend, kernels
from tests.models import tiny_steps

torch = backend.torch


def losses_and_gradients(make_steps):
    """Return the losses of a training step, and the gradients of all weights: NumPy arrays."""
    step, arrays = make_steps()[0]
    losses = {name: float(loss) for name, loss in step(backend.to_device(arrays)).items()}
    parts = vars(step.__self__).values()
    optimizers = [part for part in parts if isinstance(part, keras.optimizers.Optimizer)]
    # After one step Adam's means are the gradients, but for a factor.
    means = [mean for adam in optimizers for mean in adam._momentums]
    return losses, [keras.ops.convert_to_numpy(mean) for mean in means]


@pytest.mark.parametrize(
    "make_steps",
    [
        partial(tiny_steps.wgan_steps, dropout=False),
        tiny_steps.cyclegan_steps,
        tiny_steps.unet_steps,
    ],
)
def test_the_kernels_for_a_gpu_compute_the_same(make_steps, request):
    expected, expected_gradients = losses_and_gradients(make_steps)
    request.getfixturevalue("pretend_gpu")
    losses, gradients = losses_and_gradients(make_steps)
    assert losses == pytest.approx(expected, rel=1e-4)
    # Some gradients are so small a rest of large numbers that images changed by 1e-8 change them
    # by themselves; half of them do not change by a hundredth. (For each layer: test_layers.py.)
    changes = [
        np.abs(own - known).max() / (np.abs(known).max() + 1e-12)
        for own, known in zip(gradients, expected_gradients, strict=True)
    ]
    assert len(changes) > 10
    assert np.median(changes) < 0.01


@pytest.fixture
def numberless_device(pretend_gpu, monkeypatch):
    """Compute on torch's device "meta", whose tensors have a shape and a type but no numbers.

    As a GPU does, it refuses tensors of two devices in one operation; and no number can be read.
    """

    def adam(weights, gradients, means, squares, _, steps, *, lr, **options):
        for group in (gradients, means, squares):  # as the kernel for CUDA checks them
            for tensor, weight in zip(group, weights, strict=True):
                assert (tensor.device, tensor.dtype) == (weight.device, weight.dtype)
                assert tensor.shape == weight.shape
                assert tensor.is_contiguous() and weight.is_contiguous()
        assert {tensor.device.type for tensor in (*weights, *steps, lr)} == {"meta"}
        assert {tensor.dtype for tensor in (*weights, *steps, lr)} == {torch.float32}

    def average(averages, weights, shares):
        for tensors in zip(averages, weights, shares, strict=True):
            assert {tensor.device.type for tensor in tensors} == {"meta"}

    # Without such kernels of its own.
    monkeypatch.setattr(torch, "_fused_adam_", adam)
    monkeypatch.setattr(torch, "_foreach_lerp_", average)
    monkeypatch.setattr(kernels, "_generator", lambda x, seed: None)
    # Of which Keras would make new ones, without gradients.
    monkeypatch.setattr(torch.Tensor, "is_meta", property(lambda tensor: False))
    with keras.device("meta"):
        yield


@pytest.mark.skipif(torch is None, reason="TensorFlow places the tensors of its graph itself")
@pytest.mark.parametrize(
    ("precision", "make_steps"),
    [("float32", make_steps) for make_steps in tiny_steps.ALL]
    + [("mixed_bfloat16", make_steps) for make_steps in tiny_steps.ONE_A_NETWORK],
)
def test_all_of_a_step_is_on_the_gpu(precision, make_steps, numberless_device):
    keras.config.set_dtype_policy(precision)
    try:
        for step, arrays in make_steps():
            values = step(backend.to_device(arrays))
            assert {value.device.type for value in values.values()} == {"meta"}
            with pytest.raises((NotImplementedError, RuntimeError)):
                float(next(iter(values.values())))
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.skipif(torch is None, reason="TensorFlow places the tensors of its graph itself")
def test_a_tensor_left_on_the_cpu_is_refused(numberless_device):
    first, second = backend.to_device((np.ones(3, np.float32), np.ones(3, np.float32)))
    assert (first + second).device.type == "meta"
    with pytest.raises(RuntimeError, match="device"):
        first + torch.ones(3, device="cpu")

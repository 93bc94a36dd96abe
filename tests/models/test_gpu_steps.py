"""Training steps as on a GPU, looked at without one."""

from functools import partial

import keras
import numpy as np
import pytest

from benchmarks.pretended_gpu import let_meta_train
from models import backend
from tests.models import tiny_steps

torch = backend.torch
if torch:
    from torch.utils._python_dispatch import TorchDispatchMode


def losses_and_gradients(make_steps):
    """Return the losses of a training step, and all gradients of each optimiser in one array."""
    step, arrays = make_steps()[0]
    losses = {name: float(loss) for name, loss in step(backend.to_device(arrays)).items()}
    parts = vars(step.__self__).values()
    optimizers = [part for part in parts if isinstance(part, keras.optimizers.Optimizer)]
    # After one step Adam's means are the gradients, but for a factor.
    means = [map(keras.ops.convert_to_numpy, adam._momentums) for adam in optimizers]
    return losses, [np.concatenate([mean.ravel() for mean in of_one]) for of_one in means]


@pytest.fixture
def smooth_relu(monkeypatch):
    """Build networks with softplus for ReLU, whose derivative jumps at 0.

    Rounding carries a number over it at any of its thousands of places, which changes the
    gradient of a UNet as tiny as here by up to three hundredths.
    """
    activation = keras.layers.Activation

    def smooth(name, **options):
        return activation("softplus" if name == "relu" else name, **options)

    monkeypatch.setattr(keras.layers, "Activation", smooth)
    monkeypatch.setattr(keras.layers, "ReLU", partial(activation, "softplus"))


@pytest.mark.parametrize(
    "make_steps",
    [
        partial(tiny_steps.wgan_steps, dropout=False),
        tiny_steps.cyclegan_steps,
        tiny_steps.unet_steps,
    ],
)
def test_the_kernels_for_a_gpu_compute_the_same(make_steps, smooth_relu, request):
    expected, expected_gradients = losses_and_gradients(make_steps)
    request.getfixturevalue("pretend_gpu")
    losses, gradients = losses_and_gradients(make_steps)
    assert losses == pytest.approx(expected, rel=1e-4)
    for own, known in zip(gradients, expected_gradients, strict=True):
        assert np.linalg.norm(own - known) < 1e-3 * np.linalg.norm(known)


class OneDevice(TorchDispatchMode if torch else object):
    """Refuse tensors of two devices in one operation, as a GPU does, but for single numbers."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        given = keras.tree.flatten((arguments, keywords or {}))
        devices = {t.device.type for t in given if isinstance(t, torch.Tensor) and t.ndim}
        if len(devices) > 1 and function.overloadpacket is not torch.ops.aten.copy_:
            raise RuntimeError(f"{function} of tensors on more than one device: {devices}")
        return function(*arguments, **(keywords or {}))


@pytest.fixture
def numberless_device(pretend_gpu, monkeypatch):
    """Compute on torch's device "meta", whose tensors have a shape and a type but no numbers.

    No number can be read there, and tensors of the CPU are refused (`OneDevice`).
    """

    def adam(weights, gradients, means, squares, _, steps, *, lr, **options):
        for group in (gradients, means, squares):  # as the kernel for CUDA checks them
            for tensor, weight in zip(group, weights, strict=True):
                assert (tensor.device, tensor.dtype) == (weight.device, weight.dtype)
                assert tensor.shape == weight.shape
                assert tensor.stride() == weight.stride()
        assert {tensor.device.type for tensor in (*weights, *steps, lr)} == {"meta"}
        assert {tensor.dtype for tensor in (*weights, *steps, lr)} == {torch.float32}

    let_meta_train(monkeypatch.setattr)
    monkeypatch.setattr(torch, "_fused_adam_", adam)
    with keras.device("meta"), OneDevice():
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
@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y: x + y,
        lambda x, y: x[0, 0] @ y[0, 0],
        lambda x, y: torch.nn.functional.conv2d(x, y),
    ],
    ids=["sum", "product", "convolution"],
)
def test_a_tensor_left_on_the_cpu_is_refused(operation, numberless_device):
    on_cpu = torch.ones(2, 2, 2, 2, device="cpu")
    on_gpu = backend.to_device((np.ones((2, 2, 2, 2), np.float32),))[0]
    assert operation(on_gpu, on_gpu).device.type == "meta"
    with pytest.raises(RuntimeError, match="more than one device"):
        operation(on_gpu, on_cpu)

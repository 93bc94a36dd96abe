"""Batch normalisation by kernels that see several pixels as one, against its formulas."""

import numpy as np
import pytest
from keras import ops

from models import backend, layers
from models.fast import folded_normalization, normalization


def formulas(x, upstream, gamma, beta, epsilon):
    """Return y, the mean and variance, and the gradients of x, gamma and beta, in float64."""
    x, upstream = np.float64(x), np.float64(upstream)
    axes = (0, 1, 2)
    mean, variance = x.mean(axes), x.var(axes)
    deviation = np.sqrt(variance + epsilon)
    normalised = (x - mean) / deviation
    along = normalised * (upstream * normalised).mean(axes)
    of_x = gamma / deviation * (upstream - upstream.mean(axes) - along)
    of_gamma, of_beta = (upstream * normalised).sum(axes), upstream.sum(axes)
    return normalised * gamma + beta, mean, variance, of_x, of_gamma, of_beta


def computed(x, upstream, gamma, beta, epsilon, folded, precision="float32"):
    """Return the same, by ``normalise``."""
    x, upstream, gamma, beta = backend.to_device((x, upstream, gamma, beta))
    x, upstream = ops.cast(x, precision), ops.cast(upstream, precision)

    def run(x, gamma, beta):
        return folded_normalization.normalise(x, gamma, beta, epsilon, folded)

    y, mean, variance = run(x, gamma, beta)
    of_x = backend.input_gradient(lambda x: run(x, gamma, beta)[0] * upstream, x)
    of_gamma = backend.input_gradient(lambda gamma: run(x, gamma, beta)[0] * upstream, gamma)
    of_beta = backend.input_gradient(lambda beta: run(x, gamma, beta)[0] * upstream, beta)
    found = (y, mean, variance, of_x, of_gamma, of_beta)
    return [ops.convert_to_numpy(ops.cast(backend.stop_gradient(t), "float32")) for t in found]


def drawn(shape, seed=0):
    """Return x, upstream, gamma and beta that differ from place to place in all their means."""
    random = np.random.default_rng(seed)
    across = np.linspace(-1, 2, shape[2])[:, None]  # so that the pixels of a fold differ
    x = random.normal(1.0, 2.0, shape) + across
    upstream = random.normal(0.3, 1.0, shape) - across
    gamma, beta = random.normal(size=(2, shape[-1]))
    return [array.astype(np.float32) for array in (x, upstream, gamma, beta)]


@pytest.mark.parametrize("folded", [1, 2, 4, 16, 48])
@pytest.mark.parametrize("channels", [1, 5, 16])
def test_it_is_what_the_formulas_give(channels, folded):
    arrays = drawn((3, 12, 16, channels))
    expected = formulas(*arrays, 1e-3)
    for own, other in zip(computed(*arrays, 1e-3, folded), expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_in_half_precision_only_y_and_the_gradient_of_x_have_few_digits():
    arrays = drawn((2, 16, 32, 5))
    rounded = [np.float32(ops.convert_to_numpy(ops.cast(ops.cast(t, "bfloat16"), "float32")))
               for t in backend.to_device(arrays[:2])]  # fmt: skip
    expected = formulas(*rounded, *arrays[2:], 1e-3)
    found = computed(*arrays, 1e-3, 16, "bfloat16")
    for number, (own, other) in enumerate(zip(found, expected, strict=True)):
        digits = 1e-2 if number in (0, 3) else 1e-4  # y and the gradient of x have 8 bits
        np.testing.assert_allclose(own, other, rtol=0, atol=digits * np.abs(other).max())


@pytest.mark.parametrize(
    ("shape", "folded"),
    [
        ((5, 384, 384, 25), 16),
        ((5, 384, 384, 8), 8),
        ((5, 384, 384, 13), 16),
        ((5, 192, 192, 53), 16),
        ((None, 192, 192, 52), 4),
        ((5, 192, 192, 106), 8 if backend.BACKEND == "tensorflow" else 1),
        ((5, 384, 384, 16), 1),  # the kernel does these as they are
        ((5, 24, 24, 128), 1),
        ((5, 7, 7, 71), 1),  # 49 pixels cannot be divided
        ((5, None, 64, 25), 1),
        ((5, 6, 6, 4), 4),  # as many as the pixels allow
    ],
)
def test_as_many_pixels_are_folded_as_the_kernels_like(shape, folded):
    assert folded_normalization.pixels_in_one(shape) == folded
    if folded > 1:
        assert folded * shape[-1] % folded_normalization.CHANNELS_AT_A_TIME == 0


def test_the_layers_use_it(monkeypatch):
    """On a CPU: for odd channels, and for large images in half precision."""
    seen = []
    normalise = folded_normalization.normalise

    def count(x, gamma, beta, epsilon, folded):
        seen.append((tuple(x.shape), folded))
        return normalise(x, gamma, beta, epsilon, folded)

    monkeypatch.setattr(folded_normalization, "normalise", count)
    monkeypatch.setattr(normalization, "LARGE", 32 * 16 * 4)
    with backend.on_cpu():
        for channels in (5, 16):
            x = backend.to_device((np.ones((2, 32, 16, channels), np.float32),))[0]
            layers.BatchNormalization()(x, training=True)
        for channels in (3, 4):
            x = backend.to_device((np.ones((2, 32, 16, channels), np.float32),))[0]
            layers.InstanceNormalization()(x)
            layers.InstanceNormalization(dtype="mixed_bfloat16")(ops.cast(x, "bfloat16"))
    assert seen == [((2, 32, 16, 5), 16), ((1, 32, 16, 4), 16), ((1, 32, 16, 4), 16)]

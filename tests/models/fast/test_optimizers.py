"""Adam against its formulas, as Keras states them, with all that the networks ask of it."""

import keras
import numpy as np
import pytest
from keras import ops

from models import backend
from models.fast.optimizers import Adam

RATE, BETA_1, BETA_2, EPSILON = 0.01, 0.5, 0.9, 1e-7
SHAPES = ((3, 3, 2, 4), (4,), (5, 2))


def plain_steps(weights, gradients, weight_decay):
    """Return weights, first and second moments after the steps."""
    first, second = ([np.zeros(shape) for shape in SHAPES] for _ in range(2))
    for number, step in enumerate(gradients, start=1):
        rate = RATE * np.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
        for i, gradient in enumerate(step):
            weights[i] = weights[i] * (1 - weight_decay * RATE)
            first[i] = BETA_1 * first[i] + (1 - BETA_1) * gradient
            second[i] = BETA_2 * second[i] + (1 - BETA_2) * gradient**2
            weights[i] = weights[i] - rate * first[i] / (np.sqrt(second[i]) + EPSILON)
    return weights, first, second


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}])
def test_adam_is_that_of_its_formulas(options):
    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    # Some of the gradients are as small as epsilon, where its place in the formula counts.
    scales = 10.0 ** random.uniform(-8, 0, 4)
    gradients = [[random.normal(0, s, shape) for shape in SHAPES] for s in scales]
    variables = [keras.Variable(values) for values in start]
    adam = Adam(RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON, **options)
    adam.build(variables)
    for step in gradients:
        # As a convolution's: in another order in the memory than the variable.
        arrays = backend.to_device([np.ascontiguousarray(g.T.astype(np.float32)) for g in step])
        turned = [ops.transpose(x, tuple(range(len(x.shape)))[::-1]) for x in arrays]
        adam.apply(turned, variables)

    expected = plain_steps(
        [values.astype(float) for values in start],
        gradients,
        options.get("weight_decay", 0.0),
    )
    assert int(ops.convert_to_numpy(adam.iterations)) == len(gradients)
    weights, first, second = expected
    for variable, values in zip(variables, weights, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), values, rtol=1e-5, atol=1e-6)
    kept = [ops.convert_to_numpy(v) for v in adam.variables if v.path.count("/") and v.shape]
    for values in first + second:
        close = [x.shape == values.shape and np.allclose(x, values, 1e-4, 1e-6) for x in kept]
        assert any(close), values


@pytest.mark.skipif(backend.BACKEND == "tensorflow", reason="TensorFlow places its own tensors")
def test_kernels_on_a_gpu_are_kept_as_cudnn_wants_them(pretend_gpu):
    layer = keras.layers.Conv2D(3, 2)
    layer.build((None, None, None, 4))
    before = keras.ops.convert_to_numpy(layer.kernel)
    adam = Adam(0.5)
    adam.build(layer.trainable_variables)
    for variable in (layer.kernel, adam._momentums[0], adam._velocities[0]):
        as_cudnn_has_it = variable.value.permute(3, 2, 0, 1)
        assert as_cudnn_has_it.is_contiguous(memory_format=backend.torch.channels_last)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.kernel), before)
    # Whatever the order of the gradient's numbers is, each goes to its own weight.
    gradients = [keras.ops.convert_to_tensor(np.sign(before)), keras.ops.zeros(3)]
    adam.apply(gradients, layer.trainable_variables)
    after = keras.ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(after, before - 0.5 * np.sign(before), atol=1e-4)

"""Each fast path against the plain Keras layer, outputs and gradients, and known answers."""

import keras
import numpy as np
import pytest
from keras import ops

from models import backend, layers, processor
from models.fast import block_convolutions, convolutions, kernels, normalization, torch_convolutions


def outputs_and_gradients(layer, x, training=False):
    """Return the layer's output, and the gradients of a weighted sum of it for weights and x."""
    x = backend.to_device((x,))[0]
    kwargs = {"training": True} if training else {}
    y = layer(x, **kwargs)
    weights = backend.to_device((weighting(tuple(y.shape)),))[0]

    def loss():
        return ops.sum(layer(x, **kwargs) * weights), None

    gradients = []
    if layer.trainable_variables:
        _, gradients = backend.value_and_gradients(loss, layer.trainable_variables)
    of_x = backend.input_gradient(lambda x: layer(x, **kwargs) * weights, x)
    arrays = [y, of_x, *gradients]
    return [backend.stop_gradient(array) for array in arrays]


def weighting(shape):
    """Return numbers that differ from place to place, so that no two gradients cancel."""
    return np.cos(np.arange(np.prod(shape)).reshape(shape) * 0.7).astype(np.float32)


def assert_same(fast, plain, x, training=False):
    random = np.random.default_rng(1)
    fast.build(x.shape)
    plain.build(x.shape)
    for own, other in zip(fast.weights, plain.weights, strict=True):
        values = random.normal(size=tuple(own.shape)).astype(np.float32)
        values = np.abs(values) + 0.5 if "variance" in own.name else values
        own.assign(values)
        other.assign(values)
    pairs = zip(
        outputs_and_gradients(fast, x, training),
        outputs_and_gradients(plain, x, training),
        strict=True,
    )
    for own, other in pairs:
        np.testing.assert_allclose(
            ops.convert_to_numpy(own), ops.convert_to_numpy(other), rtol=1e-3, atol=2e-4
        )
    for own, other in zip(fast.weights, plain.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(own), ops.convert_to_numpy(other), rtol=1e-4, atol=1e-4
        )


for_both = pytest.mark.usefixtures("kernels_are")


def image(channels=3, size=(12, 10)):
    random = np.random.default_rng([channels, *size])
    return random.normal(size=(2, *size, channels)).astype(np.float32)


@for_both
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(12, 10), (13, 9)])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": "same", "strides": 2, "use_bias": False},
        {"kernel_size": 5, "padding": "same", "strides": 2},
        {"kernel_size": 4, "strides": 2},
        {"kernel_size": 1, "padding": "same"},
        {"kernel_size": 7},
        {"kernel_size": 3, "padding": "same", "activation": "relu"},
        {"kernel_size": 4, "strides": 2, "activation": "relu", "use_bias": False},
        {"kernel_size": 4, "strides": 3, "padding": "same", "activation": "relu"},
    ],
    ids=str,
)
def test_convolution(options, size, channels):
    own, plain = layers.Conv2D(4, **options), keras.layers.Conv2D(4, **options)
    x = image(channels, size)
    assert_same(own, plain, x)
    with backend.without_gradients():
        results = [
            ops.convert_to_numpy(layer(backend.to_device((x,))[0])) for layer in (own, plain)
        ]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "instructions", "faster"),
    [
        ("float32", ("avx2",), True),
        ("float32", ("avx512f",), False),
        ("float32", (), False),  # it does not tell, as on Windows
        ("mixed_bfloat16", ("avx2",), False),
    ],
)
def test_kernels_gradients_are_products_where_the_libraries_own_are_slow(
    precision, instructions, faster, monkeypatch
):
    """In float32 without AVX-512. (With torch it is decided later.)"""
    monkeypatch.setattr(processor, "instructions", lambda: instructions)
    assert processor.has_slow_kernel_gradients() == ("avx2" in instructions)
    channels = convolutions.CHANNELS_FOR_PRODUCTS
    layer = layers.Conv2D(channels, 3, padding="same", dtype=precision)
    with backend.on_cpu():
        assert convolutions.is_faster_here(layer, channels) == (faster or layers.TORCH)


@pytest.mark.parametrize("at_a_time", [8, 40, 10_000])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "use_bias": False},
        {"kernel_size": (2, 5), "padding": "same"},
        {"kernel_size": 5, "padding": "same", "strides": 2},
        {"kernel_size": 4, "strides": 2},
        {"kernel_size": 4, "strides": 3, "padding": "same"},
    ],
    ids=str,
)
def test_convolution_of_many_channels(options, at_a_time, monkeypatch):
    """Kernels' gradients by matrix products, of a part of an image, of images, of all at once.

    With torch the input's, too, where there are strides.
    """
    monkeypatch.setattr(processor, "instructions", lambda: ("avx2",))  # so that those are slow
    monkeypatch.setattr(torch_convolutions, "LEAST_WORK_FOR_PRODUCTS", 0)
    monkeypatch.setattr(torch_convolutions, "CHANNELS_FOR_INPUT_PRODUCTS", 32)
    monkeypatch.setattr(torch_convolutions, "PIXELS_AT_A_TIME", at_a_time)
    here = torch_convolutions if layers.TORCH else convolutions
    channels = here.CHANNELS_FOR_PRODUCTS
    own, plain = (kind(channels, **options) for kind in (layers.Conv2D, keras.layers.Conv2D))
    assert_same(own, plain, image(channels, (9, 8)))


@for_both
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize(
    "instructions", [("avx2",), ("avx512f",)], ids=["products", "the library's own"]
)
def test_second_derivatives(instructions, channels, strides, monkeypatch):
    """As the gradient penalty needs them: of the input's gradient, for the kernel and the input."""
    monkeypatch.setattr(processor, "instructions", lambda: instructions)
    monkeypatch.setattr(torch_convolutions, "LEAST_WORK_FOR_PRODUCTS", 0)
    monkeypatch.setattr(torch_convolutions, "CHANNELS_FOR_INPUT_PRODUCTS", 32)
    x = backend.to_device((image(channels, (9, 8)),))[0]
    weights = np.random.default_rng(2).normal(size=(3, 3, channels, 32)).astype(np.float32)

    def gradients(convolution, rectifier):
        layer = convolution(32, 3, strides=strides, padding="same")
        layer.build(x.shape)
        layer.set_weights([weights, np.linspace(-1, 1, 32)])

        def penalty(x):
            of_x = backend.input_gradient(lambda x: ops.sum(rectifier(layer(x)) ** 2), x)
            return ops.sum(ops.sin(of_x))

        _, (of_kernel,) = backend.value_and_gradients(lambda: (penalty(x), None), [layer.kernel])
        of_x = backend.input_gradient(penalty, x)
        return [ops.convert_to_numpy(backend.stop_gradient(t)) for t in (of_kernel, of_x)]

    own = gradients(layers.Conv2D, layers.LeakyReLU(0.2))
    plain = gradients(keras.layers.Conv2D, keras.layers.LeakyReLU(0.2))
    for ours, expected in zip(own, plain, strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.skipif(backend.BACKEND != "torch", reason="TensorFlow drops what nobody asks for")
def test_the_gradient_of_a_kernel_is_computed_where_it_is_asked_for(monkeypatch):
    asked = []
    compute = torch_convolutions._kernel_gradient
    monkeypatch.setattr(
        torch_convolutions, "_kernel_gradient", lambda *given: asked.append(1) or compute(*given)
    )
    x = backend.to_device((image(),))[0]
    layer = layers.Conv2D(4, 3)
    layer.build(x.shape)
    backend.input_gradient(lambda x: ops.sum(layer(x) ** 2), x)
    assert not asked
    backend.value_and_gradients(lambda: (ops.sum(layer(x) ** 2), None), layer.trainable_variables)
    assert len(asked) == 1


def test_on_a_gpu_convolutions_are_in_blocks_in_torch_s_training_only(monkeypatch):
    layer = layers.Conv2D(1, 7)
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    assert block_convolutions.is_faster_in_blocks(layer) == (backend.BACKEND == "torch")
    with backend.without_gradients():
        assert not block_convolutions.is_faster_in_blocks(layer)


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("size", [(16, 22), (13, 9), (7, 8)])
@pytest.mark.parametrize("kernel_size", [4, 5, 7])
def test_convolution_to_one_channel(kernel_size, size, use_bias):
    layer = layers.Conv2D(1, kernel_size, use_bias=use_bias)
    in_blocks = backend.BACKEND == "torch" or not backend.has_gpu()
    assert block_convolutions.is_faster_in_blocks(layer) == in_blocks
    assert_same(layer, keras.layers.Conv2D(1, kernel_size, use_bias=use_bias), image(3, size))


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_transposed_convolution(kernel_size):
    options = {"filters": 4, "kernel_size": kernel_size, "strides": 2, "padding": "same"}
    for activation in (None, "relu"):
        kinds = layers.Conv2DTranspose, keras.layers.Conv2DTranspose
        assert_same(*(kind(**options, activation=activation) for kind in kinds), image())


@pytest.mark.parametrize("slope", [0.2, 0.0])
def test_leaky_relu(slope):
    assert_same(layers.LeakyReLU(slope), keras.layers.LeakyReLU(slope), image())


def test_concatenation_has_the_gradient_of_the_plain_one():
    parts = backend.to_device((image(3), image(1), image(2)))
    joined = layers.Concatenation()(*parts)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(joined),
        np.concatenate([ops.convert_to_numpy(part) for part in parts], -1),
    )
    weights = backend.to_device((weighting(tuple(joined.shape)),))[0]

    def weighted(x):
        return ops.sum(layers.Concatenation()(x, *parts[1:]) * weights)

    of_first = backend.stop_gradient(backend.input_gradient(weighted, parts[0]))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(of_first), ops.convert_to_numpy(weights)[..., :3]
    )


def test_max_pooling():
    assert_same(layers.MaxPooling2D(2), keras.layers.MaxPooling2D(2), image(size=(13, 10)))


@pytest.mark.parametrize(
    ("kernel_size", "edge"), [(3, "zeros"), (5, "zeros"), (1, "zeros"), (3, "mirrored")]
)
@pytest.mark.parametrize("filters", [1, 4])
def test_resize_convolution(filters, kernel_size, edge):
    own = layers.ResizeConv2D(filters, kernel_size, edge=edge, activation="relu")
    convolution = keras.layers.Conv2D(
        filters, kernel_size, padding="same" if edge == "zeros" else "valid", activation="relu"
    )
    plain = [keras.layers.UpSampling2D(2), convolution]
    if edge == "mirrored":
        plain.insert(1, layers.ReflectionPadding2D(1))
    x = image(size=(5, 4))
    assert_same(own, keras.Sequential(plain), x)
    assert own.compute_output_shape(x.shape) == tuple(own(x).shape) == (2, 10, 8, filters)
    assert own.compute_output_shape((None, None, None, 3)) == (None, None, None, filters)


@for_both
@pytest.mark.parametrize("large", [1, 2**19])
@pytest.mark.parametrize("size", [(9, 7), (12, 16)])
@pytest.mark.parametrize("channels", [3, 8, 16, 65])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_batch_normalization(training, scale, channels, size, large, monkeypatch):
    monkeypatch.setattr(normalization, "LARGE", large)
    assert_same(
        layers.BatchNormalization(scale=scale),
        keras.layers.BatchNormalization(scale=scale),
        image(channels, size) * 3 + 1,
        training,
    )


@for_both
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("channels", [3, 8, 16])
def test_instance_normalization(channels, images):
    """Group normalisation with a group a channel is the same thing."""
    assert_same(
        layers.InstanceNormalization(epsilon=1e-5),
        keras.layers.GroupNormalization(groups=-1, epsilon=1e-5),
        (image(channels) * 3 + 1)[:images],
    )


@for_both
@pytest.mark.parametrize("channels", [8, 16])
def test_instance_normalization_of_images_that_are_constant_nearly_everywhere(channels):
    """Masks are. Numbers added one after another are all rounded alike: off by tenths."""
    random = np.random.default_rng(channels)
    x = np.tile(random.normal(1, 1, channels).astype(np.float32), (2, 256, 256, 1))
    x[:, 60:120, 80:140] += random.normal(size=channels).astype(np.float32)
    layer = layers.InstanceNormalization(epsilon=1e-3)
    layer.build(x.shape)
    y, of_x, of_gamma, of_beta = map(ops.convert_to_numpy, outputs_and_gradients(layer, x))
    exact = x.astype(np.float64)
    deviation = np.sqrt(exact.var((1, 2), keepdims=True) + 1e-3)
    normalised = (exact - exact.mean((1, 2), keepdims=True)) / deviation
    upstream = weighting(x.shape).astype(np.float64)
    centred = upstream - upstream.mean((1, 2), keepdims=True)
    along = normalised * (upstream * normalised).mean((1, 2), keepdims=True)
    expected = (centred - along) / deviation
    np.testing.assert_allclose(y, normalised, atol=1e-3)
    np.testing.assert_allclose(of_x, expected, atol=1e-4 * np.abs(expected).max())
    # Sums of half a million numbers, most of which cancel.
    np.testing.assert_allclose(of_gamma, (upstream * normalised).sum((0, 1, 2)), atol=1)
    np.testing.assert_allclose(of_beta, upstream.sum((0, 1, 2)), atol=0.1)


@for_both
@pytest.mark.parametrize("large", [2**19, 1])
def test_instance_normalization_of_half_precision(large, monkeypatch):
    monkeypatch.setattr(normalization, "LARGE", large)
    x = image(size=(24, 20)) * 3 + 1
    weights = backend.to_device((weighting(x.shape),))[0]
    results = []
    for precision, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16")):
        layer = layers.InstanceNormalization(dtype=policy)
        layer.build(x.shape)
        given = ops.cast(backend.to_device((x,))[0], precision)
        y = layer(given)
        factors = ops.cast(weights, precision)
        of_x = backend.input_gradient(lambda x, f=factors, n=layer: n(x) * f, given)
        assert {keras.backend.standardize_dtype(array.dtype) for array in (y, of_x)} == {precision}
        arrays = (backend.stop_gradient(ops.cast(array, "float32")) for array in (y, of_x))
        results.append([ops.convert_to_numpy(array) for array in arrays])
    for wide, half in zip(*results, strict=True):
        np.testing.assert_allclose(half, wide, atol=0.02 * np.abs(wide).max())


def test_reflection_padding_mirrors_without_the_border():
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    y = ops.convert_to_numpy(layers.ReflectionPadding2D(2)(backend.to_device((x,))[0]))
    np.testing.assert_array_equal(y[0, ..., 0], np.pad(x[0, ..., 0], 2, mode="reflect"))


@pytest.mark.skipif(backend.BACKEND != "torch", reason="with TensorFlow there is one kernel only")
@pytest.mark.parametrize("margins", [(3, 2, 0, 4), (0, 0, 1, 0), (0, 5, 3, 0), (0, 0, 0, 0)])
def test_the_padding_for_gpus_is_that_for_cpus(margins):
    x = backend.to_device((image(),))[0].requires_grad_()
    padded = kernels.reflection_pad(x, *margins)
    for_gpus = kernels._TorchReflectionPad.apply(x, *margins)
    np.testing.assert_array_equal(for_gpus.detach(), padded.detach())
    weights = backend.to_device((weighting(tuple(padded.shape)),))[0]
    own, other = (
        backend.torch.autograd.grad((y * weights).sum(), x)[0] for y in (for_gpus, padded)
    )
    np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-6)


@for_both
def test_dropout():
    x = backend.to_device((np.full((4, 100, 100, 2), 3.0, np.float32),))[0]
    layer, twin = (layers.Dropout(0.3, seed=5) for _ in range(2))
    dropped = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_array_equal(dropped, ops.convert_to_numpy(twin(x, training=True)))
    np.testing.assert_allclose(np.unique(dropped), [0, 3 / 0.7], rtol=1e-6)
    assert 0.28 < np.mean(dropped == 0) < 0.32
    again = ops.convert_to_numpy(layer(x, training=True))
    assert 0.3 < np.mean((again == 0) != (dropped == 0)) < 0.54  # drawn anew each time
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(x))


def test_gaussian_noise():
    x = backend.to_device((np.full((4, 100, 100, 2), 3.0, np.float32),))[0]
    layer, twin = (layers.GaussianNoise(0.5, seed=5) for _ in range(2))
    noisy = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_array_equal(noisy, ops.convert_to_numpy(twin(x, training=True)))
    assert abs(noisy.mean() - 3) < 0.01 and abs(noisy.std() - 0.5) < 0.01
    again = ops.convert_to_numpy(layer(x, training=True))
    assert abs(np.corrcoef(noisy.ravel(), again.ravel())[0, 1]) < 0.02  # drawn anew each time
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(x))


@for_both
@pytest.mark.parametrize(
    ("layer", "rows", "columns"),
    [
        (layers.ReflectionPadding2D(3), (3, 3), (3, 3)),
        (layers.PadToMultiple(8), (0, 4), (0, 6)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_padding_has_the_gradient_of_plain_padding(layer, rows, columns):
    def pad_plainly(x):
        return ops.pad(x, ((0, 0), rows, columns, (0, 0)), mode="reflect")

    x = backend.to_device((image(),))[0]
    weights = backend.to_device((weighting(tuple(layer(x).shape)),))[0]
    own, other = (
        ops.convert_to_numpy(
            backend.stop_gradient(backend.input_gradient(lambda x, pad=pad: pad(x) * weights, x))
        )
        for pad in (layer, pad_plainly)
    )
    np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-5)


def test_pad_to_multiple_and_crop_undo_each_other():
    x = backend.to_device((image(size=(13, 16)),))[0]
    padded = layers.PadToMultiple(8)(x)
    assert tuple(padded.shape) == (2, 16, 16, 3)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layers.CropLike()(padded, x)), ops.convert_to_numpy(x)
    )

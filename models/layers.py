"""The layers of the networks: Keras layers with fast paths, and a few of our own.

The subclasses of Keras layers do the same mathematics by the modules of ``models/fast/``, where
those are faster; the tests hold each against the plain Keras layer.
``Sum`` and ``Concatenation`` take their inputs one by one: a list of tensors passed through
``keras.tree`` is kept alive by torch until Python's garbage collector runs.
"""

import contextlib

import keras
from keras import ops

from models import backend
from models.fast import block_convolutions, convolutions, kernels, normalization, torch_convolutions

register = keras.saving.register_keras_serializable(package="particles")
TORCH = backend.BACKEND == "torch"


def _kernel_and_bias(layer):
    # As tensors, in the type the layer computes in.
    kernel = ops.convert_to_tensor(layer.kernel)
    return kernel, ops.convert_to_tensor(layer.bias) if layer.use_bias else None


@register
class Conv2D(keras.layers.Conv2D):
    """2-D convolution: (b, h, w, in) -> (b, h', w', out)."""

    def call(self, inputs):
        if block_convolutions.is_faster_in_blocks(self):
            return block_convolutions.convolution_in_blocks(inputs, *_kernel_and_bias(self))
        if not convolutions.is_faster_here(self, inputs.shape[-1]):
            return super().call(inputs)
        how = self.strides[0], self.padding
        if self.activation is keras.activations.relu:
            return convolutions.convolution(inputs, *_kernel_and_bias(self), *how, relu=True)
        return self.activation(convolutions.convolution(inputs, *_kernel_and_bias(self), *how))


@register
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Transposed convolution, padding "same": (b, h, w, in) -> (b, s h, s w, out)."""

    def call(self, inputs):
        plain = self.padding == "same" and self.output_padding is None
        if not TORCH or not plain or {*self.dilation_rate} != {1} or len({*self.strides}) > 1:
            return super().call(inputs)
        y = torch_convolutions.transposed_convolution(
            inputs, *_kernel_and_bias(self), self.strides[0]
        )
        return self.activation(y)


@register
class ResizeConv2D(keras.layers.Conv2D):
    """Convolution of the image enlarged twice: (b, h, w, in) -> (b, 2 h, 2 w, out), padding "same".

    Enlarged by nearest neighbour; kernels of odd sizes. ``edge`` is what lies around the enlarged
    image: "zeros", or "mirrored", the image itself (kernels of 3 only). Source: Odena et al.,
    "Deconvolution and checkerboard artifacts" (2016), doi 10.23915/distill.00003.
    """

    def __init__(self, filters, kernel_size, edge="zeros", **kwargs):
        super().__init__(filters, kernel_size, **{**kwargs, "padding": "same"})
        self.edge = edge

    def call(self, inputs):
        y = convolutions.resize_convolution(inputs, *_kernel_and_bias(self), self.edge)
        return self.activation(y)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        height = None if height is None else 2 * height
        width = None if width is None else 2 * width
        return batch, height, width, self.filters

    def get_config(self):
        return {**super().get_config(), "edge": self.edge}


@register
class MaxPooling2D(keras.layers.MaxPooling2D):
    """Maximum over 2 x 2 windows: (b, h, w, c) -> (b, h // 2, w // 2, c)."""

    def call(self, inputs):
        plain = self.pool_size == self.strides == (2, 2) and self.padding == "valid"
        return kernels.torch_max_pool(inputs) if TORCH and plain else super().call(inputs)


@register
class LeakyReLU(keras.layers.LeakyReLU):
    """x where it is positive, ``negative_slope`` times x elsewhere."""

    def call(self, inputs):
        if not TORCH or self.negative_slope <= 0:
            return super().call(inputs)
        return kernels.torch_leaky_relu(inputs, float(self.negative_slope))


class _Drawing:
    """A layer of random numbers, whose state stays on the CPU with torch.

    What the numbers begin with is read from there, and a GPU would be waited for.
    """

    def __init__(self, *args, **kwargs):
        with backend.on_cpu() if TORCH else contextlib.nullcontext():
            super().__init__(*args, **kwargs)

    def _next_seed(self):
        with backend.on_cpu():
            return sum(self.seed_generator.next().tolist())


@register
class Dropout(_Drawing, keras.layers.Dropout):
    """Set a share ``rate`` of the numbers to 0 while training, and enlarge the others."""

    def call(self, inputs, training=False):
        if not TORCH or not training or self.rate in (0, 1) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        return kernels.torch_dropout(inputs, self.rate, self._next_seed)


@register
class GaussianNoise(_Drawing, keras.layers.GaussianNoise):
    """Add normally distributed numbers of standard deviation ``stddev`` while training."""

    def call(self, inputs, training=False):
        if not TORCH or not training or not self.stddev:
            return super().call(inputs, training=training)
        return kernels.torch_gaussian_noise(inputs, self.stddev, self._next_seed)


@register
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015)."""

    def call(self, inputs, training=None, mask=None):
        if not training or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        gamma = ops.convert_to_tensor(self.gamma) if self.scale else None
        y, mean, variance = normalization.batch_normalization(
            inputs, gamma, ops.convert_to_tensor(self.beta), self.epsilon
        )
        normalization.update_moving_average(self.moving_mean, mean, self.momentum)
        normalization.update_moving_average(self.moving_variance, variance, self.momentum)
        return y


@register
class Sum(keras.layers.Layer):
    """x + y, of equal shapes."""

    def call(self, x, y):
        return x + y


@register
class Concatenation(keras.layers.Layer):
    """The inputs' channels one after another."""

    def call(self, *inputs):
        return kernels.torch_join(*inputs) if TORCH else ops.concatenate(inputs, axis=-1)


@register
class InstanceNormalization(keras.layers.Layer):
    """Normalise each channel of each image over its pixels, then scale and shift it.

    Shape (b, h, w, c) in and out; statistics in float32. Source: Ulyanov, Vedaldi, Lempitsky
    (2016), arXiv 1607.08022.
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        channels = input_shape[-1]
        self.gamma = self.add_weight(
            shape=(channels,), initializer="ones", name="gamma", autocast=False
        )
        self.beta = self.add_weight(
            shape=(channels,), initializer="zeros", name="beta", autocast=False
        )

    def call(self, x):
        gamma, beta = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        return normalization.instance_normalization(x, gamma, beta, self.epsilon)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@register
class ReflectionPadding2D(keras.layers.Layer):
    """Mirror ``padding`` pixels at each side: (b, h, w, c) -> (b, h + 2 p, w + 2 p, c)."""

    def __init__(self, padding=1, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x):
        return kernels.reflection_pad(x, *(self.padding,) * 4)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        more = 2 * self.padding
        height = None if height is None else height + more
        width = None if width is None else width + more
        return batch, height, width, channels

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@register
class PadToMultiple(keras.layers.Layer):
    """Mirror the image at its lower and right border up to the next multiple of ``multiple``."""

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x):
        height, width = ops.shape(x)[1:3]
        return kernels.reflection_pad(x, 0, -height % self.multiple, 0, -width % self.multiple)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        height = None if height is None else height + -height % self.multiple
        width = None if width is None else width + -width % self.multiple
        return batch, height, width, channels

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@register
class CropLike(keras.layers.Layer):
    """Undo ``PadToMultiple``: cut x to the height and width of ``image``."""

    def call(self, x, image):
        height, width = ops.shape(image)[1:3]
        return x[:, :height, :width, :]

    def compute_output_shape(self, x_shape, image_shape):
        return (*image_shape[:3], x_shape[-1])

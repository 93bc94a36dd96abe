"""A trained network made ready to be run over many images: less work for the same output.

Batch normalisation in inference mode multiplies and adds constants: after a convolution they go
into its kernel and bias (Jacob et al., arXiv 1712.05877, section 3.2). With TensorFlow transposed
convolutions become others that hold less memory.
"""

from collections import Counter
from functools import partial

import keras
import numpy as np
from keras import ops

from models import backend, layers
from models.fast import normalization
from models.fast.lean_networks import nodes_in_order, run_through


class ScaleAndShift(keras.layers.Layer):
    """scale * x + shift, one number a channel each: (..., c) -> (..., c). Never saved."""

    def build(self, input_shape):
        channels = input_shape[-1:]
        self.scale = self.add_weight(shape=channels, initializer="ones", autocast=False)
        self.shift = self.add_weight(shape=channels, initializer="zeros", autocast=False)

    def call(self, x):
        scale, shift = ops.convert_to_tensor(self.scale), ops.convert_to_tensor(self.shift)
        return ops.cast(normalization.scale_and_shift(x, scale, shift), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


class ShuffledConv2DTranspose(layers.Conv2DTranspose):
    """A transposed convolution whose windows of 2 x 2 do not overlap, by one of single pixels.

    The channels of each pixel become those of four. For TensorFlow. Never saved. Source: Shi et
    al., arXiv 1609.05158.
    """

    def call(self, inputs):
        """Return (b, 2 h, 2 w, out) of inputs (b, h, w, in)."""
        kernel = ops.transpose(ops.convert_to_tensor(self.kernel), (3, 0, 1, 2))
        kernel = ops.reshape(kernel, (1, 1, -1, 4 * self.filters))
        y = backend.tf.nn.conv2d(inputs, kernel, 1, "VALID")
        if self.use_bias:
            y = y + ops.tile(ops.convert_to_tensor(self.bias), 4)
        return self.activation(backend.tf.nn.depth_to_space(y, 2))


class OverwritingReLU(keras.layers.Layer):
    """max(x, 0) in x's memory, where the backend can. Never saved."""

    def call(self, x):
        return x.relu_() if backend.BACKEND == "torch" else ops.relu(x)

    def compute_output_shape(self, input_shape):
        return input_shape


def prepare(network):
    """Return ``predict(x) -> network(x)`` in inference mode, NumPy in and out, float32.

    ``network`` is a functional ``keras.Model`` of one input and one output. TensorFlow makes one
    graph of it, at the first call, for all sizes that the input leaves open.
    """
    network = fold_batch_normalization(network)
    run = backend.compile_for_open_sizes(partial(run_through, network), network.input_shape)
    return partial(backend.run_without_gradients, run)


def fold_batch_normalization(network):
    """Return a network that gives, in inference mode only, what ``network`` gives.

    A batch normalisation becomes part of the convolution before it, or one multiplication and
    addition. A ReLU becomes the activation of the convolution before it, or overwrites a sum that
    nothing else takes. A transposed convolution whose windows do not overlap becomes one of single
    pixels where that holds less memory. All other layers are those of ``network``: train neither
    after that.
    """
    nodes = list(nodes_in_order(network))
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    takers = {id(tensor): node for node in nodes for tensor in node.input_tensors}
    tensors = {id(network.input): keras.Input(network.input_shape[1:])}
    fresh = set()  # sums for one taker only: they may be overwritten
    folded = set()

    def next_if(is_kind, node):
        """Return the only node that takes what ``node`` gives, if its layer is of a kind."""
        (output,) = node.outputs
        taker = takers.get(id(output)) if uses[id(output)] == 1 else None
        return taker if taker and is_kind(taker.operation) else None

    for number, node in enumerate(nodes):
        if node in folded:
            continue
        # Keras's own names might be those of layers that were loaded from a file.
        name = f"prepared_{number}"
        layer, last, weights = node.operation, node, None
        arguments, options = node.arguments.fill_in(tensors)
        if _is_plain_convolution(layer):
            norm = next_if(_is_batch_normalization, node)
            last = norm or node
            relu = next_if(_is_relu, last)
            if norm or relu:
                layer, weights = _folded_convolution(name, layer, norm and norm.operation, relu)
            last = relu or last
            folded |= {norm, relu}
        elif _is_batch_normalization(layer):
            weights = _constants_of(layer)
            layer, options = ScaleAndShift(name=name, dtype=layer.dtype_policy), {}
        elif _is_better_shuffled(layer):
            weights = layer.get_weights()
            layer = ShuffledConv2DTranspose.from_config({**layer.get_config(), "name": name})
        elif _is_relu(layer) and id(node.input_tensors[0]) in fresh:
            layer = OverwritingReLU(name=name, dtype=layer.dtype_policy)
        (output,) = last.outputs
        tensors[id(output)] = layer(*arguments, **options)
        if weights:
            layer.set_weights(weights)
        if uses[id(output)] == 1 and isinstance(layer, layers.Sum):
            fresh.add(id(output))
    return keras.Model(tensors[id(network.input)], tensors[id(network.output)])


def _constants_of(layer):
    """Return what a batch normalisation multiplies each channel with and then adds, NumPy (c,)."""
    number = keras.ops.convert_to_numpy
    scale = 1.0 / np.sqrt(number(layer.moving_variance) + layer.epsilon)
    scale = scale * number(layer.gamma) if layer.scale else scale
    shift = number(layer.beta) if layer.center else 0.0
    return [scale, shift - number(layer.moving_mean) * scale]


def _folded_convolution(name, convolution, norm, relu):
    """Return a convolution that does the normalisation and the ReLU behind it too, and its weights.

    ``norm`` and ``relu`` are the layers; either may be None.
    """
    kernel, *bias = (keras.ops.convert_to_numpy(weight) for weight in convolution.weights)
    bias = sum(bias) + np.zeros(convolution.filters, np.float32)
    if norm:
        scale, shift = _constants_of(norm)
        kernel, bias = kernel * scale, bias * scale + shift
    layer = layers.Conv2D(
        convolution.filters,
        convolution.kernel_size,
        strides=convolution.strides,
        padding=convolution.padding,
        data_format=convolution.data_format,
        activation="relu" if relu else None,
        name=name,
        dtype=convolution.dtype_policy,
    )
    return layer, [kernel, bias]


def _is_better_shuffled(layer):
    # For each size of image TensorFlow keeps the work space of a transposed convolution in
    # bfloat16 on a CPU: 80 MB of the UNet's for one of 1024 x 712.
    if backend.BACKEND == "torch" or backend.has_gpu():
        return False
    return (
        type(layer) in (keras.layers.Conv2DTranspose, layers.Conv2DTranspose)
        and layer.compute_dtype == "bfloat16"
        and layer.kernel_size == layer.strides == (2, 2)
        and (layer.padding, layer.output_padding, layer.dilation_rate) == ("same", None, (1, 1))
        and layer.data_format == "channels_last"
    )


def _is_plain_convolution(layer):
    return (
        type(layer) in (keras.layers.Conv2D, layers.Conv2D)  # others do more
        and layer.activation is keras.activations.linear
        and (layer.groups, layer.dilation_rate) == (1, (1, 1))
    )


def _is_batch_normalization(layer):
    return isinstance(layer, keras.layers.BatchNormalization) and layer.axis == -1


def _is_relu(layer):
    if isinstance(layer, keras.layers.ReLU):
        return (layer.negative_slope, layer.max_value, layer.threshold) == (0, None, 0)
    is_activation = isinstance(layer, keras.layers.Activation)
    return is_activation and layer.activation is keras.activations.relu

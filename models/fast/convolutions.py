"""Fast convolutions behind the layers of ``layers.py``, for each backend.

All image tensors are (batch, height, width, channels), kernels (height, width, in, out). A
convolution, and each of its gradients, is a matrix product over the pixels, once for each place of
the kernel (Chellapilla et al., 2006). PyTorch's are in ``torch_convolutions.py``.
"""

from keras import ops

from models import backend, processor
from models.backend import BACKEND, tf
from models.fast import torch_convolutions

# Where TensorFlow is slow at kernels' gradients (`models.processor`), in float32, matrix products
# are faster from fewer channels on already, but then they hold large images longer, 0.6 GB in the
# UNet's step.
CHANNELS_FOR_PRODUCTS = 64


def is_faster_here(layer, channels):
    """Return whether ``convolution`` should do the work of a Conv2D layer on so many channels."""
    if layer.groups > 1 or layer.dilation_rate != (1, 1) or len({*layer.strides}) > 1:
        return False
    if BACKEND == "torch":
        return True
    large = min(channels, layer.filters) >= CHANNELS_FOR_PRODUCTS and max(layer.kernel_size) > 1
    plain = layer.strides == (1, 1) and layer.compute_dtype == "float32"
    slow = not backend.has_gpu() and processor.has_slow_kernel_gradients()
    return large and plain and slow


def convolution(x, kernel, bias, stride, padding, relu=False):
    """2-D convolution of (b, h, w, in) with a (kh, kw, in, out) kernel; padding same or valid.

    For layers that ``is_faster_here`` allows. With ``relu`` max(y, 0), which costs nothing where
    torch runs a network on a CPU without training it.
    """
    if BACKEND == "torch":
        return torch_convolutions.convolution(x, kernel, bias, stride, padding, relu)
    y = _tf_convolution(x, kernel, padding)
    y = y if bias is None else y + bias
    return tf.nn.relu(y) if relu else y


def resize_convolution(x, kernel, bias, edge):
    """2-D convolution of x (b, h, w, in) enlarged twice by nearest neighbour: (b, 2 h, 2 w, out).

    The kernel is (k, k, in, out), k odd; ``edge`` "zeros" or "mirrored" (see ``ResizeConv2D``).
    Four pixels of the enlarged image are equal, so that their weights are added up first: this is
    a transposed convolution by (k + 1, k + 1), in 16 of 36 multiplications where k is 3.
    """
    if edge == "mirrored":  # so that its border pixels are doubled once more
        x = ops.concatenate([x[:, :1], x, x[:, -1:]], 1)
        x = ops.concatenate([x[:, :, :1], x, x[:, :, -1:]], 2)
    kernel = ops.transpose(ops.flip(kernel, (0, 1)), (0, 1, 3, 2))
    places = [(row, column) for row in range(2) for column in range(2)]
    kernel = sum(backend.pad(kernel, ((r, 1 - r), (c, 1 - c), (0, 0), (0, 0))) for r, c in places)
    if BACKEND == "torch":
        y = torch_convolutions.transposed_convolution(x, kernel, bias, 2)
    else:
        batch, height, width, _ = ops.shape(x)
        shape = (batch, 2 * height, 2 * width, kernel.shape[2])
        y = tf.nn.conv2d_transpose(x, kernel, shape, 2)
        y = y if bias is None else y + bias
    return y[:, 2:-2, 2:-2] if edge == "mirrored" else y


def _tf_convolution(x, kernel, padding):
    """Convolution of stride 1, its kernel's gradient by matrix products."""

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradient(upstream):
            to_x = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(x), 1, padding.upper())
            return to_x, _tf_kernel_gradient(x, upstream, kernel.shape, padding)

        return tf.nn.conv2d(x, kernel, 1, padding.upper()), gradient

    return convolve(x, tf.convert_to_tensor(kernel))  # a variable it would take for its own


def _tf_kernel_gradient(x, upstream, shape, padding):
    rows, columns = shape[:2]
    if padding == "same":
        around = [((size - 1) // 2, size // 2) for size in (rows, columns)]
        x = tf.pad(x, ((0, 0), *around, (0, 0)))
    height, width, out = ops.shape(upstream)[1:]
    upstream = tf.reshape(upstream, (-1, out))
    products = []
    for row in range(rows):
        for column in range(columns):
            with tf.control_dependencies(products[-1:]):  # one copy of x in memory at a time
                seen = x[:, row : row + height, column : column + width]
            seen = tf.reshape(seen, (-1, x.shape[-1]))
            products.append(tf.matmul(seen, upstream, transpose_a=True))
    return tf.reshape(tf.stack(products), shape)

"""Fast kernels behind the layers of ``layers.py``, for each backend.

All image tensors are (batch, height, width, channels). Source of the torch kernels' form: Keras
3.15 copies every activation twice around a convolution to change its layout; a permuted view of
the same memory is PyTorch's ``channels_last`` format, which needs no copy.
"""

import numpy as np
from keras import ops

from models.backend import BACKEND, has_gpu, tf, torch

functional = torch and torch.nn.functional

# --- Convolutions and pooling -----------------------------------------------------------------
# Those for torch have no twin for TensorFlow, whose own have nothing to gain.


def _same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _torch_kernel(kernel, device_type):
    # PyTorch's order, in the memory format its convolutions want: cuDNN the images' own, the CPU
    # the plain one (its path for small images refuses others).
    plain = torch.contiguous_format
    memory_format = torch.channels_last if device_type == "cuda" else plain
    return kernel.permute(3, 2, 0, 1).contiguous(memory_format=memory_format)


def torch_convolution(x, kernel, bias, stride, padding):
    """2-D convolution of (b, h, w, in) with a (kh, kw, in, out) kernel; padding same or valid."""
    x = x.permute(0, 3, 1, 2)
    amount = 0
    if padding == "same":
        top, bottom = _same_padding(x.shape[2], kernel.shape[0], stride)
        left, right = _same_padding(x.shape[3], kernel.shape[1], stride)
        if top == bottom and left == right:
            amount = (top, left)
        else:
            x = functional.pad(x, (left, right, top, bottom))
    y = functional.conv2d(x, _torch_kernel(kernel, x.device.type), bias, stride, amount)
    return y.permute(0, 2, 3, 1)


BLOCK = 4  # pixels, along each side


def is_faster_in_blocks(layer):
    """Return whether ``convolution_in_blocks`` can and should do what a Conv2D layer does."""
    simple = layer.padding == "valid" and {*layer.strides, *layer.dilation_rate, layer.groups} == {
        1
    }
    return simple and layer.filters == 1 and layer.kernel_size[0] >= BLOCK and not has_gpu()


def convolution_in_blocks(x, kernel, bias):
    """2-D convolution, padding "valid", of (b, h, w, in) with a (k, k, in, 1) kernel.

    CPUs compute several output channels at once, so that a convolution with a single one takes
    as long as one with many. Here the pixels of a block are the channels: of the output's they
    become, of the kernel shifted to each of them, and of the input's. About three times the
    multiplications, in less than half of the time.
    """
    size, inputs = kernel.shape[0], kernel.shape[2]
    blocks = -(-(size + BLOCK - 1) // BLOCK)  # that the kernel reaches from one block, each way
    height, width = (side - size + 1 for side in x.shape[1:3])  # of the output
    more = [-(-side // BLOCK) * BLOCK + (blocks - 1) * BLOCK for side in (height, width)]
    more = [wanted - there for wanted, there in zip(more, x.shape[1:3], strict=True)]
    x = _to_blocks(ops.pad(x, ((0, 0), (0, more[0]), (0, more[1]), (0, 0))))

    rest = blocks * BLOCK - size
    places = [(row, column) for row in range(BLOCK) for column in range(BLOCK)]
    shifted = [
        ops.pad(kernel[..., 0], ((row, rest - row), (column, rest - column), (0, 0)))
        for row, column in places
    ]
    in_blocks = ops.reshape(
        ops.stack(shifted, -1), (blocks, BLOCK, blocks, BLOCK, inputs, len(places))
    )
    in_blocks = ops.reshape(
        ops.transpose(in_blocks, (0, 2, 1, 3, 4, 5)), (blocks, blocks, -1, len(places))
    )
    if BACKEND == "torch":
        y = torch_convolution(x, in_blocks, None, 1, "valid")
    else:
        y = tf.nn.convolution(x, in_blocks)
    y = _from_blocks(y)[:, :height, :width]
    return y if bias is None else y + bias


def _to_blocks(x):
    """Return (b, h, w, c) as (b, h / BLOCK, w / BLOCK, BLOCK ** 2 * c)."""
    batch, height, width, channels = x.shape
    x = ops.reshape(x, (batch, height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height // BLOCK, width // BLOCK, BLOCK**2 * channels))


def _from_blocks(x):
    """Undo ``_to_blocks`` for one channel: (b, h, w, BLOCK ** 2) -> (b, h BLOCK, w BLOCK, 1)."""
    batch, height, width, _ = x.shape
    x = ops.transpose(ops.reshape(x, (batch, height, width, BLOCK, BLOCK)), (0, 1, 3, 2, 4))
    return ops.reshape(x, (batch, height * BLOCK, width * BLOCK, 1))


def torch_transposed_convolution(x, kernel, bias, stride):
    """Transposed convolution, padding "same": (b, h, w, in) -> (b, stride h, stride w, out).

    The kernel is (kh, kw, out, in). What sticks out of the "same" frame is cut off at the end,
    as in TensorFlow, before at the start.
    """
    x = x.permute(0, 3, 1, 2)
    y = functional.conv_transpose2d(x, _torch_kernel(kernel, x.device.type), bias, stride)
    height, width = stride * x.shape[2], stride * x.shape[3]
    top = max(y.shape[2] - height, 0) // 2
    left = max(y.shape[3] - width, 0) // 2
    return y[:, :, top : top + height, left : left + width].permute(0, 2, 3, 1)


def torch_max_pool(x):
    """Maximum over 2 x 2 windows."""
    return functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def torch_upsample(x):
    """Twice the height and width, nearest neighbour."""
    return functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="nearest").permute(
        0, 2, 3, 1
    )


# --- Normalisation ----------------------------------------------------------------------------
# Each comes with its own first derivative: what automatic differentiation makes of the formulas
# goes over the memory twice as often. Second derivatives are not theirs to give.

# Of multiples of so many channels TensorFlow's batch normalisation is fast on a CPU.
CHANNELS_AT_A_TIME = 16


def batch_normalization(x, gamma, beta, epsilon):
    """Normalise (b, h, w, c) with the batch's own statistics; return (y, mean, variance).

    The variance is the biased one, as in Keras. ``gamma`` None is 1.
    """
    gamma = ops.ones_like(beta) if gamma is None else gamma
    if BACKEND == "torch":
        y, mean, inverse_deviation = torch.native_batch_norm(
            x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
        )
        variance = inverse_deviation.detach() ** -2 - epsilon
        return y.permute(0, 2, 3, 1), mean.detach(), variance
    if not has_gpu() and x.shape[-1] % CHANNELS_AT_A_TIME:
        y, mean, variance = _tf_normalise(tf.cast(x, tf.float32), gamma, beta, epsilon, groups=1)
        return y, mean[0, 0], variance[0, 0]
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
    biased = variance * (count - 1.0) / count
    return y, tf.stop_gradient(mean), tf.stop_gradient(biased)


def update_moving_average(variable, value, momentum):
    """Set a variable to momentum * variable + (1 - momentum) * value, without copies to a GPU."""
    if BACKEND == "torch":
        with torch.no_grad():
            variable.value.lerp_(value.to(variable.value.dtype), 1.0 - momentum)
        return
    variable.assign(variable.value * momentum + value * (1.0 - momentum))


def instance_normalization(x, gamma, beta, epsilon):
    """Normalise each channel of each image (b, h, w, c) over its pixels, in float32."""
    if BACKEND == "torch":
        return _TorchInstanceNormalization.apply(x.float(), gamma, beta, epsilon).to(x.dtype)
    y, _, _ = _tf_normalise(tf.cast(x, tf.float32), gamma, beta, epsilon, groups=x.shape[0])
    return tf.cast(y, x.dtype)


def _tf_normalise(x, gamma, beta, epsilon, groups):
    """Normalise float32 (b, h, w, c) over the pixels of each of ``groups`` parts of the batch.

    Returns y, and the means and biased variances, (groups, 1, c). Rows of w * c numbers are
    computed on, because loops over a few channels are slow.
    """
    shape, (width, channels) = x.shape, x.shape[2:]
    count = float(np.prod(shape[:3]) // groups)

    def as_rows(t):
        return tf.reshape(t, (groups, -1, width * channels))

    def mean_of(rows):
        sums = tf.reshape(tf.reduce_sum(rows, axis=1), (groups, width, channels))
        return tf.reduce_sum(sums, axis=1, keepdims=True) / count

    def along_row(per_channel):
        return tf.tile(per_channel, (1, 1, width))

    rows = as_rows(tf.stop_gradient(x))
    mean = mean_of(rows)
    centred = rows - along_row(mean)
    variance = mean_of(tf.square(centred))
    inverse_deviation = tf.math.rsqrt(variance + epsilon)
    gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)  # no variables

    @tf.custom_gradient
    def scale_and_shift(x, gamma, beta):
        shift = tf.broadcast_to(beta, mean.shape)
        y = centred * along_row(inverse_deviation * gamma) + along_row(shift)

        def gradient(upstream):
            upstream = as_rows(upstream)
            to_beta = mean_of(upstream)
            to_gamma = mean_of(upstream * centred) * inverse_deviation
            scale = inverse_deviation * gamma
            along_mean = along_row(scale * to_beta)
            along_deviation = centred * along_row(scale * inverse_deviation * to_gamma)
            to_x = upstream * along_row(scale) - (along_deviation + along_mean)
            of_channels = [tf.reduce_sum(t, axis=(0, 1)) * count for t in (to_gamma, to_beta)]
            return tf.reshape(to_x, shape), *of_channels

        return tf.reshape(y, shape), gradient

    return scale_and_shift(x, gamma, beta), mean, variance


if BACKEND == "torch":

    class _TorchInstanceNormalization(torch.autograd.Function):
        """``instance_normalization`` of float32 (b, h, w, c)."""

        @staticmethod
        def forward(context, x, gamma, beta, epsilon):
            if x.is_cuda:  # one pass over the memory; on a CPU this goes pixel by pixel
                variance, mean = torch.var_mean(x, dim=(1, 2), correction=0, keepdim=True)
                centred = x - mean
            else:
                centred = x - _mean_of_pixels(x)
                variance = _mean_of_pixels(centred.square())
            inverse_deviation = torch.rsqrt(variance + epsilon)
            context.save_for_backward(centred, inverse_deviation, gamma)
            return torch.addcmul(beta, centred, inverse_deviation * gamma)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, upstream):
            centred, inverse_deviation, gamma = context.saved_tensors
            count = upstream.shape[1] * upstream.shape[2]
            to_beta = _mean_of_pixels(upstream)
            to_gamma = _mean_of_pixels(upstream * centred) * inverse_deviation
            scale = inverse_deviation * gamma
            to_x = torch.addcmul(-scale * to_beta, upstream, scale)
            to_x.addcmul_(centred, -scale * inverse_deviation * to_gamma)
            of_channels = [t.sum(dim=(0, 1, 2)) * count for t in (to_gamma, to_beta)]
            return to_x, *of_channels, None


def _mean_of_pixels(x):
    """Return the mean over height and width, torch (b, 1, 1, c); along long rows first."""
    batch, _, width, channels = x.shape
    sums = x.reshape(batch, -1, width * channels).sum(1).view(batch, width, channels).sum(1)
    return sums.view(batch, 1, 1, channels) / (x.shape[1] * width)


# --- Padding ----------------------------------------------------------------------------------


def reflection_pad(x, top, bottom, left, right):
    """Mirror the image at its border, without repeating the border pixels."""
    if BACKEND == "torch" and x.is_cuda and torch.are_deterministic_algorithms_enabled():
        # The usual kernel adds up its derivative in any order.
        return torch_mirror(torch_mirror(x, 1, top, bottom), 2, left, right)
    if BACKEND == "torch":
        x = x.permute(0, 3, 1, 2)
        return functional.pad(x, (left, right, top, bottom), mode="reflect").permute(0, 2, 3, 1)
    return tf.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="REFLECT")


def torch_mirror(x, axis, before, after):
    """Mirror along one axis, by joining flipped parts."""
    size = x.shape[axis]
    start = x.narrow(axis, 1, before).flip(axis)
    end = x.narrow(axis, size - 1 - after, after).flip(axis)
    return torch.cat((start, x, end), axis)

"""Batch normalisation on a CPU by the libraries' own kernels, for any number of channels.

Those kernels are fast for multiples of 16 channels, and many times slower for others, as the
MultiRes UNet has. So here a number of pixels, one after another in memory, are folded into one. It
has as many parts of each channel as pixels were folded, and the kernel takes each part for a
channel of its own. What it finds is put together: the mean of a channel is that of its parts'
means, its variance that of their variances and of how far their means lie apart (Chan et al.,
1979).

The kernels add up numbers one after another in float32. So the statistics of a channel that hardly
varies are less exact than by sums of sums, though more so than without folding; what the UNet sees
has noise.

Image tensors are (batch, height, width, channels), float32, bfloat16 or float16; all else is
float32.
"""

import math

from keras import ops

from models.backend import BACKEND, tf, torch

CHANNELS_AT_A_TIME = 16  # the kernels are fast for multiples of it
# Pixels are folded into one until it has so many channels. Torch's kernel is fast for any number
# above.
FEW_CHANNELS = 64


def pixels_in_one(shape):
    """Return how many pixels of (b, h, w, c) to fold into one: 1 where none should or can be."""
    _, height, width, channels = shape
    count = CHANNELS_AT_A_TIME // math.gcd(CHANNELS_AT_A_TIME, channels)
    if BACKEND == "torch" and channels >= FEW_CHANNELS:
        return 1
    if count == 1 or None in (height, width) or height * width % count:
        return 1
    while count * channels < FEW_CHANNELS and height * width % (2 * count) == 0:
        count *= 2
    return count


def normalise(x, gamma, beta, epsilon, folded):
    """Normalise x (b, h, w, c) over all but the channels, then scale and shift it.

    ``folded`` pixels are taken for one; it divides h * w. Returns y, of the type of x, and the
    means and biased variances (c,), which have no gradients. Do not ask for second derivatives:
    torch raises an error, TensorFlow's are wrong.
    """
    if BACKEND == "torch":
        return _TorchNormalise.apply(x, gamma, beta, epsilon, folded)

    @tf.custom_gradient
    def run(x, gamma, beta):
        """Return y, the means and the variances, and how to get the gradients."""
        y, mean, variance = _forward(x, gamma, beta, epsilon, folded)

        def gradient(upstream, _of_mean, _of_variance):
            """Return the gradients of x, gamma and beta."""
            return _backward(upstream, x, gamma, mean, variance, epsilon, folded)

        return (y, mean, variance), gradient

    y, mean, variance = run(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)


def apply(x, gamma, beta, mean, variance, epsilon):
    """Normalise x (b, h, w, c) by known statistics (c,), in one pass over the memory."""
    if BACKEND == "torch":
        y = torch.native_batch_norm(
            x.permute(0, 3, 1, 2), gamma, beta, mean, variance, False, 0.0, epsilon
        )[0]
        return y.permute(0, 2, 3, 1)
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon,
        is_training=False,
    ).y  # fmt: skip


def _fold(x, folded):
    """Return (b, h, w, c) as (b, h * w / folded, 1, folded * c)."""
    _, height, width, channels = x.shape
    return ops.reshape(x, (-1, height * width // folded, 1, folded * channels))


def _forward(x, gamma, beta, epsilon, folded):
    """Return y, and the means and biased variances (c,)."""
    pixels = _fold(x, folded)
    means, variances = (
        ops.reshape(part, (folded, x.shape[-1])) for part in _statistics(pixels, epsilon)
    )
    mean = ops.mean(means, axis=0)
    variance = ops.mean(variances + (means - mean) ** 2, axis=0)
    vectors = (ops.tile(vector, (folded,)) for vector in (gamma, beta, mean, variance))
    return ops.reshape(apply(pixels, *vectors, epsilon), ops.shape(x)), mean, variance


def _backward(upstream, x, gamma, mean, variance, epsilon, folded):
    """Return the gradients of x, gamma and beta."""
    pixels = _fold(x, folded)
    known = [ops.tile(vector, (folded,)) for vector in (mean, variance)]
    to_pixels, *of_parts = _kernel_gradients(
        _fold(upstream, folded), pixels, ops.tile(gamma, (folded,)), *known, epsilon
    )
    of_parts = [ops.reshape(part, (folded, x.shape[-1])) for part in of_parts]
    to_gamma, to_beta = (ops.sum(part, axis=0) for part in of_parts)
    # The kernel took from the gradient of x the means over a part, not those over all numbers.
    all_numbers = ops.cast(ops.size(x) // x.shape[-1], "float32")
    scale = gamma * ops.rsqrt(variance + epsilon)
    missing = (
        ops.reshape(scale * (part * folded - total) / all_numbers, (-1,))
        for part, total in zip(of_parts, (to_gamma, to_beta), strict=True)
    )
    to_pixels += apply(pixels, *missing, *known, epsilon)
    return ops.reshape(to_pixels, ops.shape(x)), to_gamma, to_beta


def _statistics(x, epsilon):
    """Return the means and biased variances of x (b, h, w, c), each (c,).

    The kernels normalise x by them, too, which is not used: no other gives both so fast.
    """
    channels = x.shape[-1:]
    if BACKEND == "torch":
        ones = x.new_ones(channels, dtype=torch.float32)
        zeros = torch.zeros_like(ones)
        _, mean, inverse_deviation = torch.native_batch_norm(
            x.permute(0, 3, 1, 2), ones, zeros, None, None, True, 0.0, epsilon
        )
        return mean, inverse_deviation**-2 - epsilon
    nothing = tf.zeros((0,))
    found = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=tf.ones(channels), offset=tf.zeros(channels), mean=nothing, variance=nothing,
        epsilon=epsilon, is_training=True,
    )  # fmt: skip
    count = tf.cast(tf.size(x) // channels[0], tf.float32)
    return found.batch_mean, found.batch_variance * (count - 1.0) / count


def _kernel_gradients(upstream, x, gamma, mean, variance, epsilon):
    """Return what the kernel takes for the gradients of x, gamma and beta."""
    if BACKEND == "torch":
        upstream, x = (t.permute(0, 3, 1, 2) for t in (upstream, x))
        to_x, to_gamma, to_beta = torch.ops.aten.native_batch_norm_backward(
            upstream, x, gamma, None, None, mean, torch.rsqrt(variance + epsilon), True, epsilon,
            [True, True, True],
        )  # fmt: skip
        return to_x.permute(0, 2, 3, 1), to_gamma, to_beta
    found = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream, x=x, scale=gamma, reserve_space_1=mean, reserve_space_2=variance,
        reserve_space_3=tf.zeros((0,)), epsilon=epsilon, is_training=True,
    )  # fmt: skip
    return found.x_backprop, found.scale_backprop, found.offset_backprop


if BACKEND == "torch":

    class _TorchNormalise(torch.autograd.Function):
        """``normalise``."""

        @staticmethod
        def forward(context, x, gamma, beta, epsilon, folded):
            """Return y, the means and the variances."""
            x = x.contiguous()
            y, mean, variance = _forward(x, gamma, beta, epsilon, folded)
            context.save_for_backward(x, gamma, mean, variance)
            context.how = epsilon, folded
            context.mark_non_differentiable(mean, variance)
            return y, mean, variance

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, upstream, _of_mean, _of_variance):
            """Return the gradients of x, gamma and beta; the others have none."""
            gradients = _backward(upstream.contiguous(), *context.saved_tensors, *context.how)
            return *gradients, None, None

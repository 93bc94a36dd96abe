"""Batch and instance normalisation for each backend, behind the layers of ``layers.py``.

Each comes with its own first derivative: what automatic differentiation makes of the formulas goes
over the memory twice as often. Second derivatives must not be asked for. All image tensors are
(batch, height, width, channels). Sources: Ioffe and Szegedy, arXiv 1502.03167 (section 3, with the
derivatives); Ulyanov et al., arXiv 1607.08022.
"""

import math
from functools import partial

from keras import ops

from models import backend
from models.backend import BACKEND, tf, torch
from models.fast import folded_normalization, triton_normalization

# For images of so many numbers a CPU's memory is the limit, and fewer passes over it are faster.
# For smaller ones, in float32, TensorFlow's formulas are, above all without AVX-512.
LARGE = 2**19


def _by_triton(x):
    return BACKEND == "torch" and x.is_cuda and triton_normalization.is_available(x.dtype)


def batch_normalization(x, gamma, beta, epsilon):
    """Normalise (b, h, w, c) with the batch's own statistics; return (y, mean, variance).

    The variance is the biased one, as in Keras. ``gamma`` None is 1.
    """
    gamma = ops.ones_like(beta) if gamma is None else gamma
    channels = x.shape[-1]
    if _by_triton(x):
        y, mean, inverse_deviation = triton_normalization.normalise(
            x.reshape(1, -1, channels), gamma, beta, epsilon
        )
        return y.view(x.shape), mean[0], inverse_deviation[0] ** -2 - epsilon
    folded = 1 if backend.has_gpu() else folded_normalization.pixels_in_one(x.shape)
    if folded > 1 and (BACKEND == "torch" or _is_half(x) or _is_large(x)):
        return folded_normalization.normalise(x, gamma, beta, epsilon, folded)
    if BACKEND == "torch":
        y, mean, inverse_deviation = torch.native_batch_norm(
            x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
        )
        mean, variance = mean.detach(), inverse_deviation.detach() ** -2 - epsilon
        return y.permute(0, 2, 3, 1), mean, variance
    shape = tf.shape(x)
    if not backend.has_gpu() and channels % folded_normalization.CHANNELS_AT_A_TIME:
        one = tf.reshape(x, (1, -1, shape[2], channels))
        y, mean, variance = _tf_normalise_each(one, gamma, beta, epsilon)
        return tf.reshape(y, shape), mean[0, 0], variance[0, 0]
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(x) // channels, tf.float32)
    biased = variance * (count - 1.0) / count
    return y, tf.stop_gradient(mean), tf.stop_gradient(biased)


def update_moving_average(variable, value, momentum):
    """Set a variable to momentum * variable + (1 - momentum) * value, without copies to a GPU."""
    if BACKEND == "torch":
        with torch.no_grad():
            variable.value.lerp_(value.to(variable.value.dtype), 1.0 - momentum)
        return
    variable.assign(variable.value * momentum + value * (1.0 - momentum))


def scale_and_shift(x, scale, shift):
    """Return scale * x + shift of (..., c), scale and shift (c,).

    Of the type of x for images on a CPU, else float32.
    """
    if backend.has_gpu() or len(x.shape) != 4:
        if BACKEND == "torch":
            return torch.addcmul(shift, x, scale)
        return tf.cast(x, tf.float32) * scale + shift
    # One pass over the memory: of a row as one pixel, whose mean is 0 and whose variance is 1.
    # (The shape is one tensor, so that TensorFlow knows y's to be that of x, and fuses their sum.)
    shape = x.shape if BACKEND == "torch" else tf.shape(x)
    rows = ops.reshape(x, (shape[0], shape[1], 1, shape[2] * x.shape[3]))
    scale, shift = (ops.tile(vector, (shape[2],)) for vector in (scale, shift))
    zeros = ops.zeros_like(shift)
    y = folded_normalization.apply(rows, scale, shift, zeros, zeros + 1.0, 0.0)
    return ops.reshape(y, shape)


def instance_normalization(x, gamma, beta, epsilon):
    """Normalise each channel of each image (b, h, w, c) over its pixels, in float32."""
    if _by_triton(x):
        pixels = x.reshape(len(x), -1, x.shape[-1])
        return triton_normalization.normalise(pixels, gamma, beta, epsilon)[0].view(x.shape)
    if None not in x.shape and _is_half(x) and _is_large(x) and not backend.has_gpu():
        images = ops.split(x, x.shape[0])
        row = x.shape[2]  # its sums of many short columns are exact enough for masks
        one = partial(folded_normalization.normalise, folded=row)
        return ops.concatenate([one(image, gamma, beta, epsilon)[0] for image in images])
    if BACKEND == "torch":
        return _TorchInstanceNormalization.apply(x, gamma, beta, epsilon)
    return _tf_normalise_each(x, gamma, beta, epsilon)[0]


def _is_half(x):
    return ops.dtype(x) != "float32"


def _is_large(x):
    return None not in x.shape[1:] and math.prod(x.shape[1:]) >= LARGE


def _tf_normalise_each(x, gamma, beta, epsilon):
    """``instance_normalization`` by formulas in float32; returns means and variances, too.

    These are (b, 1, c). Rows of w * c numbers are computed on, because loops over a few channels
    are slow.
    """
    shape = ops.shape(x)  # tensors where a size is open
    batch, height, width, channels = shape
    count = tf.cast(height * width, tf.float32)

    def as_rows(t):
        return tf.reshape(tf.cast(t, tf.float32), (batch, height, width * channels))

    def mean_of(rows):
        sums = tf.reshape(tf.reduce_sum(rows, axis=1), (batch, width, channels))
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
        shift = tf.broadcast_to(beta, tf.shape(mean))
        y = centred * along_row(inverse_deviation * gamma) + along_row(shift)

        def gradient(upstream):
            upstream = as_rows(upstream)
            to_beta = mean_of(upstream)
            to_gamma = mean_of(upstream * centred) * inverse_deviation
            scale = inverse_deviation * gamma
            along_mean = along_row(scale * to_beta)
            along_deviation = centred * along_row(scale * inverse_deviation * to_gamma)
            to_x = upstream * along_row(scale) - (along_deviation + along_mean)
            to_x = tf.cast(tf.reshape(to_x, shape), x.dtype)
            return to_x, *(tf.reduce_sum(t, axis=(0, 1)) * count for t in (to_gamma, to_beta))

        return tf.cast(tf.reshape(y, shape), x.dtype), gradient

    return scale_and_shift(x, gamma, beta), mean, variance


if BACKEND == "torch":

    class _TorchInstanceNormalization(torch.autograd.Function):
        """``instance_normalization`` of (b, h, w, c), float32 or half of it.

        Of half precision x itself is kept for the derivative, which takes half of the memory.
        """

        @staticmethod
        def forward(context, x, gamma, beta, epsilon):
            wide = x.float()
            if x.is_cuda:  # both in one pass over the memory; on a CPU that goes pixel by pixel
                variance, mean = torch.var_mean(wide, dim=(1, 2), correction=0, keepdim=True)
                centred = wide - mean
            else:
                mean = wide.mean((1, 2), keepdim=True)
                centred = wide - mean
                variance = centred.square().mean((1, 2), keepdim=True)
            inverse_deviation = torch.rsqrt(variance + epsilon)
            kept = (centred, None) if x.dtype == torch.float32 else (x, mean)
            context.save_for_backward(*kept, inverse_deviation, gamma)
            return torch.addcmul(beta, centred, inverse_deviation * gamma).to(x.dtype)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, upstream):
            kept, mean, inverse_deviation, gamma = context.saved_tensors
            centred = kept if mean is None else kept.float() - mean
            upstream = upstream.float()
            count = upstream.shape[1] * upstream.shape[2]
            to_beta = upstream.mean((1, 2), keepdim=True)
            to_gamma = (upstream * centred).mean((1, 2), keepdim=True) * inverse_deviation
            scale = inverse_deviation * gamma
            to_x = torch.addcmul(-scale * to_beta, upstream, scale)
            to_x.addcmul_(centred, -scale * inverse_deviation * to_gamma)
            of_channels = [t.sum(dim=(0, 1, 2)) * count for t in (to_gamma, to_beta)]
            return to_x.to(kept.dtype), *of_channels, None

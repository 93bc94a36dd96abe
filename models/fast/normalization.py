"""Batch and instance normalisation for each backend, behind the layers of ``layers.py``.

Each comes with its own first derivative: what automatic differentiation makes of the formulas goes
over the memory twice as often. Second derivatives are not theirs to give. All image tensors are
(batch, height, width, channels). Sources: Ioffe and Szegedy, arXiv 1502.03167 (section 3, with the
derivatives); Ulyanov et al., arXiv 1607.08022.
"""

from keras import ops

from models import backend
from models.backend import BACKEND, tf, torch
from models.fast import triton_normalization

# Of multiples of so many channels TensorFlow's batch normalisation is fast on a CPU.
CHANNELS_AT_A_TIME = 16
# Of multiples of so many, and of so many or more, torch's own is. It adds up numbers one after
# another, which rounds alike what is constant: not for masks, so not for instance normalisation.
# (What the UNet sees has noise.)
CHANNELS_OF_TORCH, MANY_CHANNELS_OF_TORCH = 8, 64
# With torch on a CPU so many numbers are computed on at once, for the processor's cache to hold.
NUMBERS_AT_A_TIME = 2**20


def _by_triton(x):
    return BACKEND == "torch" and x.is_cuda and triton_normalization.is_available()


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
    is_slow = channels < MANY_CHANNELS_OF_TORCH and channels % CHANNELS_OF_TORCH != 0
    if BACKEND == "torch" and is_slow and not x.is_cuda:
        return _TorchBatchNormalization.apply(x.float(), gamma, beta, epsilon)
    if BACKEND == "torch":
        y, mean, inverse_deviation = _torch_batch_norm(x, gamma, beta, epsilon)
        return y, mean.detach(), inverse_deviation.detach() ** -2 - epsilon
    if not backend.has_gpu() and channels % CHANNELS_AT_A_TIME:
        y, mean, variance = _tf_normalise(tf.cast(x, tf.float32), gamma, beta, epsilon, groups=1)
        return y, mean[0, 0], variance[0, 0]
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
    biased = variance * (count - 1.0) / count
    return y, tf.stop_gradient(mean), tf.stop_gradient(biased)


def _torch_batch_norm(x, gamma, beta, epsilon):
    """PyTorch's own of (b, h, w, c): y, the means and the inverse standard deviations."""
    y, mean, inverse_deviation = torch.native_batch_norm(
        x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
    )
    return y.permute(0, 2, 3, 1), mean, inverse_deviation


def update_moving_average(variable, value, momentum):
    """Set a variable to momentum * variable + (1 - momentum) * value, without copies to a GPU."""
    if BACKEND == "torch":
        with torch.no_grad():
            variable.value.lerp_(value.to(variable.value.dtype), 1.0 - momentum)
        return
    variable.assign(variable.value * momentum + value * (1.0 - momentum))


def scale_and_shift(x, scale, shift):
    """Return scale * x + shift of (..., c), scale and shift (c,), in float32."""
    if BACKEND == "torch":
        return torch.addcmul(shift, x, scale)
    x = tf.cast(x, tf.float32)
    if len(x.shape) != 4 or backend.has_gpu():
        return x * scale + shift
    channels = x.shape[-1]
    if channels % CHANNELS_AT_A_TIME == 0:  # one pass: the mean is 0 and the variance 1
        zeros = tf.zeros_like(shift)
        return tf.compat.v1.nn.fused_batch_norm(
            x, scale, shift, zeros, zeros + 1.0, epsilon=0.0, is_training=False
        )[0]
    shape = tf.shape(x)
    rows = tf.reshape(x, (shape[0] * shape[1], shape[2] * channels))
    scale, shift = (tf.tile(t, shape[2:3]) for t in (scale, shift))
    return tf.reshape(rows * scale + shift, shape)


def instance_normalization(x, gamma, beta, epsilon):
    """Normalise each channel of each image (b, h, w, c) over its pixels, in float32."""
    if _by_triton(x):
        pixels = x.reshape(len(x), -1, x.shape[-1])
        return triton_normalization.normalise(pixels, gamma, beta, epsilon)[0].view(x.shape)
    if BACKEND == "torch":
        return _TorchInstanceNormalization.apply(x, gamma, beta, epsilon)
    groups = ops.shape(x)[0]
    y, _, _ = _tf_normalise(tf.cast(x, tf.float32), gamma, beta, epsilon, groups)
    return tf.cast(y, x.dtype)


def _tf_normalise(x, gamma, beta, epsilon, groups):
    """Normalise float32 (b, h, w, c) over the pixels of each of ``groups`` parts of the batch.

    Returns y, and the means and biased variances, (groups, 1, c). Rows of w * c numbers are
    computed on, because loops over a few channels are slow.
    """
    shape = ops.shape(x)  # tensors where a size is open
    width, channels = shape[2:]
    count = tf.cast(shape[0] * shape[1] * width // groups, tf.float32)

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
            of_channels = [tf.reduce_sum(t, axis=(0, 1)) * count for t in (to_gamma, to_beta)]
            return tf.reshape(to_x, shape), *of_channels

        return tf.reshape(y, shape), gradient

    return scale_and_shift(x, gamma, beta), mean, variance


if BACKEND == "torch":

    def _sums(function, rows, channels):
        """Return the sums of function(part) over parts of rows (r, w * c), by channel: (c,)."""
        sums = sum(function(part).sum(0) for part in _parts(rows))
        return sums.view(-1, channels).sum(0)

    def _parts(rows):
        at_a_time = max(NUMBERS_AT_A_TIME // rows.shape[1], 1)
        return [slice(row, row + at_a_time) for row in range(0, len(rows), at_a_time)]

    class _TorchBatchNormalization(torch.autograd.Function):
        """``batch_normalization`` of float32 (b, h, w, c), for a CPU.

        Rows of w * c numbers are computed on, because loops over a few channels are slow.
        """

        @staticmethod
        def forward(context, x, gamma, beta, epsilon):
            x = x.contiguous()
            width, channels = x.shape[2:]
            rows = x.view(-1, width * channels)
            count = len(rows) * width
            mean = _sums(lambda part: rows[part], rows, channels) / count
            means = mean.repeat(width)
            squares = _sums(lambda part: (rows[part] - means).square_(), rows, channels)
            variance = squares / count
            inverse_deviation = torch.rsqrt(variance + epsilon)
            scale = inverse_deviation * gamma
            scales, shifts = (t.repeat(width) for t in (scale, beta - mean * scale))
            y = torch.empty_like(rows)
            for part in _parts(rows):
                torch.addcmul(shifts, rows[part], scales, out=y[part])
            context.save_for_backward(x, mean, inverse_deviation, gamma)
            context.mark_non_differentiable(mean, variance)
            return y.view(x.shape), mean, variance

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, upstream, _of_mean, _of_variance):
            x, mean, inverse_deviation, gamma = context.saved_tensors
            width, channels = x.shape[2:]
            rows = x.view(-1, width * channels)
            count = len(rows) * width
            upstream = upstream.contiguous().view(rows.shape)
            means = mean.repeat(width)

            def products(part):
                return (rows[part] - means).mul_(upstream[part])

            of_beta = _sums(lambda part: upstream[part], rows, channels)
            of_gamma = _sums(products, rows, channels) * inverse_deviation
            # The gradient of x is linear in its own gradient and in x.
            scale = inverse_deviation * gamma
            slope = -scale * inverse_deviation * of_gamma / count
            shift = -scale * of_beta / count - slope * mean
            scales, slopes, shifts = (t.repeat(width) for t in (scale, slope, shift))
            of_x = torch.empty_like(rows)
            for part in _parts(rows):
                torch.addcmul(shifts, upstream[part], scales, out=of_x[part])
                of_x[part].addcmul_(rows[part], slopes)
            return of_x.view(x.shape), of_gamma, of_beta, None

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

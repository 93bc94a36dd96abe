"""Fast pooling, activation, padding, joining, dropout and noise behind ``layers.py``.

All image tensors are (batch, height, width, channels), for torch permuted views of its
``channels_last`` format (see ``torch_convolutions.py``).
"""

import numpy as np

from models.backend import BACKEND, tf, torch
from models.fast.recorded_steps import random_generator

functional = torch and torch.nn.functional

# --- Pooling and activation -------------------------------------------------------------------
# Those for torch have no twin for TensorFlow, whose own have nothing to gain.


def torch_max_pool(x):
    """Maximum over 2 x 2 windows."""
    return functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def torch_join(*inputs):
    """The inputs' channels one after another."""
    return _TorchJoin.apply(*inputs)


def torch_dropout(x, rate, next_seed):
    """x with a share ``rate`` of its numbers set to 0, the others enlarged.

    ``next_seed() -> int`` is asked once.
    """
    kept = (_draw_kept if x.is_cuda else _draw_kept_on_cpu)(x, rate, next_seed)
    return x * kept.div_(1.0 - rate)


def torch_gaussian_noise(x, stddev, next_seed):
    """x and normally distributed numbers of standard deviation ``stddev``, by ``next_seed()``."""
    generator = random_generator(x.device, next_seed)
    return x + torch.empty_like(x).normal_(0.0, stddev, generator=generator)


def _draw_kept(x, rate, next_seed):
    generator = random_generator(x.device, next_seed)
    return torch.empty_like(x).bernoulli_(1.0 - rate, generator=generator)


def _draw_kept_on_cpu(x, rate, next_seed):
    # In a fifth of the time that torch's own take there; the rate is right to 2 ** -17.
    random = np.random.Generator(np.random.SFC64(next_seed()))
    drawn = random.integers(0, 2**16, tuple(x.shape), np.uint16)
    return torch.from_numpy(drawn >= round(rate * 2**16)).to(x.dtype)


def torch_leaky_relu(x, slope):
    """x where it is positive, slope * x elsewhere; slope above 0."""
    return _TorchLeakyReLU.apply(x, slope)


if BACKEND == "torch":

    class _TorchJoin(torch.autograd.Function):
        """Concatenation along the last axis.

        PyTorch's own gives views of the whole gradient back, on which all that comes next, batch
        normalisation above all, is many times slower than on memory without gaps.
        """

        @staticmethod
        def forward(context, *inputs):
            context.sizes = [x.shape[-1] for x in inputs]
            return torch.cat(inputs, -1)

        @staticmethod
        def backward(context, upstream):
            return tuple(part.contiguous() for part in upstream.split(context.sizes, -1))

    class _TorchLeakyReLU(torch.autograd.Function):
        """A leaky ReLU whose second derivative is nothing at all.

        PyTorch's own is a tensor of zeros, which would be led back through all layers before.
        """

        @staticmethod
        def forward(context, x, slope):
            y = functional.leaky_relu(x, slope)
            context.save_for_backward(y)
            context.slope = slope
            return y

        @staticmethod
        def backward(context, upstream):
            return _TorchSlopes.apply(upstream, context.saved_tensors[0], context.slope), None

    class _TorchSlopes(torch.autograd.Function):
        """``upstream`` times the slope of a leaky ReLU that gave y: linear in ``upstream``."""

        @staticmethod
        def forward(context, upstream, y, slope):
            context.save_for_backward(y)
            context.slope = slope
            return torch.ops.aten.leaky_relu_backward(upstream, y, slope, True)

        @staticmethod
        def backward(context, twice):
            return _TorchSlopes.apply(twice, context.saved_tensors[0], context.slope), None, None


# --- Padding ----------------------------------------------------------------------------------


def reflection_pad(x, top, bottom, left, right):
    """Mirror the image at its border, without repeating the border pixels."""
    if BACKEND == "torch" and x.is_cuda:
        # PyTorch's own kernel for GPUs gives another memory format, which the next layer turns
        # back, and adds up its derivative in any order.
        return _TorchReflectionPad.apply(x, top, bottom, left, right)
    if BACKEND == "torch":
        x = x.permute(0, 3, 1, 2)
        return functional.pad(x, (left, right, top, bottom), mode="reflect").permute(0, 2, 3, 1)
    return tf.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="REFLECT")


if BACKEND == "torch":

    class _TorchReflectionPad(torch.autograd.Function):
        """``reflection_pad`` of (b, h, w, c) that keeps the memory format."""

        @staticmethod
        def forward(context, x, top, bottom, left, right):
            context.margins = top, bottom, left, right
            if not any(context.margins):
                return x.view_as(x)
            batch, height, width, channels = x.shape
            y = x.new_empty(batch, top + height + bottom, left + width + right, channels)
            y[:, top : top + height, left : left + width] = x
            for axis, size, before, after in ((2, width, left, right), (1, height, top, bottom)):
                for edge, inner in _mirrored(y, axis, size, before, after):
                    edge.copy_(inner.flip(axis))
            return y

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, upstream):
            top, bottom, left, right = context.margins
            height = upstream.shape[1] - top - bottom
            width = upstream.shape[2] - left - right
            folded = upstream.clone(memory_format=torch.contiguous_format)
            for axis, size, before, after in ((1, height, top, bottom), (2, width, left, right)):
                for edge, inner in _mirrored(folded, axis, size, before, after):
                    inner.add_(edge.flip(axis))
            inside = folded[:, top : top + height, left : left + width]
            return inside.contiguous(), None, None, None, None


def _mirrored(padded, axis, size, before, after):
    """Return the margins of one axis, each with the part of the image that it mirrors: views."""
    pairs = (0, before + 1, before), (before + size, before + size - 1 - after, after)
    return [
        (padded.narrow(axis, edge, width), padded.narrow(axis, inner, width))
        for edge, inner, width in pairs
        if width
    ]

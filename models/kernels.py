"""Fast pooling, activation and padding behind the layers of ``layers.py``, for each backend.

All image tensors are (batch, height, width, channels), for torch permuted views of its
``channels_last`` format (see ``convolutions.py``).
"""

from models.backend import BACKEND, tf, torch

functional = torch and torch.nn.functional

# --- Pooling and activation -------------------------------------------------------------------
# Those for torch have no twin for TensorFlow, whose own have nothing to gain.


def torch_max_pool(x):
    """Maximum over 2 x 2 windows."""
    return functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def torch_upsample(x):
    """Twice the height and width, nearest neighbour."""
    return functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="nearest").permute(
        0, 2, 3, 1
    )


def torch_join(*inputs):
    """The inputs' channels one after another."""
    return _TorchJoin.apply(*inputs)


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

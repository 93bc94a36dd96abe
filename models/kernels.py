"""Fast convolutions, pooling and padding behind the layers of ``layers.py``, for each backend.

All image tensors are (batch, height, width, channels). Source of the torch kernels' form: Keras
3.15 copies every activation twice around a convolution to change its layout; a permuted view of
the same memory is PyTorch's ``channels_last`` format, which needs no copy.
"""

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
    height, width = (side - size + 1 for side in ops.shape(x)[1:3])  # of the output
    more = [-(-side // BLOCK) * BLOCK + (blocks - 1) * BLOCK for side in (height, width)]
    more = [wanted - there for wanted, there in zip(more, ops.shape(x)[1:3], strict=True)]
    x = _to_blocks(ops.pad(x, ((0, 0), (0, more[0]), (0, more[1]), (0, 0))))

    rest = blocks * BLOCK - size
    places = [(row, column) for row in range(BLOCK) for column in range(BLOCK)]
    to_one = kernel[..., 0]
    shifted = [
        ops.pad(to_one, ((row, rest - row), (column, rest - column), (0, 0)))
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
    batch, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height // BLOCK, width // BLOCK, BLOCK**2 * channels))


def _from_blocks(x):
    """Undo ``_to_blocks`` for one channel: (b, h, w, BLOCK ** 2) -> (b, h BLOCK, w BLOCK, 1)."""
    batch, height, width, _ = ops.shape(x)
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

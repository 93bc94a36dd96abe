"""Convolutions to a single channel: the same for the pixels of a block at once.

For CPUs, and for training on GPUs with torch, where the CycleGAN's step is 15 % faster so (H200).

All image tensors are (batch, height, width, channels).
"""

import keras
from keras import ops

from models import backend
from models.backend import BACKEND, tf, torch
from models.fast.convolutions import convolution

BLOCK = 4  # pixels, along each side


def is_faster_in_blocks(layer):
    """Return whether ``convolution_in_blocks`` can and should do what a Conv2D layer does."""
    ones = {*layer.strides, *layer.dilation_rate, layer.groups, layer.filters}
    simple = layer.padding == "valid" and layer.activation is keras.activations.linear
    large = layer.kernel_size[0] >= BLOCK
    return simple and ones == {1} and large and (not backend.has_gpu() or _is_trained_by_torch())


def _is_trained_by_torch():
    """Return whether torch trains; on a GPU an image takes up to twice the memory in blocks."""
    return BACKEND == "torch" and torch.is_grad_enabled()


def convolution_in_blocks(x, kernel, bias):
    """2-D convolution, padding "valid", of (b, h, w, in) with a (k, k, in, 1) kernel.

    Processors compute several output channels at once, so that a convolution with a single one
    takes as long as one with many. Here the pixels of a block are the channels: of the output's
    they become, of the kernel shifted to each of them, and of the input's. About three times the
    multiplications, in less than half of the time.
    """
    size, inputs = kernel.shape[0], kernel.shape[2]
    blocks = -(-(size + BLOCK - 1) // BLOCK)  # that the kernel reaches from one block, each way
    height, width = (side - size + 1 for side in ops.shape(x)[1:3])  # of the output
    wanted = [-(-side // BLOCK) * BLOCK + (blocks - 1) * BLOCK for side in (height, width)]
    rows, columns = (size - there for size, there in zip(wanted, ops.shape(x)[1:3], strict=True))
    x = _to_blocks(backend.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0))))

    in_blocks = _shifted_to_each_place(kernel[..., 0], blocks * BLOCK - size)
    in_blocks = ops.reshape(in_blocks, (blocks, BLOCK, blocks, BLOCK, inputs, BLOCK**2))
    in_blocks = ops.reshape(
        ops.transpose(in_blocks, (0, 2, 1, 3, 4, 5)), (blocks, blocks, -1, BLOCK**2)
    )
    if BACKEND == "torch":
        y = convolution(x, in_blocks, None, 1, "valid")
    else:
        y = tf.nn.convolution(x, in_blocks)
    y = _from_blocks(y)[:, :height, :width]
    return y if bias is None else y + bias


def _shifted_to_each_place(kernel, rest):
    """Return (k, k, in) at each place in a block: (k + rest, k + rest, in, BLOCK, BLOCK)."""
    down = [backend.pad(kernel, ((by, rest - by), (0, 0), (0, 0))) for by in range(BLOCK)]
    down = backend.stack(down)
    right = [backend.pad(down, ((0, 0), (by, rest - by), (0, 0), (0, 0))) for by in range(BLOCK)]
    return backend.stack(right)


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

"""PyTorch's convolutions and their gradients, without copies of the images.

Shapes are those of Keras: images (batch, height, width, channels), kernels (height, width, in,
out); within, PyTorch's (batch, channels, height, width) and (out, in, height, width). Source: Keras
3.15 copies every activation twice around a convolution of torch's to change its layout; a permuted
view of the same memory is PyTorch's ``channels_last`` format, which needs no copy.
"""

from models import processor
from models.backend import BACKEND, torch

functional = torch and torch.nn.functional

# Where PyTorch is slow at gradients (`models.processor`), in float32, matrix products are faster
# from so many channels on.
CHANNELS_FOR_PRODUCTS = 32
# And from so many multiplications on: of fewer the calls take longer than the work.
LEAST_WORK_FOR_PRODUCTS = 2**25
# Pixels in one product: of more the processor's cache does not hold what it multiplies.
PIXELS_AT_A_TIME = 2048
# The gradient of the input of a strided convolution: matrix products from so many channels on.
CHANNELS_FOR_INPUT_PRODUCTS = 128


def convolution(x, kernel, bias, stride, padding, relu=False):
    """2-D convolution of (b, h, w, in) with a (kh, kw, in, out) kernel; padding same or valid.

    With ``relu`` max(y, 0), in one pass where a network is run on a CPU and not trained.
    """
    x = x.permute(0, 3, 1, 2)
    amount = (0, 0)
    if padding == "same":
        top, bottom = _same_padding(x.shape[2], kernel.shape[0], stride)
        left, right = _same_padding(x.shape[3], kernel.shape[1], stride)
        if top == bottom and left == right:
            amount = (top, left)
        else:
            x = functional.pad(x, (left, right, top, bottom))
    kernel = _in_torch_order(kernel, x.is_cuda)
    if torch.is_grad_enabled() and not x.is_cuda:
        y = _Convolution.apply(x, kernel, bias, stride, amount)
    elif relu and _has_fused_relu(x):
        how = amount, (stride, stride), (1, 1), 1, "relu", [], ""
        return torch.ops.mkldnn._convolution_pointwise(x, kernel, bias, *how).permute(0, 2, 3, 1)
    else:
        y = functional.conv2d(x, kernel, bias, stride, amount)
    return (y.relu() if relu else y).permute(0, 2, 3, 1)


def transposed_convolution(x, kernel, bias, stride):
    """Transposed convolution, padding "same": (b, h, w, in) -> (b, stride h, stride w, out).

    The kernel is (kh, kw, out, in). What sticks out of the "same" frame is cut off at the end,
    as in TensorFlow, before at the start.
    """
    x = x.permute(0, 3, 1, 2)
    y = functional.conv_transpose2d(x, _in_torch_order(kernel, x.is_cuda), bias, stride)
    height, width = stride * x.shape[2], stride * x.shape[3]
    top = max(y.shape[2] - height, 0) // 2
    left = max(y.shape[3] - width, 0) // 2
    return y[:, :, top : top + height, left : left + width].permute(0, 2, 3, 1)


def _same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _in_torch_order(kernel, on_gpu):
    # PyTorch's order, in the memory format its convolutions want: cuDNN the images' own, the CPU
    # the plain one (its path for small images refuses others).
    plain = torch.contiguous_format
    memory_format = torch.channels_last if on_gpu else plain
    return kernel.permute(3, 2, 0, 1).contiguous(memory_format=memory_format)


def _has_fused_relu(x):
    """Return whether PyTorch convolves x and takes the positive part in one pass here."""
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):  # it has no public name
        return False
    by_half = x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return x.dtype == torch.float32 or by_half


def _has_slow_gradients(x):
    return x.dtype == torch.float32 and processor.has_slow_kernel_gradients()


def _kernel_gradient(x, upstream, kernel, stride, padding):
    """Return the gradient of a kernel (out, in, kh, kw), of x (b, in, h, w) and y's gradient."""
    out, channels, rows, columns = kernel.shape
    few = channels < CHANNELS_FOR_PRODUCTS or out <= CHANNELS_FOR_PRODUCTS // 2
    small = upstream.numel() * rows * columns * channels < LEAST_WORK_FOR_PRODUCTS
    if few or small or rows == columns == 1 or not _has_slow_gradients(x):
        return torch.ops.aten.convolution_backward(
            upstream, x, kernel, [0], (stride, stride), padding, (1, 1), False, (0, 0), 1,
            (False, True, False),
        )[1]  # fmt: skip
    top, left = padding
    x = functional.pad(x, (left, left, top, top)) if any(padding) else x
    x, upstream = (t.permute(0, 2, 3, 1).contiguous() for t in (x, upstream))
    count, height, width = upstream.shape[:3]
    image, row, pixel, _ = x.stride()
    # What each place of y sees of x, row of the kernel by row: a view of x.
    seen = x.as_strided(
        (count, height, width, rows, columns * channels),
        (image, stride * row, stride * pixel, row, 1),
    )
    gradient = x.new_zeros(rows * columns * channels, out)
    images = max(PIXELS_AT_A_TIME // (height * width), 1)
    lines = max(PIXELS_AT_A_TIME // width, 1)
    for first in range(0, count, images):
        for line in range(0, height, lines):
            part = (slice(first, first + images), slice(line, line + lines))
            matrix = seen[part].reshape(-1, len(gradient))
            gradient.addmm_(matrix.t(), upstream[part].reshape(-1, out))
    return gradient.view(rows, columns, channels, out).permute(3, 2, 0, 1)


def _input_gradient(upstream, x, kernel, stride, padding):
    """Return the gradient of x (b, in, h, w), of y's gradient and a kernel (out, in, kh, kw)."""
    out, channels, rows, columns = kernel.shape
    few = min(out, channels) < CHANNELS_FOR_INPUT_PRODUCTS
    if few or stride == 1 or not _has_slow_gradients(upstream):
        return torch.ops.aten.convolution_backward(
            upstream, x, kernel, [0], (stride, stride), padding, (1, 1), False, (0, 0), 1,
            (True, False, False),
        )[0]  # fmt: skip
    kernel = kernel.permute(2, 3, 0, 1).contiguous()
    pixels = upstream.permute(0, 2, 3, 1).reshape(-1, out)
    count, _, height, width = upstream.shape
    (top, left), (x_height, x_width) = padding, x.shape[2:]
    gradient = pixels.new_zeros(count, x_height + 2 * top, x_width + 2 * left, channels)
    for row in range(rows):
        for column in range(columns):
            seen = gradient[:, row::stride, column::stride][:, :height, :width]
            seen += (pixels @ kernel[row, column]).view(seen.shape)
    return gradient[:, top : top + x_height, left : left + x_width].permute(0, 3, 1, 2)


def _is_wanted(function, number):
    """Return whether the backward pass that runs now asks for the gradient of an input."""
    node = function.next_functions[number][0]
    return node is not None and torch._C._will_engine_execute_node(node)


if BACKEND == "torch":

    class _Convolution(torch.autograd.Function):
        """Convolution of (b, in, h, w) with a kernel (out, in, kh, kw) that is no leaf, on a CPU.

        PyTorch's own is as fast forward. Backward, the kernel's gradient is faster here, and so
        are second derivatives.
        """

        @staticmethod
        def forward(context, x, kernel, bias, stride, padding):
            context.save_for_backward(x, kernel)
            context.has_bias, context.stride, context.padding = bias is not None, stride, padding
            return functional.conv2d(x, kernel, bias, stride, padding)

        @staticmethod
        def backward(context, upstream):
            x, kernel = context.saved_tensors
            how = context.stride, context.padding
            of_x = of_kernel = of_bias = None
            if _is_wanted(context, 0):
                of_x = _InputGradient.apply(upstream, x, kernel, *how)
            if _is_wanted(context, 1):
                of_kernel = _kernel_gradient(x, upstream, kernel, *how)
                of_bias = upstream.sum((0, 2, 3)) if context.has_bias else None
            return of_x, of_kernel, of_bias, None, None

    class _InputGradient(torch.autograd.Function):
        """The gradient of a convolution's input x, which depends on the shape of x only."""

        @staticmethod
        def forward(context, upstream, x, kernel, stride, padding):
            context.save_for_backward(upstream, kernel)
            context.how = stride, padding
            return _input_gradient(upstream, x, kernel, stride, padding)

        @staticmethod
        def backward(context, twice):
            upstream, kernel = context.saved_tensors
            of_upstream = functional.conv2d(twice, kernel, None, *context.how)
            of_kernel = _kernel_gradient(twice, upstream, kernel, *context.how)
            return of_upstream, None, of_kernel, None, None

"""Normalisation on a GPU with PyTorch, in two passes over the memory each way; by Triton.

What PyTorch has for it goes over the memory more often, or, for few channels, slowly. Here as many
programs as keep a GPU busy each take a part of the pixels: one kernel adds up sums, the next one
normalises with them. Numbers are (groups, pixels, channels), float32 or half of it, without gaps;
each channel of each group is normalised over its pixels, in float32. Sources: as for
``normalization.py``; Tillet et al., "Triton", MAPL 2019.
"""

import contextlib
import functools
import logging

from models.backend import torch

logger = logging.getLogger(__name__)

NUMBERS_AT_A_TIME = 4096  # that a program loads
MANY_CHANNELS = 64  # the most channels among them
PROGRAMS = 1024  # of a kernel, about
PARTS = 256  # of a group's pixels, at most: each program reads the sums of all

triton = None
if torch:
    with contextlib.suppress(ImportError):  # it comes with PyTorch for NVIDIA's GPUs on Linux
        import triton
        import triton.language as tl


@functools.cache
def is_available(dtype):
    """Return whether the kernels run here with numbers of a type: Triton compiles them, for which
    it needs a compiler, and for bfloat16 a GPU of 2020 or later."""
    if not torch.cuda.is_available():
        return False
    if triton is None:
        logger.warning("Triton is not installed: the GPU's steps take longer")
        return False
    try:
        with torch.enable_grad():
            x = torch.ones(1, 4, 4, dtype=dtype, device="cuda", requires_grad=True)
            vector = torch.ones(4, device="cuda")
            torch.autograd.grad(normalise(x, vector, vector, 1e-5)[0].sum(), x)
    except Exception as error:  # of many kinds, by what is missing; it works without
        logger.warning(
            "Triton does not run here in %s: the GPU's steps take longer: %s (where it may not "
            "write, set TRITON_CACHE_DIR to a folder of yours)",
            dtype,
            error,
        )
        return False
    return True


def normalise(x, gamma, beta, epsilon):
    """Return x (groups, pixels, channels) normalised, times gamma plus beta; and its statistics.

    These are the mean and the inverse of the standard deviation, float32 (groups, channels). They
    have no gradients. ``gamma`` and ``beta`` are float32 (channels,).
    """
    return _Normalise.apply(x.contiguous(), gamma, beta, epsilon)


if triton:

    @triton.jit
    def _place(pixels, channels, parts, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
        """Return which group, part and channels a program has, and its first and last pixel."""
        group, part = tl.program_id(0), tl.program_id(1)
        columns = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
        each = tl.cdiv(tl.cdiv(pixels, parts), PIXELS) * PIXELS
        first = part * each
        return group, part, columns, first, tl.minimum(first + each, pixels)

    @triton.jit
    def _load(x, group, start, last, columns, pixels, channels, PIXELS: tl.constexpr):
        """Return numbers (PIXELS, CHANNELS) as float32, their places, and which there are."""
        rows = start + tl.arange(0, PIXELS)
        there = (rows < last)[:, None] & (columns < channels)[None, :]
        places = (group.to(tl.int64) * pixels + rows)[:, None] * channels + columns[None, :]
        return tl.load(x + places, mask=there, other=0.0).to(tl.float32), places, there

    @triton.jit
    def _vector(x, row, columns, channels):
        """Return the channels of a row of x, (rows, channels), as float32."""
        return tl.load(x + row * channels + columns, mask=columns < channels, other=0.0).to(
            tl.float32
        )

    @triton.jit
    def _store_sums(sums, group, part, parts, columns, channels, one, other):
        """Keep two sums of a part, blocks (PIXELS, CHANNELS), in sums (groups, parts, 2, c)."""
        place = sums + (group * parts + part) * 2 * channels + columns
        tl.store(place, tl.sum(one, 0), mask=columns < channels)
        tl.store(place + channels, tl.sum(other, 0), mask=columns < channels)

    @triton.jit
    def _means(
        sums, group, parts, columns, pixels, channels, PIXELS: tl.constexpr, CHANNELS: tl.constexpr
    ):
        """Return both sums over all parts of a group, divided by its pixels."""
        one = tl.zeros((PIXELS, CHANNELS), tl.float32)
        other = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for start in range(0, parts, PIXELS):
            rows = start + tl.arange(0, PIXELS)
            there = (rows < parts)[:, None] & (columns < channels)[None, :]
            places = sums + (group * parts + rows)[:, None] * 2 * channels + columns[None, :]
            one += tl.load(places, mask=there, other=0.0)
            other += tl.load(places + channels, mask=there, other=0.0)
        return tl.sum(one, 0) / pixels, tl.sum(other, 0) / pixels

    @triton.jit
    def _add_up(x, sums, pixels, channels, parts, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
        """Add up x and its squares, less the first pixel's, so that few digits are lost."""
        group, part, columns, first, last = _place(pixels, channels, parts, PIXELS, CHANNELS)
        origin = _vector(x, group.to(tl.int64) * pixels, columns, channels)
        total = tl.zeros((PIXELS, CHANNELS), tl.float32)
        squares = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for start in range(first, last, PIXELS):
            value, _, there = _load(x, group, start, last, columns, pixels, channels, PIXELS)
            value = tl.where(there, value - origin[None, :], 0.0)
            total += value
            squares += value * value
        _store_sums(sums, group, part, parts, columns, channels, total, squares)

    @triton.jit
    def _apply(
        x, sums, gamma, beta, epsilon, y, means, inverses, pixels, channels, parts,
        PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    ):  # fmt: skip
        """Normalise x by what ``_add_up`` found."""
        group, part, columns, first, last = _place(pixels, channels, parts, PIXELS, CHANNELS)
        mean, square = _means(sums, group, parts, columns, pixels, channels, PIXELS, CHANNELS)
        inverse = tl.rsqrt(tl.maximum(square - mean * mean, 0.0) + epsilon)
        mean += _vector(x, group.to(tl.int64) * pixels, columns, channels)
        if part == 0:
            tl.store(means + group * channels + columns, mean, mask=columns < channels)
            tl.store(inverses + group * channels + columns, inverse, mask=columns < channels)
        scale = inverse * _vector(gamma, 0, columns, channels)
        shift = _vector(beta, 0, columns, channels)
        for start in range(first, last, PIXELS):
            value, places, there = _load(x, group, start, last, columns, pixels, channels, PIXELS)
            value = (value - mean[None, :]) * scale[None, :] + shift[None, :]
            tl.store(y + places, value, mask=there)

    @triton.jit
    def _add_up_gradients(
        x, upstream, means, inverses, sums, pixels, channels, parts,
        PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    ):  # fmt: skip
        """Add up the gradient of y, and its product with the normalised x."""
        group, part, columns, first, last = _place(pixels, channels, parts, PIXELS, CHANNELS)
        mean = _vector(means, group, columns, channels)
        total = tl.zeros((PIXELS, CHANNELS), tl.float32)
        products = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for start in range(first, last, PIXELS):
            value, places, there = _load(x, group, start, last, columns, pixels, channels, PIXELS)
            of_y = tl.load(upstream + places, mask=there, other=0.0).to(tl.float32)
            total += of_y
            products += of_y * (value - mean[None, :])
        products *= _vector(inverses, group, columns, channels)[None, :]
        _store_sums(sums, group, part, parts, columns, channels, total, products)

    @triton.jit
    def _apply_gradients(
        x, upstream, means, inverses, gamma, sums, of_x, pixels, channels, parts,
        PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    ):  # fmt: skip
        """Give the gradient of x, by what ``_add_up_gradients`` found."""
        group, _, columns, first, last = _place(pixels, channels, parts, PIXELS, CHANNELS)
        to_beta, to_gamma = _means(sums, group, parts, columns, pixels, channels, PIXELS, CHANNELS)
        mean = _vector(means, group, columns, channels)
        inverse = _vector(inverses, group, columns, channels)
        scale = inverse * _vector(gamma, 0, columns, channels)
        slope = inverse * to_gamma
        for start in range(first, last, PIXELS):
            value, places, there = _load(x, group, start, last, columns, pixels, channels, PIXELS)
            of_y = tl.load(upstream + places, mask=there, other=0.0).to(tl.float32)
            along = (value - mean[None, :]) * slope[None, :] + to_beta[None, :]
            tl.store(of_x + places, (of_y - along) * scale[None, :], mask=there)


if torch:

    class _Normalise(torch.autograd.Function):
        """``normalise``; of x itself is kept what the derivative needs."""

        @staticmethod
        def forward(context, x, gamma, beta, epsilon):
            sums, means, inverses, launch = _prepare(x)
            y = torch.empty_like(x)
            launch(_add_up, x, sums)
            launch(_apply, x, sums, gamma, beta, epsilon, y, means, inverses)
            context.save_for_backward(x, gamma, means, inverses)
            context.mark_non_differentiable(means, inverses)
            return y, means, inverses

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, upstream, _of_means, _of_inverses):
            x, gamma, means, inverses = context.saved_tensors
            sums, _, _, launch = _prepare(x)
            upstream, of_x = upstream.contiguous(), torch.empty_like(x)
            launch(_add_up_gradients, x, upstream, means, inverses, sums)
            launch(_apply_gradients, x, upstream, means, inverses, gamma, sums, of_x)
            of_beta, of_gamma = sums.sum((0, 1)).to(gamma.dtype)
            return of_x, of_gamma, of_beta, None


def _prepare(x):
    """Return memory for sums and statistics of x, and a function that starts kernels on it."""
    groups, pixels, channels = x.shape
    at_a_time = min(triton.next_power_of_2(channels), MANY_CHANNELS)
    rows = NUMBERS_AT_A_TIME // at_a_time
    blocks = triton.cdiv(channels, at_a_time)
    parts = min(PROGRAMS // (groups * blocks), triton.cdiv(pixels, 2 * rows), PARTS)
    parts = max(parts, 1)
    sums = x.new_empty(groups, parts, 2, channels, dtype=torch.float32)
    means, inverses = x.new_empty(2, groups, channels, dtype=torch.float32)

    def launch(kernel, *arguments):
        with torch.cuda.device_of(x):
            kernel[groups, parts, blocks](
                *arguments, pixels, channels, parts, PIXELS=rows, CHANNELS=at_a_time, num_warps=8
            )

    return sums, means, inverses, launch

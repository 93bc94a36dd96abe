"""Run the kernels of triton_normalization.py by Triton's interpreter, beside the formulas.

    TRITON_INTERPRET=1 python -m tests.models.fast.compute_by_triton float32

Prints a line of JSON for each case: its shape, what is added to x, and how far y, its statistics
and the gradients of x, gamma and beta are from those in float64, as shares of these.
"""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "torch"

import torch

from models.fast import triton_normalization

EPSILON = 1e-5
# One part and several, a block of channels and several, numbers that fill blocks and do not.
SHAPES = [(2, 300, 5), (3, 77, 20), (1, 40_000, 3), (2, 64, 130), (1, 9, 1)]
RESULTS = ("y", "mean", "inverse deviation", "of x", "of gamma", "of beta")


def by_the_formula(x, gamma, beta):
    """Return y and its statistics."""
    mean = x.mean(1, keepdim=True)
    inverse = torch.rsqrt((x - mean).square().mean(1, keepdim=True) + EPSILON)
    return (x - mean) * inverse * gamma + beta, mean[:, 0], inverse[:, 0]


def compare(shape, offset, kind):
    """Return how far each of the results is from the formula's."""
    torch.manual_seed(0)
    x = (2 * torch.randn(shape) + offset).to(kind).requires_grad_(True)
    gamma, beta = (torch.rand(shape[-1], requires_grad=True) for _ in range(2))
    upstream = torch.randn(shape).to(kind)
    given = x, gamma, beta
    exact = [tensor.detach().double().requires_grad_(True) for tensor in given]

    y, *statistics = triton_normalization.normalise(*given, EPSILON)
    own = y, *statistics, *torch.autograd.grad(y, given, upstream)
    y, *statistics = by_the_formula(*exact)
    known = y, *statistics, *torch.autograd.grad(y, exact, upstream.double())

    assert own[0].dtype == own[3].dtype == kind
    with torch.no_grad():  # a mean may be almost 0
        pairs = zip(own, known, strict=True)
        errors = [float(torch.dist(a.double(), b) / (b.norm() + 1)) for a, b in pairs]
    return dict(zip(RESULTS, errors, strict=True))


if __name__ == "__main__":
    for shape in SHAPES:
        for offset in (0.0, 50.0):
            errors = compare(shape, offset, getattr(torch, sys.argv[1]))
            print(json.dumps({"shape": shape, "offset": offset, "errors": errors}))

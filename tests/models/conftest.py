"""A GPU to pretend."""

import pytest

from models import backend, block_convolutions, convolutions, normalization


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Have the layers choose the kernels for a GPU, wherever tensors are."""
    for module in (block_convolutions, convolutions, normalization):
        monkeypatch.setattr(module, "has_gpu", lambda: not backend._is_on_cpu)
    if backend.torch:
        monkeypatch.setattr(backend.torch.Tensor, "is_cuda", property(lambda tensor: True))

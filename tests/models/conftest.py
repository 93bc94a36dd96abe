"""A GPU to pretend."""

import pytest

from models import backend


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Have the layers choose the kernels for a GPU, wherever tensors are."""
    monkeypatch.setattr(backend, "has_gpu", lambda: not backend._is_on_cpu)
    if backend.torch:
        monkeypatch.setattr(backend.torch.Tensor, "is_cuda", property(lambda tensor: True))


@pytest.fixture(params=["for a CPU", "for a GPU"])
def kernels_are(request):
    """Choose the kernels for a CPU, then those for a GPU, which compute the same on a CPU."""
    if request.param == "for a GPU":
        request.getfixturevalue("pretend_gpu")

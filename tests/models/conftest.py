"""A GPU to pretend."""

import pytest

from benchmarks.pretended_gpu import choose_gpu_kernels


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Have the layers choose the kernels for a GPU, wherever tensors are."""
    choose_gpu_kernels(monkeypatch.setattr)


@pytest.fixture(params=["for a CPU", "for a GPU"])
def kernels_are(request):
    """Choose the kernels for a CPU, then those for a GPU, which compute the same on a CPU."""
    if request.param == "for a GPU":
        request.getfixturevalue("pretend_gpu")

"""A GPU that is not there: its kernels on a CPU, and steps on a device that holds no numbers.

``set_attribute(owner, name, value)`` is ``setattr``, or pytest's ``monkeypatch.setattr``.
"""

from collections.abc import Callable

from models import backend
from models.fast import kernels


def choose_gpu_kernels(set_attribute: Callable) -> None:
    """Have the layers choose the kernels for a GPU, wherever tensors are."""
    set_attribute(backend, "has_gpu", lambda: not backend._is_on_cpu.get())
    if backend.torch:
        set_attribute(backend.torch.Tensor, "is_cuda", property(lambda tensor: True))


def let_meta_train(set_attribute: Callable) -> None:
    """Have torch's device "meta", whose tensors hold no numbers, take training steps.

    Kernels that it lacks do nothing, and its tensors are not told from others, of which Keras
    would make new ones, without gradients.
    """
    torch = backend.torch
    set_attribute(torch.Tensor, "is_meta", property(lambda tensor: False))
    set_attribute(torch, "_fused_adam_", lambda *arguments, **options: None)
    set_attribute(kernels, "random_generator", lambda device, next_seed: None)

"""No training step makes a tensor of Python's numbers, or reads one: a GPU would be waited for."""

import pytest

from models import backend
from tests.models import tiny_steps

pytestmark = pytest.mark.skipif(
    backend.BACKEND != "torch", reason="TensorFlow runs a graph, whose numbers are in it"
)


@pytest.mark.parametrize("make_steps", tiny_steps.ALL)
def test_steps_wait_for_no_gpu(make_steps, pretend_gpu, monkeypatch):
    torch = backend.torch
    steps = [(step, backend.to_device(arrays)) for step, arrays in make_steps()]
    for step, tensors in steps:
        step(tensors)  # what is made once is of no matter

    def watch(owner, name, waits):
        function = getattr(owner, name)

        def watched(first, *arguments, **options):
            # Within `on_cpu` they stay on the CPU.
            if waits(first) and not backend._is_on_cpu.get():
                raise AssertionError(f"{name} of {first!r}")
            return function(first, *arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    for name in ("as_tensor", "tensor", "from_numpy"):
        watch(torch, name, lambda value: not isinstance(value, torch.Tensor))
    for name in ("item", "tolist", "numpy", "__int__", "__float__", "__bool__"):
        watch(torch.Tensor, name, lambda tensor: True)
    for step, tensors in steps:
        step(tensors)
    with pytest.raises(AssertionError, match="as_tensor of 1"):
        torch.as_tensor(1)

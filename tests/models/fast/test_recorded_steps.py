"""Steps recorded as CUDA graphs, with a graph that is made up: it computes when it is replayed."""

import contextlib
import itertools
import logging

import pytest

from models import backend
from models.fast import compiled_steps, recorded_steps

torch = backend.torch
pytestmark = pytest.mark.skipif(torch is None, reason="TensorFlow compiles its steps")


def make_step():
    """Return a step that draws two random numbers, with seeds that no other step draws."""
    seeds = itertools.count(5)

    def step(batch):
        first, second = (
            torch.rand((), generator=recorded_steps.random_generator("cpu", lambda: next(seeds)))
            for _ in range(2)
        )
        return {"sum": batch[0].sum() + first, "drawn": second}

    return step


@pytest.fixture
def recorded(monkeypatch):
    """Return a `RecordedStep` of `make_step`, on a CPU."""

    class Stream:
        def __init__(self, device):
            pass

        def wait_stream(self, stream):
            pass

    class Graph:
        def __init__(self):
            self.registered = []

        def register_generator_state(self, generator):
            self.registered.append(generator)

        def replay(self):
            first, second = (torch.rand((), generator=g) for g in self.registered)
            step.values.copy_(torch.stack([step.inputs[0].sum() + first, second]))

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    default = Stream(None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: default)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: contextlib.nullcontext())
    step = recorded_steps.RecordedStep(make_step())
    return step


def run(step, batches):
    losses = [step((torch.full((size,), float(value)),)) for value, size in batches]
    return [{name: float(loss) for name, loss in row.items()} for row in losses]


def test_a_recording_draws_and_computes_what_the_step_does(recorded):
    batches = [(value, 2) for value in range(8)]
    assert run(recorded, batches) == run(make_step(), batches)
    assert recorded.graph is not None
    assert recorded.taken == 8


def test_losses_stay_what_they_were_when_the_next_step_is_taken(recorded):
    batch = (torch.ones(2),)
    for _ in range(recorded_steps.STEPS_BEFORE):
        recorded(batch)
    kept = recorded(batch)
    before = {name: float(loss) for name, loss in kept.items()}
    recorded(batch)
    assert {name: float(loss) for name, loss in kept.items()} == before


def test_a_batch_of_another_size_goes_through_the_step_itself(recorded):
    batches = [(1, 2)] * 5 + [(1, 3)] + [(1, 2)] * 2
    assert run(recorded, batches) == run(make_step(), batches)


def test_a_step_that_cannot_be_recorded_goes_on_as_it_is(recorded, monkeypatch, caplog):
    @contextlib.contextmanager
    def refuse(graph, **_):
        yield
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    restored = []
    monkeypatch.setattr(torch.cuda, "set_stream", restored.append)
    batches = [(value, 2) for value in range(6)]
    with caplog.at_level(logging.WARNING):
        assert run(recorded, batches) == run(make_step(), batches)
    assert recorded.graph is None
    assert restored == [torch.cuda.current_stream()]
    assert caplog.messages == [
        "steps cannot be recorded on this GPU and take longer: CUDA out of memory"
    ]


@pytest.mark.parametrize("on_gpu", [True, False])
def test_steps_are_recorded_on_a_gpu_only(on_gpu, recorded, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backend, "has_gpu", lambda: on_gpu)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    step = compiled_steps.compile_step(len)
    assert isinstance(step, recorded_steps.RecordedStep) is on_gpu
    assert on_gpu or step is len

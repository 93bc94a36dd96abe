"""Training steps recorded as CUDA graphs: with PyTorch, on a GPU.

A step is thousands of short computations, and Python takes longer to ask for most of them than the
GPU to do them. Recorded once, all are asked for at once. Source: PyTorch's notes on CUDA ("CUDA
graphs").
"""

import contextlib
import logging

from models import backend
from models.backend import torch

logger = logging.getLogger(__name__)

STEPS_BEFORE = 3  # are run as they are: meanwhile cuDNN finds its fastest kernels
_draws = None  # those of the step that runs now, if it is one to be recorded


def random_generator(device, next_seed):
    """Return torch's generator of random numbers on a device, seeded with ``next_seed()``."""
    if _draws is not None:
        return _draws.generator(device, next_seed)
    return _seeded(torch.Generator(device), next_seed())


def _seeded(generator, seed):
    return generator.manual_seed(seed & 0xFFFFFFFF)


class RecordedStep:
    """``step``, tensors in, a dict of scalars out: at first as it is, then as a recording of it.

    Both compute the same, random numbers included. Batches of other shapes than the one recorded,
    and all where a step cannot be recorded, go through the step itself.
    """

    def __init__(self, step):
        self.step = step
        self.stream = torch.cuda.Stream(backend.torch_device())
        self.draws = _Draws()
        self.taken = 0
        self.graph = None

    def __call__(self, batch):
        """Return what ``step(batch)`` returns."""
        if self.taken == STEPS_BEFORE:
            self._record(batch)
        self.taken += 1
        if self.graph is None or [tensor.shape for tensor in batch] != self.shapes:
            return self._run(batch)
        for place, tensor in zip(self.inputs, batch, strict=True):
            place.copy_(tensor)
        self.draws.seed_recorded()
        self.graph.replay()
        return dict(zip(self.names, self.values.clone().unbind(), strict=True))

    def _run(self, batch):
        # On the stream it is recorded on, as PyTorch asks for.
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream), self.draws.made():
            losses = self.step(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses

    def _record(self, batch):
        self.inputs = tuple(tensor.clone() for tensor in batch)
        self.shapes = [tensor.shape for tensor in batch]
        graph = torch.cuda.CUDAGraph()
        for generator in self.draws.prepare(backend.torch_device()):
            graph.register_generator_state(generator)
        before = torch.cuda.current_stream()
        try:
            # Threads that prepare batches do not disturb a recording of this one.
            with (
                torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
                self.draws.made(recording=True),
            ):
                losses = self.step(self.inputs)
                self.names = list(losses)
                self.values = torch.stack([value.float() for value in losses.values()])
        except RuntimeError as error:
            torch.cuda.set_stream(before)  # which a recording that fails at its end does not
            logger.warning("steps cannot be recorded on this GPU and take longer: %s", error)
            return
        self.graph = graph


class _Draws:
    """The random numbers that a step draws on the GPU: one generator a draw, each seeded anew.

    A recording has to know its generators beforehand; their seeds are set before it is replayed.
    """

    def __init__(self):
        self.number = 0  # of draws, in the step that ran last
        self.prepared = []  # the generators of a recording
        self.next_seeds = []  # their functions
        self.recording = False

    @contextlib.contextmanager
    def made(self, recording=False):
        """Within, a step runs or is recorded whose generators come from here."""
        global _draws
        self.number, self.recording, before, _draws = 0, recording, _draws, self
        try:
            yield
        finally:
            _draws = before

    def prepare(self, device):
        """Return a generator for each draw of the step that ran last, for its recording."""
        self.prepared = [torch.Generator(device) for _ in range(self.number)]
        return self.prepared

    def generator(self, device, next_seed):
        """Return the generator of the next draw of a step that runs or is recorded."""
        self.number += 1
        if not self.recording:
            return _seeded(torch.Generator(device), next_seed())
        self.next_seeds.append(next_seed)
        return self.prepared[self.number - 1]

    def seed_recorded(self):
        """Seed the generators of a recording for its next replay."""
        for generator, next_seed in zip(self.prepared, self.next_seeds, strict=True):
            _seeded(generator, next_seed())

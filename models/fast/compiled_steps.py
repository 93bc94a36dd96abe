"""Training steps made ready to be called many times: traced, compiled or recorded."""

import logging

from models import backend
from models.backend import tf, torch
from models.fast.recorded_steps import RecordedStep

logger = logging.getLogger(__name__)

# What `models.devices.set_up_devices` was told: True, False, or "auto", on a GPU.
xla_for_steps = "auto"


def compile_step(step):
    """Return ``step`` (arrays in, a dict of scalars out) made ready to be called many times.

    TensorFlow traces it into one graph, and where `xla_for_steps` says so compiles that with XLA,
    which fuses the passes over memory between the convolutions. PyTorch runs the step as it is on
    a CPU, and records it on a GPU (`RecordedStep`), where cuDNN looks for the fastest kernels from
    then on, in all that this process computes.
    """
    if backend.BACKEND == "torch":
        # All steps have one shape, for which cuDNN may look for its fastest kernels.
        torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        on_gpu = torch.cuda.is_available() and backend.has_gpu()
        return RecordedStep(step) if on_gpu else step
    use_xla = backend.has_gpu() if xla_for_steps == "auto" else xla_for_steps
    return _compiled_by_xla(step) if use_xla else _as_graph(step)


def _as_graph(step, use_xla=False):
    return tf.function(step, jit_compile=use_xla, autograph=False, reduce_retracing=True)


def _compiled_by_xla(step):
    """Return ``step`` compiled by XLA at its first call, or, where XLA fails, without it."""
    compiled = None

    def run(*batch):
        nonlocal compiled
        if compiled is not None:
            return compiled(*batch)
        logger.info("compiling a training step (USE_XLA), which may take minutes")
        compiled = _as_graph(step, use_xla=True)
        try:
            return compiled(*batch)
        except tf.errors.OpError as error:  # before anything was computed
            if backend.is_out_of_memory(error):
                raise
            logger.warning("XLA cannot compile this step here, so it takes longer: %s", error)
            compiled = _as_graph(step)
            return compiled(*batch)

    return run

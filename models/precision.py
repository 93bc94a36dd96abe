"""The numbers networks compute with: float32, or bfloat16 where that is fast.

With "mixed_bfloat16" convolutions and what lies between them are of bfloat16, which has the range
of float32 and 8 of its 24 binary digits; weights, normalisation statistics, last layers and losses
stay float32 (Kalamkar et al., "A study of BFLOAT16 for deep learning training", arXiv 1905.12322).
"""

import contextlib
import logging
import os

import keras

from models import backend, processor

logger = logging.getLogger(__name__)

# What processors that multiply bfloat16 are known by: AMD's since Zen 4 (2022), Intel's Xeons since
# 2023 and some of 2020.
INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
COMPUTE_CAPABILITY = (8, 0)  # NVIDIA's GPUs that do, since 2020


def processor_multiplies_bfloat16() -> bool:
    """Return whether convolutions on this CPU take about half of the time in bfloat16.

    Without such instructions they take longer than in float32. Only Linux says, so elsewhere it is
    False; so it is where TensorFlow is told not to use oneDNN, which has the kernels.
    """
    if backend.BACKEND == "tensorflow" and os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return False
    return not INSTRUCTIONS.isdisjoint(processor.instructions())


def gpu_multiplies_bfloat16() -> bool:
    """Return whether the GPU this process computes on does."""
    if backend.BACKEND == "torch":
        return backend.torch.cuda.is_bf16_supported(including_emulation=False)
    config = backend.tf.config
    known = map(config.experimental.get_device_details, config.get_visible_devices("GPU"))
    return all(
        one.get("compute_capability", COMPUTE_CAPABILITY) >= COMPUTE_CAPABILITY for one in known
    )


def multiplies_bfloat16() -> bool:
    """Return whether what this process computes on does, the GPU or the CPU."""
    return gpu_multiplies_bfloat16() if backend.has_gpu() else processor_multiplies_bfloat16()


def choose_precision(name: str) -> str:
    """Return "float32" or "mixed_bfloat16", whichever ``name`` is, or "auto" stands for here.

    That is mixed_bfloat16 on a CPU that multiplies it, else float32.
    """
    if name != "auto":
        return name
    fast = not backend.has_gpu() and processor_multiplies_bfloat16()
    return "mixed_bfloat16" if fast else "float32"


@contextlib.contextmanager
def computing_in(name: str):
    """Return a context in which networks are built to compute in a precision, to be trained.

    ``name`` is "float32", "mixed_bfloat16" or "auto" (see ``choose_precision``). Says what "auto"
    is, and warns of bfloat16 where it is slow.
    """
    chosen, before = choose_precision(name), keras.config.dtype_policy()
    if chosen != "float32" and name == "auto":
        logger.info("computing in bfloat16, which this processor multiplies fastest (PRECISION)")
    elif chosen != "float32" and not multiplies_bfloat16():
        logger.warning(
            "PRECISION is %s, but this %s does not say that it multiplies bfloat16. Without that a "
            'step takes 4 to more than 20 times as long as in float32: set it to "float32", or to '
            '"auto", which looks for itself. Trainings then begin anew; where it is multiplied, '
            "this one goes on",
            name,
            "GPU" if backend.has_gpu() else "processor",
        )
    keras.config.set_dtype_policy(chosen)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def fit_to_processor(network: keras.Model) -> None:
    """Have a network compute in float32 where it is run on what does not multiply bfloat16.

    It may have been trained on another GPU, or CPU. Its weights are float32 as they are.
    """
    if multiplies_bfloat16():
        return
    for layer in network.layers:
        if layer.compute_dtype == "bfloat16":
            layer.dtype_policy = "float32"

"""What TensorFlow and PyTorch do differently: gradients, the way to run networks, the device.

The networks and their training steps are written once, in ``keras.ops`` and Keras layers, on top
of the functions here; the layers' fast paths are in ``models/fast/``.
"""

import contextlib
import contextvars
import os

import numpy as np


@contextlib.contextmanager
def _silent_stderr():
    """Keep TensorFlow's remarks on CUDA and oneDNN, which no option silences, off the screen."""
    keep = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        os.close(nowhere)


with _silent_stderr():  # so this module, or `models.devices`, is to be imported before Keras
    import keras

# The fast paths are for (b, h, w, c); a file in the user's home may say otherwise.
keras.config.set_image_data_format("channels_last")
BACKEND = keras.backend.backend()
tf = torch = None
if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "torch":
    import torch
    from keras.src.backend.torch.core import get_device  # has no public name
else:
    raise ValueError(
        f'KERAS_BACKEND is "{BACKEND}"; this project runs on "tensorflow" or "torch". '
        "Set one of them in StartProcess.py or in the environment."
    )


# --- Gradients --------------------------------------------------------------------------------


def value_and_gradients(loss_function, variables):
    """Return ``(loss, extra), gradients`` of ``loss_function() -> (loss, extra)``.

    Only the gradients asked for are computed. A variable that does not take part has gradient
    None.
    """
    values = [variable.value for variable in variables]
    if BACKEND == "tensorflow":
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss, extra = loss_function()
        return (loss, extra), tape.gradient(loss, values)
    loss, extra = loss_function()
    return (loss, extra), list(torch.autograd.grad(loss, values, allow_unused=True))


def input_gradient(function, x):
    """Return d sum(function(x)) / dx, of x's shape; it can be differentiated again."""
    if BACKEND == "tensorflow":
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)
    if not x.requires_grad:
        x = x.detach().requires_grad_(True)
    return torch.autograd.grad(function(x).sum(), x, create_graph=True)[0]


def stop_gradient(x):
    """Return x as a constant."""
    return tf.stop_gradient(x) if BACKEND == "tensorflow" else x.detach()


def clip(x, low, high):
    """Return x, but at least ``low`` and at most ``high``, two numbers; NaN stays."""
    return tf.clip_by_value(x, low, high) if BACKEND == "tensorflow" else x.clamp(low, high)


def pad(x, margins):
    """Return x with zeros around it; ``margins`` are (before, after) for each axis.

    ``keras.ops.pad`` takes longer to be called than a small kernel to be padded.
    """
    if BACKEND == "tensorflow":
        return tf.pad(x, margins)
    return torch.nn.functional.pad(x, [size for pair in reversed(margins) for size in pair])


def stack(tensors):
    """Return tensors of one shape along a new last axis.

    ``keras.ops.stack`` keeps them in memory with torch, until cyclic garbage is collected.
    """
    return tf.stack(tensors, -1) if BACKEND == "tensorflow" else torch.stack(tensors, -1)


def assign_rows(variable, rows, values):
    """Set variable[rows] = values in place; rows int32 (n,), no two equal, values (n, ...)."""
    if BACKEND == "tensorflow":
        variable.value.scatter_nd_update(rows[:, None], values)
        return
    with torch.no_grad():
        variable.value.index_copy_(0, rows.long(), values)


def without_gradients():
    """Return a context in which nothing is kept for a backward pass."""
    return contextlib.nullcontext() if BACKEND == "tensorflow" else torch.no_grad()


# --- Running ----------------------------------------------------------------------------------


def to_device(arrays):
    """Return NumPy arrays as tensors on the current device, without waiting for the copy."""
    if BACKEND == "tensorflow":
        return tuple(tf.convert_to_tensor(array) for array in arrays)
    device = torch_device()
    tensors = (_as_torch(array) for array in arrays)
    if device.type != "cuda":
        return tuple(tensor.to(device) for tensor in tensors)
    return tuple(tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors)


def _as_torch(array):
    """Return a NumPy array as a tensor of the same memory, with the strides PyTorch would give it.

    Of axes of length 1 NumPy's may be 0, and images are then not known to be channels_last.
    """
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array.reshape(-1)).view(array.shape)


def run_without_gradients(function, x):
    """Return ``function(x)``, tensor to tensor, for NumPy x, both ends as NumPy float32."""
    with without_gradients():
        y = function(to_device((np.asarray(x, np.float32),))[0])
    return keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))


def compile_for_open_sizes(function, shape):
    """Return ``function`` (float32 tensor to tensor) made ready to be called many times.

    ``shape`` has None where sizes differ: TensorFlow traces one graph for all of them. PyTorch runs
    the function as it is.
    """
    if BACKEND == "torch":
        return function
    return tf.function(function, input_signature=[tf.TensorSpec(shape)], autograph=False)


# --- Devices ----------------------------------------------------------------------------------


def has_gpu():
    """Return whether this process computes on a GPU; False within ``on_cpu``."""
    if BACKEND == "tensorflow":
        return not _is_on_cpu.get() and bool(tf.config.get_visible_devices("GPU"))
    return torch_device().type == "cuda"


def torch_device():
    """Return the device Keras puts torch tensors on."""
    return torch.device(get_device())


# Of each thread by itself, as Keras's device is.
_is_on_cpu = contextvars.ContextVar("is on cpu", default=False)


@contextlib.contextmanager
def on_cpu():
    """Return a context in which networks are built and run on the CPU."""
    before = _is_on_cpu.set(True)
    try:
        with keras.device("cpu:0" if BACKEND == "tensorflow" else "cpu"):
            yield
    finally:
        _is_on_cpu.reset(before)


# How it is said besides by errors of its own kind: on a CPU, and where NVIDIA's libraries have no
# room. With TensorFlow none of cuDNN's algorithms works then.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "Unable to allocate",
    "OOM when allocating",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "unable to find an engine to execute this computation",
    "canUse32BitIndexMath",  # the image is too large for a kernel
    "No algorithm worked",
    "failed to allocate",
    "Failed to allocate",
    # Where other processes leave no room for a library's own.
    "DNN library initialization failed",
    "Could not create cudnn handle",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
)


def is_out_of_memory(error):
    """Return whether an exception says that the GPU's memory, or the computer's, is full."""
    if BACKEND == "tensorflow":
        exactly, others = tf.errors.ResourceExhaustedError, tf.errors.OpError
    else:
        exactly, others = torch.OutOfMemoryError, RuntimeError
    return isinstance(error, exactly) or (
        isinstance(error, others) and says_out_of_memory(str(error))
    )


def says_out_of_memory(text):
    """Return whether an error's text says so; Keras gives it in others of its own, of weights."""
    return any(words in text for words in OUT_OF_MEMORY)

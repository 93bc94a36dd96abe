"""The only room that knows TensorFlow from PyTorch: gradients, compilation, devices, fast kernels.

Everything else in ``models/`` is written once, in ``keras.ops`` and Keras layers, on top of the
functions here. All image tensors are (batch, height, width, channels). Source of the torch kernels'
form: Keras 3.15 copies every activation twice around a convolution to change its layout; a
permuted view of the same memory is PyTorch's ``channels_last`` format, which needs no copy.
"""

import contextlib
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


with _silent_stderr():
    import keras

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "torch":
    import torch
    import torch.nn.functional as F
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


def without_gradients():
    """Return a context in which nothing is kept for a backward pass."""
    return contextlib.nullcontext() if BACKEND == "tensorflow" else torch.no_grad()


# --- Running ----------------------------------------------------------------------------------


def compile_step(step, use_xla=None):
    """Return ``step`` (arrays in, a dict of scalars out) made ready to be called many times.

    TensorFlow traces it into one graph; ``use_xla`` None compiles that with XLA on a GPU, where
    it fuses the passes over memory between the convolutions. PyTorch runs it as it is.
    """
    if BACKEND == "torch":
        # All steps have one shape, for which cuDNN may look for its fastest kernels.
        torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        return step
    if use_xla is None:
        use_xla = has_gpu()
    return tf.function(step, jit_compile=use_xla, autograph=False, reduce_retracing=True)


def to_device(arrays):
    """Return NumPy arrays as tensors on the current device, without waiting for the copy."""
    if BACKEND == "tensorflow":
        return tuple(tf.convert_to_tensor(array) for array in arrays)
    device = torch_device()
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    if device.type != "cuda":
        return tuple(tensor.to(device) for tensor in tensors)
    return tuple(tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors)


def predict(network, x):
    """Return ``network(x)`` in inference mode, NumPy in and out, float32.

    Runs eagerly: images of many sizes are neither compiled again nor kept.
    """
    with without_gradients():
        y = network(to_device((x,))[0], training=False)
    return keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))


# --- Devices ----------------------------------------------------------------------------------


_device_of_process = contextlib.ExitStack()


def set_up_devices(
    use_gpus="all", allow_memory_growth=True, deterministic=False, independent_networks=1
):
    """Choose the GPUs this process may use; call it before anything is computed.

    Parameters
    ----------
    use_gpus : "all", a number of GPUs, or a list of their indices. One process trains on one GPU:
        the first of the choice. 0 or [] is the CPU.
    allow_memory_growth : tensorflow only; False takes all GPU memory at once.
    deterministic : on a GPU, only kernels that give the same bits every time; slower.
    independent_networks : tensorflow on a CPU only; how many networks of a step can be computed
        at the same time. Each gets its share of the cores: one small convolution cannot use many.

    Raises
    ------
    ValueError
        If a GPU is asked for that is not there.
    """
    there = gpu_names()
    if use_gpus == "all":
        chosen = list(range(len(there)))
    else:
        chosen = list(range(use_gpus)) if isinstance(use_gpus, int) else list(use_gpus)
        missing = [index for index in chosen if index >= len(there)]
        if missing:
            raise ValueError(
                f'USE_GPUS_NO = {use_gpus!r}, but {BACKEND} finds {len(there)} GPU(s). Use "all", '
                f"a number up to {len(there)}, or a list of indices below {len(there)}."
            )
    if BACKEND == "tensorflow":
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        devices = tf.config.list_physical_devices("GPU")
        tf.config.set_visible_devices([devices[index] for index in chosen[:1]], "GPU")
        for index in chosen[:1]:
            tf.config.experimental.set_memory_growth(devices[index], allow_memory_growth)
        if independent_networks > 1 and not (chosen and devices):
            cores = max((os.cpu_count() or 1) // independent_networks, 1)
            tf.config.threading.set_inter_op_parallelism_threads(independent_networks)
            tf.config.threading.set_intra_op_parallelism_threads(cores)
        return
    _device_of_process.close()
    _device_of_process.enter_context(keras.device(f"cuda:{chosen[0]}" if chosen else "cpu"))
    torch.set_float32_matmul_precision("high")
    if deterministic or not chosen:
        # On a CPU this costs next to nothing, and some kernels differ from run to run without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # We read no memory before we write it: no need to fill it with a number first.
        torch.utils.deterministic.fill_uninitialized_memory = False


def gpu_names():
    """Return the GPUs the backend can use, by name."""
    if BACKEND == "tensorflow":
        return [device.name for device in tf.config.list_physical_devices("GPU")]
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def has_gpu():
    """Return whether this process computes on a GPU."""
    if BACKEND == "tensorflow":
        return bool(tf.config.get_visible_devices("GPU"))
    return torch_device().type == "cuda"


def torch_device():
    """Return the device Keras puts torch tensors on."""
    return torch.device(get_device())


def on_cpu():
    """Return a context in which networks are built and run on the CPU."""
    return keras.device("cpu:0" if BACKEND == "tensorflow" else "cpu")


def is_out_of_memory(error):
    """Return whether an exception says that the GPU's memory is full."""
    if BACKEND == "tensorflow":
        return isinstance(error, tf.errors.ResourceExhaustedError)
    return isinstance(error, torch.OutOfMemoryError)


def versions():
    """Return the versions of Keras and the backend library, and the devices, for options.json."""
    library = tf if BACKEND == "tensorflow" else torch
    return {
        "keras": keras.__version__,
        BACKEND: library.__version__,
        "gpus": gpu_names() if has_gpu() else [],
    }


# --- Fast kernels for layers.py ---------------------------------------------------------------
# torch only; with TensorFlow layers.py leaves the Keras layers as they are, but for the two
# functions at the end.


def _same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _torch_kernel(kernel, device_type):
    # PyTorch's order, in the memory format its convolutions want: cuDNN the images' own, the CPU
    # the plain one (its path for small images refuses others).
    plain = torch.contiguous_format
    memory_format = torch.channels_last if device_type == "cuda" else plain
    return kernel.permute(3, 2, 0, 1).contiguous(memory_format=memory_format)


def torch_convolution(x, kernel, bias, stride, padding):
    """2-D convolution of (b, h, w, in) with a (kh, kw, in, out) kernel; padding same or valid."""
    x = x.permute(0, 3, 1, 2)
    amount = 0
    if padding == "same":
        top, bottom = _same_padding(x.shape[2], kernel.shape[0], stride)
        left, right = _same_padding(x.shape[3], kernel.shape[1], stride)
        if top == bottom and left == right:
            amount = (top, left)
        else:
            x = F.pad(x, (left, right, top, bottom))
    y = F.conv2d(x, _torch_kernel(kernel, x.device.type), bias, stride, amount)
    return y.permute(0, 2, 3, 1)


def torch_transposed_convolution(x, kernel, bias, stride):
    """Transposed convolution, padding "same": (b, h, w, in) -> (b, stride h, stride w, out).

    The kernel is (kh, kw, out, in). What sticks out of the "same" frame is cut off at the end,
    as in TensorFlow, before at the start.
    """
    x = x.permute(0, 3, 1, 2)
    y = F.conv_transpose2d(x, _torch_kernel(kernel, x.device.type), bias, stride)
    height, width = stride * x.shape[2], stride * x.shape[3]
    top = max(y.shape[2] - height, 0) // 2
    left = max(y.shape[3] - width, 0) // 2
    return y[:, :, top : top + height, left : left + width].permute(0, 2, 3, 1)


def torch_max_pool(x):
    """Maximum over 2 x 2 windows."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def torch_upsample(x):
    """Twice the height and width, nearest neighbour."""
    return F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="nearest").permute(0, 2, 3, 1)


def batch_normalization(x, gamma, beta, epsilon):
    """Normalise (b, h, w, c) with the batch's own statistics; return (y, mean, variance).

    Both statistics come from the one fused kernel; the variance is the biased one, as in Keras.
    ``gamma`` None is 1.
    """
    gamma = keras.ops.ones_like(beta) if gamma is None else gamma
    if BACKEND == "torch":
        y, mean, inverse_deviation = torch.native_batch_norm(
            x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
        )
        variance = inverse_deviation.detach() ** -2 - epsilon
        return y.permute(0, 2, 3, 1), mean.detach(), variance
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
    biased = variance * (count - 1.0) / count
    return y, tf.stop_gradient(mean), tf.stop_gradient(biased)


def update_moving_average(variable, value, momentum):
    """Set a variable to momentum * variable + (1 - momentum) * value, without copies to a GPU."""
    if BACKEND == "torch":
        with torch.no_grad():
            variable.value.lerp_(value.to(variable.value.dtype), 1.0 - momentum)
        return
    variable.assign(variable.value * momentum + value * (1.0 - momentum))


def instance_normalization(x, gamma, beta, epsilon):
    """Normalise each channel of each image over its pixels, in float32.

    On TensorFlow the variance is taken from the centred values: ``tf.nn.moments`` treats the mean
    as a constant, which spoils second derivatives. So it is with torch on a CPU, where
    ``var_mean`` goes through the pixels one by one; on a GPU that is one pass over the memory.
    """
    if BACKEND == "torch" and x.is_cuda:
        variance, mean = torch.var_mean(x.float(), dim=(1, 2), correction=0, keepdim=True)
        scale = torch.rsqrt(variance + epsilon) * gamma
        return torch.addcmul(beta - mean * scale, x.float(), scale).to(x.dtype)
    if BACKEND == "torch":
        wide = x.float()
        centred = wide - wide.mean(dim=(1, 2), keepdim=True)
        variance = centred.square().mean(dim=(1, 2), keepdim=True)
        return torch.addcmul(beta, centred, torch.rsqrt(variance + epsilon) * gamma).to(x.dtype)
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(wide, axis=(1, 2), keepdims=True)
    centred = wide - mean
    variance = tf.reduce_mean(tf.square(centred), axis=(1, 2), keepdims=True)
    return tf.cast(centred * (tf.math.rsqrt(variance + epsilon) * gamma) + beta, x.dtype)


def reflection_pad(x, top, bottom, left, right):
    """Mirror the image at its border, without repeating the border pixels."""
    if BACKEND == "torch":
        x = x.permute(0, 3, 1, 2)
        return F.pad(x, (left, right, top, bottom), mode="reflect").permute(0, 2, 3, 1)
    return tf.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="REFLECT")

"""Which GPUs this process computes on, and how: chosen once, before anything is computed."""

import contextlib
import itertools
import os

from models import backend
from models.backend import BACKEND, keras, tf, torch
from models.fast import compiled_steps
from models.fast.process_memory import keep_freed_memory
from models.processor import available_cores, threads_within_quota

is_deterministic = False  # what `set_up_devices` was told
_device_of_process = contextlib.ExitStack()


def set_up_devices(
    use_gpus="all",
    allow_memory_growth=True,
    deterministic=False,
    independent_networks=1,
    use_xla="auto",
):
    """Choose the GPUs this process may use; call it before anything is computed.

    Parameters
    ----------
    use_gpus : "all", a number of GPUs, or a list of their indices. One process trains on one GPU:
        the first of the choice; of "all" the first that torch can compute on, or else the CPU. 0
        or [] is the CPU.
    allow_memory_growth : tensorflow only; False takes all GPU memory at once.
    deterministic : the same bits every time, and slower: on a GPU by such kernels only, with torch
        on a CPU by one thread, as sums of several differ in their last bits.
    independent_networks : tensorflow on a CPU only; how many networks of a step can be computed
        at the same time. Each gets its share of the cores: one small convolution cannot use many.
    use_xla : tensorflow only; True, False, or "auto": for training steps on a GPU, unless they are
        to be deterministic, which not all of XLA's kernels are. So True does not go with that.

    Returns
    -------
    A line for the log where a choice costs time, or None.

    Raises
    ------
    ValueError
        If a GPU is asked for that is not there, or XLA for steps that are to be deterministic.
    """
    if BACKEND == "tensorflow" and use_xla is True and deterministic:
        raise ValueError(
            "DETERMINISTIC = True does not go with USE_XLA = True: not all of XLA's kernels repeat "
            'themselves. Use "auto" or False for USE_XLA, or DETERMINISTIC = False.'
        )
    global is_deterministic
    is_deterministic = deterministic
    compiled_steps.xla_for_steps = False if use_xla == "auto" and deterministic else use_xla
    keep_freed_memory()
    chosen = _chosen_gpus(use_gpus)
    if BACKEND == "tensorflow":
        _set_up_tensorflow(chosen, allow_memory_growth, deterministic, independent_networks)
        return None
    _set_up_torch(chosen, deterministic)
    if deterministic and not chosen:
        return "DETERMINISTIC is True: torch computes on one thread of the CPU"
    return None


def _chosen_gpus(use_gpus):
    """Return the indices of GPUs that ``use_gpus`` names; ValueError where one is missing."""
    if use_gpus in (0, []):
        return []  # whatever the GPUs and their driver are
    there = len(gpu_names())
    if use_gpus == "all":
        # TensorFlow must not compute before its devices are chosen.
        usable = (i for i in range(there) if BACKEND == "tensorflow" or can_use_gpu(i))
        return list(itertools.islice(usable, 1))
    chosen = list(range(use_gpus)) if isinstance(use_gpus, int) else list(use_gpus)
    if any(index >= there for index in chosen):
        raise ValueError(
            f'USE_GPUS_NO = {use_gpus!r}, but {BACKEND} finds {there} GPU(s). Use "all", '
            f"a number up to {there}, or a list of indices below {there}."
        )
    return chosen


def _set_up_tensorflow(chosen, allow_memory_growth, deterministic, independent_networks):
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = tf.config.list_physical_devices("GPU")
    tf.config.set_visible_devices([devices[index] for index in chosen[:1]], "GPU")
    for index in chosen[:1]:
        tf.config.experimental.set_memory_growth(devices[index], allow_memory_growth)
    for name, threads in threads_within_quota().items():
        os.environ.setdefault(name, threads)  # StartProcess.py has set them, other callers not
    if independent_networks > 1 and not chosen:
        cores = max(available_cores() // independent_networks, 1)
        tf.config.threading.set_inter_op_parallelism_threads(independent_networks)
        tf.config.threading.set_intra_op_parallelism_threads(cores)


def _set_up_torch(chosen, deterministic):
    _device_of_process.close()
    _device_of_process.enter_context(keras.device(f"cuda:{chosen[0]}" if chosen else "cpu"))
    if chosen:
        torch.cuda.set_device(chosen[0])
        # On Windows the driver goes on in the computer's memory, far slower, instead of telling.
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.set_float32_matmul_precision("high")  # TF32; on a CPU it may round, too
    if deterministic or not chosen:
        # On a CPU this costs next to nothing, and some kernels differ from run to run without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # We read no memory before we write it: no need to fill it with a number first.
        torch.utils.deterministic.fill_uninitialized_memory = False
    if deterministic and not chosen:
        torch.set_num_threads(1)
    elif available_cores() < torch.get_num_threads():  # it starts one a core, granted or not
        torch.set_num_threads(available_cores())


def gpu_names():
    """Return the GPUs the backend can use, by name."""
    if BACKEND == "tensorflow":
        return [device.name for device in tf.config.list_physical_devices("GPU")]
    # Where the driver is too old for this PyTorch they are counted, too.
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(i) for i in range(number)]


def finds_gpu(use_gpus):
    """Return whether the backend can compute on the GPU that ``use_gpus`` chooses.

    As in `set_up_devices`; of "all" torch takes the first that it can compute on, TensorFlow the
    first.
    """
    if use_gpus == "all" and BACKEND == "torch":
        return bool(_chosen_gpus("all"))
    is_list = isinstance(use_gpus, list | tuple)
    return can_use_gpu(use_gpus[0] if is_list else 0)


def can_use_gpu(index):
    """Return whether the backend finds the GPU with this number and can compute on it.

    It may be made for newer ones only. One whose memory others fill at the moment is usable.
    """
    if index >= len(gpu_names()):
        return False
    try:
        if BACKEND == "tensorflow":
            with tf.device(f"GPU:{index}"):
                total = tf.reduce_sum(tf.ones(2))
            # Of a GPU that it does not support it computes on the CPU, without a word.
            return "GPU" in total.device and float(total) == 2
        return float(torch.ones(2, device=f"cuda:{index}").sum()) == 2
    except Exception as error:
        return backend.is_out_of_memory(error)


def versions():
    """Return the versions of Keras and its backend, and the GPU in use, for options.json."""
    library = tf if BACKEND == "tensorflow" else torch
    return {
        "keras": keras.__version__,
        BACKEND: library.__version__,
        "gpus": [_name_of_gpu_in_use()] if backend.has_gpu() else [],
    }


def _name_of_gpu_in_use():
    if BACKEND == "torch":
        return torch.cuda.get_device_name()
    device = tf.config.get_visible_devices("GPU")[0]
    return tf.config.experimental.get_device_details(device).get("device_name", device.name)

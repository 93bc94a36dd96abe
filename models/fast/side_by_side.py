"""Independent computations side by side: PyTorch's, on a CPU.

Of small images a kernel is too short for its work to be divided: two threads of one core each
get through almost twice as much as both cores get through one kernel after the other. TensorFlow
runs what is independent in a graph side by side itself (`models.devices`).
"""

import concurrent.futures
import functools

from models import backend


def side_by_side(*functions):
    """Return what each function returns, in order.

    They must not write what another of them reads or writes. With torch on a CPU of several cores
    each gets its share of the threads, and computes as it would with that many alone; everywhere
    else one runs after the other.
    """
    threads = backend.torch.get_num_threads() if backend.BACKEND == "torch" else 1
    if threads < len(functions) or backend.has_gpu():
        return [function() for function in functions]
    workers = _workers(threads // len(functions), len(functions))
    futures = [workers.submit(_on_cpu, function) for function in functions]
    return [future.result() for future in futures]


def _on_cpu(function):
    with backend.on_cpu():  # a thread does not take over its maker's device
        return function()


@functools.cache
def _workers(threads, number):
    """Return ``number`` threads whose kernels use ``threads`` cores each."""
    return concurrent.futures.ThreadPoolExecutor(
        number, "side_by_side", initializer=_start, initargs=(threads,)
    )


def _start(threads):
    backend.torch.get_num_threads()  # or the first kernel would set the number of all others
    backend.torch.set_num_threads(threads)

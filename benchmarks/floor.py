"""The least time that networks can take on this machine: operations and memory, at measured rates.

Imported after the backend is chosen. On a CPU the rates are measured by a process of its own, this
file run as a script: the CycleGAN's benchmark gives TensorFlow but half of the threads at once.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
from keras import ops

from benchmarks.measuring import wait_for_device
from models import backend, layers

REPEATS = 10


def floor(passes: Iterable[tuple], precision: str) -> dict[str, float]:
    """Return the least ``seconds`` of these passes, and what they follow from.

    ``passes`` are (network, shape (h, w, c), number of passes of one image of that shape). A pass
    is a forward one, or one of the two halves of a backward pass: the gradient of the weights or
    that of the input; each multiplies as often. Counted are the multiplications of convolutions
    and dense layers, two operations each with its addition, and their inputs and outputs, moved
    once, as if all else were fused into them and the weights cost nothing.
    """
    operations = numbers = 0
    for network, shape, count in passes:
        multiplications, moved = count_work(network, shape)
        operations += 2 * multiplications * count
        numbers += moved * count
    dtype = "float32" if precision == "float32" else "bfloat16"
    operations_per_second, bytes_per_second = rates_of_machine(dtype)
    by_operations = operations / operations_per_second
    by_memory = numbers * (4 if dtype == "float32" else 2) / bytes_per_second
    return {
        "seconds": max(by_operations, by_memory),
        "by_operations": by_operations,
        "by_memory": by_memory,
        "gflop": operations / 1e9,
        "gflop_per_second": operations_per_second / 1e9,
        "gigabytes_per_second": bytes_per_second / 1e9,
    }


def count_work(network: keras.Model, shape: tuple) -> tuple[int, int]:
    """Return the multiplications of a forward pass of one image, and the numbers it moves."""
    image = keras.Input(batch_shape=(1, *shape))
    of_this_size = keras.models.clone_model(network, input_tensors=image)
    multiplications = moved = 0
    for layer in of_this_size.layers:
        if hasattr(layer, "kernel"):
            transposed = isinstance(layer, (keras.layers.Conv2DTranspose, layers.ResizeConv2D))
            places = (layer.input if transposed else layer.output).shape[1:-1]
            kernel = layer.kernel.shape
            if isinstance(layer, layers.ResizeConv2D):  # see `convolutions.resize_convolution`
                kernel = kernel[0] + 1, kernel[1] + 1, *kernel[2:]
            multiplications += math.prod(kernel) * math.prod(places)
            moved += math.prod(layer.input.shape) + math.prod(layer.output.shape)
    return multiplications, moved


def rates_of_machine(dtype: str) -> tuple[float, float]:
    """Return the operations and the bytes a second this machine reaches, with all its threads."""
    if backend.has_gpu():
        return measure_rates(dtype)
    command = [sys.executable, __file__, dtype]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(json.loads(answer.stdout.splitlines()[-1]))


def measure_rates(dtype: str) -> tuple[float, float]:
    """Return the operations and the bytes a second this machine reaches.

    The better of a matrix product and a convolution, and of reading and copying an array; the
    fastest repeat counts, as this is to be a floor.
    """
    side, batch, megabytes = (8192, 128, 1024) if backend.has_gpu() else (2048, 8, 128)
    random = np.random.default_rng(0)

    def tensor(*shape, dtype):
        array = random.standard_normal(shape, dtype=np.float32)
        return ops.cast(backend.to_device((array,))[0], dtype)

    matrix = tensor(side, side, dtype=dtype)
    image = tensor(batch, 48, 48, 256, dtype=dtype)
    convolution = layers.Conv2D(256, 3, padding="same", use_bias=False, dtype=dtype)
    long = tensor(megabytes * 2**18, dtype="float32")
    with backend.without_gradients():
        convolution(image)
        operations = (
            2 * side**3 / _fastest(lambda: ops.matmul(matrix, matrix)),
            2 * math.prod(image.shape) * 9 * 256 / _fastest(lambda: convolution(image)),
        )
        moved = (
            megabytes * 2**20 / _fastest(lambda: ops.sum(long)),
            megabytes * 2**21 / _fastest(lambda: long * 2.0),
        )
    return max(operations), max(moved)


def _fastest(function: Callable) -> float:
    seconds = []
    for _ in range(REPEATS):
        wait_for_device()
        start = time.perf_counter()
        function()
        wait_for_device()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps(measure_rates(sys.argv[1])))

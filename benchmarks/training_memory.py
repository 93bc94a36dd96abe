"""How much memory a training step needs on a GPU, counted without one; with torch.

The step runs on a device that holds no numbers ("meta"), with the kernels for a GPU, and what its
tensors would take is counted from operation to operation, the weights and Adam's means included.
Not counted: what CUDA and cuDNN take besides, and gaps between tensors; and copies that change the
order in memory may be others than on a GPU.

    python benchmarks/training_memory.py --network cyclegan --batch 5
"""

import argparse
import sys
import weakref
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import PRECISIONS, print_json, start_backend

# Batch, side of an image in pixels, and filters of the published workflow.
PUBLISHED = {"wgan": (64, 64, None), "cyclegan": (5, 384, 64), "unet": (5, 384, 16)}
parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--network", choices=PUBLISHED, required=True)
parser.add_argument("--precision", default="float32", choices=PRECISIONS)
for name, meaning in (
    ("batch", "images in a batch"),
    ("size", "side of an image in pixels"),
    ("filters", "of the CycleGAN's and the UNet's first convolution"),
):
    parser.add_argument(f"--{name}", type=int, help=f"{meaning}; default: as published")
parser.set_defaults(backend="torch", threads=1, no_tf32=False, xla="auto")


def build_step(options: argparse.Namespace):
    """Return a training step, and a batch of zeros for it."""
    random, batch, size = np.random.default_rng(0), options.batch, options.size
    images = np.zeros((batch, size, size, 1), np.float32)
    if options.network == "wgan":
        model = wgan_gp.build_wgan((size, size), 128, gradient_penalty_weight=10.0)
        model.set_up(2e-4, 0.5, 0.9)
        latent, alpha = np.zeros((4, batch, 128)), np.zeros((3, batch, 1, 1, 1))
        arrays = images, latent.astype(np.float32), alpha.astype(np.float32)
    elif options.network == "cyclegan":
        model = cyclegan.build_cyclegan(
            options.filters,
            images.shape[1:],
            pool_size=50,
            lambda_cycle=(10.0, 10.0),
            lambda_identity=(0.5, 0.5),
            label_smoothing_factor=0.0,
        )
        model.set_up(2e-4, 0.5)
        choices = image_pool.draw_pool_choices(random, 50, batch, 0)
        arrays = images, images, *choices
    else:
        model = multires_unet.build_unet(options.filters, with_centrality=True, gap_weight=10)
        model.set_up(1e-3)
        arrays = images, np.zeros((batch, size, size, 3), np.float32)
    return model.train_step, arrays


def count_memory(options: argparse.Namespace) -> tuple[int, int]:
    """Return the bytes that are held before a step, and at most within it."""

    class Counter(python_dispatch.TorchDispatchMode):
        """Add up the bytes of all storages that are alive."""

        def __init__(self):
            super().__init__()
            self.alive, self.held, self.peak = weakref.WeakSet(), 0, 0

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            results = function(*arguments, **(keywords or {}))
            for tensor in results if isinstance(results, tuple | list) else (results,):
                if isinstance(tensor, torch.Tensor) and tensor.device.type == "meta":
                    self.count(tensor.untyped_storage())
            return results

        def count(self, storage):
            if storage in self.alive:
                return
            self.alive.add(storage)
            weakref.finalize(storage, self.let_go, storage.nbytes())
            self.held += storage.nbytes()
            self.peak = max(self.peak, self.held)

        def let_go(self, size):
            self.held -= size

    with keras.device("meta"), Counter() as counter:
        step, arrays = build_step(options)
        arrays = backend.to_device(arrays)
        before = counter.held
        counter.peak = before
        step(arrays)
    return before, counter.peak


def main(options: argparse.Namespace) -> None:
    """Count, and print both figures and a line of JSON."""
    before, peak = (size / 2**20 for size in count_memory(options))
    shape = f"batch {options.batch}, {options.size} x {options.size} pixels, {options.precision}"
    print(f"{options.network}, {shape}: {before:.0f} MB before a step, {peak:.0f} MB within")
    print_json({"peak_memory_mb": round(peak), "before_mb": round(before)})


if __name__ == "__main__":
    chosen = parser.parse_args()
    for name, value in zip(("batch", "size", "filters"), PUBLISHED[chosen.network], strict=True):
        if value is None and getattr(chosen, name) is not None:
            parser.error(f"--{name} is not for --network {chosen.network}: it has none to choose")
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    start_backend(chosen)

    import keras
    import numpy as np
    import torch
    from torch.utils import _python_dispatch as python_dispatch

    from benchmarks.pretended_gpu import choose_gpu_kernels, let_meta_train
    from models import backend, cyclegan, image_pool, multires_unet, wgan_gp

    choose_gpu_kernels(setattr)
    let_meta_train(setattr)
    main(chosen)

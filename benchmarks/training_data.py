"""What the UNet's training tiles take: seconds and peak memory of reading them for one epoch.

Step 6a itself, but for its network: the batches are made in its background threads, and forgotten.
With USE_DATALOADER True tiles are read from the disk batch by batch, so that memory stays the same
whatever their number; with False all are loaded first. Each case runs in a process of its own, so
that its peak is its own; that of imports is said beside.

    python benchmarks/training_data.py --tiles 200 2000
"""

import argparse
import itertools
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import peak_memory_mb, print_json, start_backend
from pipeline.image_files import write_image

BATCH = 5
PITCH = 48  # pixels from one particle to the next; they are a third of it in radius
NOISE = 40  # grey levels, different in each tile

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "torch"))
parser.add_argument("--threads", type=int, help="of the backend, on the CPU")
# Of the network, which does not run.
parser.set_defaults(precision="float32", no_tf32=False, xla="auto")
parser.add_argument("--tiles", type=int, nargs="+", default=[200, 2000], help="so many each")
parser.add_argument("--size", type=int, default=384, help="side of a tile in pixels")
parser.add_argument("--target", choices=("mask", "instances"), default="mask")


def write_tiles(cyclegan_dir: Path, number: int, size: int) -> None:
    """Write ``number`` noisy tiles, their masks and their label maps where step 6a reads them."""
    rows, columns = np.indices((size, size))
    inside = np.hypot(*(axis % PITCH - PITCH // 2 for axis in (rows, columns))) < PITCH / 3
    labels = (rows // PITCH * (size // PITCH + 1) + columns // PITCH + 1) * inside
    folders = ("A", "Synthetic_Masks_Filtered", "Synthetic_Labels_Filtered")
    for folder in folders:
        (cyclegan_dir / "generate_images" / folder).mkdir(parents=True)
    for index in range(number):
        noise = np.random.default_rng(index).integers(NOISE, size=inside.shape)
        images = (60 + 120 * inside + noise).astype(np.uint8), inside * np.uint8(255), labels
        for folder, image in zip(folders, images, strict=True):
            path = cyclegan_dir / "generate_images" / folder / f"{index:05d}.tif"
            write_image(path, image.astype(np.uint16) if image is labels else image)


def read_one_epoch(root: Path, use_dataloader: bool, options: argparse.Namespace) -> dict:
    """Return what step 6a takes in this process, its network left out: seconds and MB."""
    start_backend(options)
    from pipeline import train_unet
    from pipeline.training.batches import Prefetcher

    imports_mb = peak_memory_mb()
    measured = {}

    def only_read(model, make_batch, *, steps_per_epoch, epochs, **_):
        reading = time.perf_counter()
        with Prefetcher(
            make_batch, itertools.product(range(epochs), range(steps_per_epoch))
        ) as batches:
            for _ in range(steps_per_epoch):
                batches.next()
        now = time.perf_counter()
        measured.update(
            seconds=round(now - start, 1),
            seconds_per_step=round((now - reading) / steps_per_epoch, 4),
            peak_memory_mb=round(peak_memory_mb()),
            imports_mb=round(imports_mb),
        )

    train_unet.train = only_read
    start = time.perf_counter()
    train_unet.train_unet(
        cyclegan_dir=root,
        images_dir=root,  # not read
        unet_dir=root / f"3_UNet_{use_dataloader}",
        batch_size=BATCH,
        epochs=1,
        most_steps=None,
        filters=16,
        target=options.target,
        contrast_range=(0.5, 99.5),
        dark_background=True,
        image_crop=None,
        micrograph_scale=1.0,
        use_dataloader=use_dataloader,
        use_brightness_and_contrast_augmentation=False,
        vary_imaging=False,
        gap_weight=10.0 if options.target == "instances" else 0.0,
        largest_particle_weight=3.0,
        least_fidelity=0.0,
        validation_share=0.2,
        learning_rate=1e-3,
        learning_rate_schedule="STEP_DECAY",
        batch_norm_momentum=0.99,
        checkpoint_minutes=10,
        precision=options.precision,
        seed=0,
    )
    return measured


def in_new_process(*arguments) -> dict:
    """Return what ``read_one_epoch`` does in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(read_one_epoch, *arguments).result()


def main(options: argparse.Namespace) -> None:
    """Read each number of tiles both ways, print a table, and a line of JSON last."""
    figures = {}
    print(f"tiles of {options.size} x {options.size} pixels in batches of {BATCH}, one epoch\n")
    print(f"{'':>8}{'USE_DATALOADER':>16}{'seconds':>9}{'s/batch':>9}{'peak MB':>9}{'imports':>9}")
    for number in options.tiles:
        with tempfile.TemporaryDirectory() as folder:
            write_tiles(Path(folder), number, options.size)
            for use_dataloader in (True, False):
                case = in_new_process(Path(folder), use_dataloader, options)
                figures[f"{number} tiles, USE_DATALOADER {use_dataloader}"] = case
                seconds, each, peak, imports = case.values()
                print(
                    f"{number:>8}{use_dataloader!s:>16}{seconds:>9.1f}{each:>9.4f}{peak:>9}"
                    f"{imports:>9}",
                    flush=True,
                )
    print_json({"backend": options.backend, "target": options.target, "cases": figures})


if __name__ == "__main__":
    main(parser.parse_args())

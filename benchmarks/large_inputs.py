"""What many micrographs, and a very large one, take: seconds and peak memory of each stage.

The stages that read micrographs: the check of all input, step 0 (tiles to train with), the UNet by
tiles, and the segmentation of its output; with `--instances` also the UNet with two channels and
four flips, and the growing of particles. The micrographs are made on the fly, of ellipses and
noise; the network has its initial weights. Each stage runs in a process of its own, so that its
peak, imports included, is its own.

    python benchmarks/large_inputs.py --micrographs 2000 --side 20000
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import network_parser, peak_memory_mb, print_json, start_backend
from models.processor import available_cores
from pipeline.image_files import write_image

HEIGHT, WIDTH, TILE, TILES = 712, 1024, 384, 1000
NOISE = 12.0  # grey levels, different in each micrograph

parser = network_parser(__doc__)
parser.add_argument("--micrographs", type=int, default=2000, help="of 1024 x 712 pixels")
parser.add_argument("--side", type=int, default=20000, help="of the large micrograph in pixels")
parser.add_argument("--instances", action="store_true", help='also step 6b for "instances"')
parser.add_argument("--no-networks", action="store_true", help="leave out what runs the UNet")
parser.add_argument("--filters", type=int, default=16, help="of the UNet")


def make_micrograph(height: int, width: int, seed: int) -> np.ndarray:
    """Return a synthetic micrograph, uint8 (height, width): one scene repeated, under new noise."""
    scene = particles_of_one_scene()
    image = np.tile(scene, (-(-height // HEIGHT), -(-width // WIDTH)))[:height, :width]
    noise = np.random.default_rng(seed).normal(0, NOISE, (HEIGHT, WIDTH)).astype(np.float32)
    image = image + np.resize(noise, image.shape).astype(np.int16)
    return np.clip(image, 0, 255).astype(np.uint8)


def particles_of_one_scene() -> np.ndarray:
    """Return ellipses of grey 180 on 60 in the left half, int16 (712, 1024)."""
    import cv2

    random = np.random.default_rng(0)
    scene = np.full((HEIGHT, WIDTH), 60, np.int16)
    for _ in range(150):
        centre = int(random.integers(WIDTH // 2)), int(random.integers(HEIGHT))
        axes = int(random.integers(6, 18)), int(random.integers(6, 18))
        cv2.ellipse(scene, centre, axes, float(random.uniform(0, 180)), 0, 360, 180, -1)
    return scene


# --- Stages, each in a process of its own ------------------------------------------------------


def check(root: Path, _) -> None:
    """Read all micrographs as the check before a run does."""
    from pipeline.checks.files import check_images

    problems, sizes = check_images("INPUT_DIR_IMAGES", root / "images", "auto", (TILE, TILE))
    if problems or not sizes:
        raise RuntimeError(problems)


def cut_tiles(root: Path, _) -> None:
    """Run step 0."""
    from pipeline.prepare_images import prepare_images

    prepare_images(
        images_dir=root / "images",
        cyclegan_dir=root / "2_CycleGAN",
        tile_height=TILE,
        tile_width=TILE,
        num_tiles=TILES,
        min_overlap=0,
        dark_background=True,
        image_crop="auto",
        micrograph_scale=1.0,
        seed=0,
    )


def predict_by_tiles(root: Path, options: argparse.Namespace) -> None:
    """Let an untrained UNet segment each micrograph by tiles, as step 6b does."""
    _predict(root, options, instances=False)


def predict_flips(root: Path, options: argparse.Namespace) -> None:
    """The same for UNET_TARGET "instances": two channels, averaged over four flips."""
    _predict(root, options, instances=True)


def _predict(root, options, instances):
    start_backend(options)
    from models.multires_unet import build_unet
    from pipeline.image_files import list_images, read_micrograph
    from pipeline.inference import make_predictor
    from pipeline.intensities import as_unet_sees

    build_unet(options.filters, with_centrality=instances).network.save(root / "network.keras")
    predict = make_predictor(
        root / "network.keras",
        whole_image=False,
        tile_height=TILE,
        tile_width=TILE,
        min_overlap=2,
        manage_overlap_mode=2,
        average_flips=instances,
    )
    for path in list_images(root / "images"):
        image = as_unet_sees(read_micrograph(path), (0.5, 99.5), True)
        output = predict(image[..., None])
        write_image(root / "probability.tif", np.ascontiguousarray(output[..., 0]))


def segment(root: Path, options: argparse.Namespace) -> None:
    """Threshold and split what a trained network might say: the scene, blurred, with its noise."""
    _segment(root, options, sigmas=(2.0,))


def grow(root: Path, options: argparse.Namespace) -> None:
    """Grow particles from what one for "instances" might say: the scene blurred more and less."""
    _segment(root, options, sigmas=(2.0, 6.0))


def _segment(root, options, sigmas):
    import cv2

    from pipeline.image_files import list_images, read_image
    from pipeline.particles.unet_output import segment_output

    for path in list_images(root / "images"):
        image = read_image(path)
        output = np.empty((*image.shape, len(sigmas)), np.float32)
        for channel, sigma in enumerate(sigmas):
            output[..., channel] = cv2.GaussianBlur(image, None, sigma)
        del image
        output /= 255
        write_image(root / "mask.tif", segment_output(output, -1, True, 9))


STAGES = {
    "check": check,
    "step 0": cut_tiles,
    "UNet by tiles": predict_by_tiles,
    "segmentation": segment,
}
# Of step 6b, where UNET_TARGET is "instances"; with --instances. Turns take the memory of flips.
OF_INSTANCES = {"UNet, 4 flips": predict_flips, "growing": grow}


def run_stage(name: str, root: Path, options: argparse.Namespace) -> dict[str, float]:
    """Run a stage in this process; return its seconds and the peak memory in MB.

    Where it had others work for it, as many as there are cores, all are taken to be as large as the
    largest of them.
    """
    start = time.perf_counter()
    (STAGES | OF_INSTANCES)[name](root, options)
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_memory_mb": round(peak_memory_mb() + available_cores() * largest),
    }


def in_new_process(name: str, root: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return what ``run_stage`` does in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(run_stage, name, root, options).result()


def main(options: argparse.Namespace) -> None:
    """Run the stages on each kind of input, print a table, and a line of JSON last."""
    of_large = [*STAGES, *(OF_INSTANCES if options.instances else ())]
    if options.no_networks:
        of_large = [stage for stage in of_large if not stage.startswith("UNet")]
    few = max(options.micrographs // 40, 1)
    inputs = {
        f"{few} micrographs": (few, HEIGHT, WIDTH, ("check", "step 0")),
        f"{options.micrographs} micrographs": (
            options.micrographs,
            HEIGHT,
            WIDTH,
            ("check", "step 0"),
        ),
        f"one of {options.side} x {options.side}": (1, options.side, options.side, of_large),
    }
    figures = {}
    print(f"{'input':<26}{'stage':<16}{'seconds':>9}{'peak MB':>9}")
    for title, (number, height, width, stages) in inputs.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "images").mkdir()
            for seed in range(number):
                image = make_micrograph(height, width, seed)
                write_image(root / "images" / f"{seed:05d}.tif", image)
            del image
            for stage in stages:
                measured = in_new_process(stage, root, options)
                figures[f"{title}, {stage}"] = measured
                seconds, peak = measured.values()
                print(f"{title:<26}{stage:<16}{seconds:>9.1f}{peak:>9}", flush=True)
    print_json({"backend": options.backend, "filters": options.filters, "stages": figures})


if __name__ == "__main__":
    main(parser.parse_args())

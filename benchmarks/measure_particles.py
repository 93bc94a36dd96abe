"""How long measuring takes: one image of 1024 x 712 with 100 particles, and a folder of 40.

The particles are turned ellipses on noise. The folder goes through the whole of step 7: tables,
confidence intervals, overlays, label maps, ROIs and the report.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import print_json, timed
from pipeline.image_files import write_image
from pipeline.measure_particles import measure_particles as measure_folder
from pipeline.particle_shapes import measure_particles
from pipeline.report.page import write_report

HEIGHT, WIDTH, ROWS, COLUMNS = 712, 1024, 10, 10

parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("--repeats", type=int, default=9, help="the median of so many is given")
parser.add_argument("--images", type=int, default=40, help="in the folder")


def draw_image(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a micrograph (uint8) and its mask (bool) with 100 particles."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for row in range(ROWS):
        for column in range(COLUMNS):
            right = x - (column + 0.5) * WIDTH / COLUMNS
            up = (row + 0.5) * HEIGHT / ROWS - y
            angle = random.uniform(0, np.pi)
            along = right * np.cos(angle) + up * np.sin(angle)
            across = up * np.cos(angle) - right * np.sin(angle)
            mask |= np.hypot(along / random.uniform(15, 34), across / random.uniform(10, 30)) < 1
    noise = random.normal(0, 12, mask.shape)
    return np.clip(60 + 110 * mask + noise, 0, 255).astype(np.uint8), mask


def time_folder(root: Path, images: int) -> tuple[dict[str, tuple[float, float]], int]:
    """Return the times of step 7 and of its report alone, and the report's bytes."""
    for folder in ("masks", "images"):
        (root / folder).mkdir()
    for number in range(images):
        micrograph, mask = draw_image(number)
        write_image(root / "images" / f"{number:03d}.tif", micrograph)
        write_image(root / "masks" / f"{number:03d}.tif", mask.astype(np.uint8) * 255)
    runs = []

    def step():
        runs.append(
            measure_folder(
                masks_dir=root / "masks",
                images_dir=root / "images",
                results_dir=root / "Results",
                pixel_size_nm=2.5,
                exclude_border=True,
                give_back_lines=True,
                filters={},
                image_crop=None,
                wgan_dir=root / "1_WGAN",
                cyclegan_dir=root / "2_CycleGAN",
                unet_dir=root / "3_UNet",
                seed=0,
            )
        )

    times = {f"step 7, {images} images": timed(step, 1)[1:]}
    times["of it the report"] = timed(lambda: write_report(runs[0]), 1)[1:]
    return times, (runs[0] / "report.html").stat().st_size


def main(arguments: argparse.Namespace) -> None:
    """Measure, print a table, and a line of JSON last."""
    micrograph, mask = draw_image(0)
    of_one = timed(lambda: measure_particles(mask, micrograph), arguments.repeats)[1:]
    times = {"measure one image": of_one}
    with tempfile.TemporaryDirectory() as root:
        folder_times, report_bytes = time_folder(Path(root), arguments.images)
    times |= folder_times
    print(f"{WIDTH} x {HEIGHT} pixels, {ROWS * COLUMNS} particles an image, one thread\n")
    print(f"{'part':<24}{'seconds':>10}{'processor':>12}")
    for part, (elapsed, work) in times.items():
        print(f"{part:<24}{elapsed:>10.3f}{work:>12.3f}")
    print(f"\nreport: {report_bytes / 1e6:.1f} MB")
    figures = {part: {"seconds": one, "processor": two} for part, (one, two) in times.items()}
    print_json(figures | {"report_bytes": report_bytes})


if __name__ == "__main__":
    main(parser.parse_args())

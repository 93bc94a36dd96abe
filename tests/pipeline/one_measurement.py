"""Step 7 on one mask, without plots and with a short bootstrap."""

from matplotlib.figure import Figure

from pipeline.image_files import write_image
from pipeline.measure_particles import measure_particles
from pipeline.particles import size_distribution
from pipeline.results import result_tables

OPTIONS = {"exclude_border": True, "give_back_lines": True, "filters": {}, "image_crop": None}


def measuring(folder, monkeypatch, mask):
    """Return ``measure(results_dir, pixel_size_nm, seed)`` -> the run's folder."""
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    monkeypatch.setattr(result_tables, "plot_size_distribution", lambda *_: Figure((1, 1)))
    for name in ("masks", "images"):
        (folder / name).mkdir()
        write_image(folder / name / "a.tif", mask)

    def measure(results_dir, pixel_size_nm=2.0, seed=0):
        return measure_particles(
            masks_dir=folder / "masks",
            images_dir=folder / "images",
            results_dir=folder / results_dir,
            pixel_size_nm=pixel_size_nm,
            seed=seed,
            **{f"{name}_dir": folder / name for name in ("wgan", "cyclegan", "unet")},
            **OPTIONS,
        )

    return measure

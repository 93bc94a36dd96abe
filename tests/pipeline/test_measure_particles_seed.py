"""The seed of a measurement decides its confidence intervals, and nothing else."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.files.csv_tables import read_table
from pipeline.image_files import write_image
from pipeline.measure_particles import measure_particles
from pipeline.particles import size_distribution
from pipeline.results import result_tables


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    monkeypatch.setattr(result_tables, "plot_size_distribution", lambda *_: Figure((1, 1)))
    mask = np.zeros((120, 160), np.uint8)
    for index, side in enumerate((6, 9, 12, 14, 20)):
        mask[20 : 20 + side, 5 + 30 * index : 5 + 30 * index + side] = 255
    for name in ("masks", "images"):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "a.tif", mask)

    def tables(seed):
        folder = measure_particles(
            masks_dir=tmp_path / "masks",
            images_dir=tmp_path / "images",
            results_dir=tmp_path / f"Results of seed {seed}",
            pixel_size_nm=2.0,
            exclude_border=True,
            give_back_lines=True,
            filters={},
            image_crop=None,
            seed=seed,
            **{f"{name}_dir": tmp_path / name for name in ("wgan", "cyclegan", "unet")},
        )
        return [list(read_table(folder / f"{name}.csv")) for name in ("particles", "summary")]

    return tables


def test_another_seed_gives_other_limits_of_the_same_values(tables):
    (particles, summary), (same_particles, other_summary) = tables(0), tables(1)
    assert particles == same_particles
    differ = {
        name
        for row, other in zip(summary, other_summary, strict=True)
        for name in row
        if row[name] != other[name]
    }
    assert differ and all("_ci_" in name for name in differ)

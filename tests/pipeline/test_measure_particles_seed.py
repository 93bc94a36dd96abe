"""The seed of a measurement decides its confidence intervals, and nothing else."""

import numpy as np
import pytest

from pipeline.files.csv_tables import read_table
from tests.pipeline.one_measurement import measuring


@pytest.fixture
def tables(tmp_path, monkeypatch):
    mask = np.zeros((120, 160), np.uint8)
    for index, side in enumerate((6, 9, 12, 14, 20)):
        mask[20 : 20 + side, 5 + 30 * index : 5 + 30 * index + side] = 255
    measure = measuring(tmp_path, monkeypatch, mask)

    def tables(seed):
        folder = measure(f"Results of seed {seed}", seed=seed)
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

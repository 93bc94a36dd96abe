"""CSV files: units in the names, empty cells for what is unknown, numbers that lose nothing."""

import numpy as np

from pipeline.files.csv_tables import read_table, write_table
from pipeline.particles.quantities import COLUMNS, column_name
from pipeline.results.result_tables import _number_density_row


def test_units_stand_in_the_column_names():
    assert column_name("area", "nm") == "area_nm2"
    assert column_name("area", "px") == "area_px2"
    assert column_name("min_feret_diameter", "nm") == "min_feret_diameter_nm"
    assert column_name("centroid_x", "nm") == "centroid_x_px"
    assert column_name("orientation", "nm") == "orientation_deg"
    assert column_name("convexity", "nm") == "convexity"
    assert len({column_name(name, "nm") for name in COLUMNS}) == len(COLUMNS)


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    rows = [("a, b", 3, 1 / 3, True), ('"c"', np.int64(7), np.float64(np.nan), np.False_)]
    write_table(tmp_path / "t.csv", ["name", "n", "x", "flag"], rows)
    assert read_table(tmp_path / "t.csv") == [
        {"name": "a, b", "n": "3", "x": "0.333333", "flag": "1"},
        {"name": '"c"', "n": "7", "x": "", "flag": "0"},
    ]


def test_large_numbers_keep_their_digits(tmp_path):
    write_table(tmp_path / "t.csv", ["x"], [(123456789.25,), (None,)])
    assert [row["x"] for row in read_table(tmp_path / "t.csv")] == ["123456789.2", ""]


def test_a_missing_table_is_empty(tmp_path):
    assert read_table(tmp_path / "none.csv") == []


def test_where_all_particles_were_left_out_their_number_in_the_area_is_not_known():
    row = {"particles_measured": 0, "particles_found": 3}
    row |= {"field_area_um2": 2.0, "particles_per_um2": 0.0}
    row |= {"image": "a.tif"}
    none = {"image": np.array([], object), "inclusion_weight": np.array([])}
    unknown = _number_density_row([row], none, "nm", 0)
    assert np.isnan(unknown["mean"]) and np.isnan(unknown["mean_uncorrected"])
    assert _number_density_row([row | {"particles_found": 0}], none, "nm", 0)["mean"] == 0

"""What is dropped, and the count of why."""

import numpy as np
import pytest

from pipeline.particles.particle_filters import (
    check_unit_of_filters,
    choose_particles,
)

COLUMNS = {
    "label": np.arange(1, 6),
    "area": np.array([5.0, 10.0, 20.0, 40.0, 80.0]),
    "convexity": np.array([0.9, 0.5, 0.9, 0.7, 1.0]),
    "touches_border": np.array([True, False, False, False, True]),
}


def test_a_range_includes_its_ends():
    stays, dropped = choose_particles(COLUMNS, False, {"area": (10, 40)}, "nm")
    assert stays.tolist() == [False, True, True, True, False]
    assert dropped == {"dropped_by_area_nm2": 2}


def test_every_particle_is_counted_for_its_first_reason_only():
    filters = {"area": (10, None), "convexity": (0.8, None)}
    stays, dropped = choose_particles(COLUMNS, True, filters, "px")
    assert stays.tolist() == [False, False, True, False, False]
    # Particle 1 is at the border and too small.
    assert dropped == {
        "dropped_at_border": 2,
        "dropped_by_area_px2": 0,
        "dropped_by_convexity": 2,
    }


def test_without_filters_all_stay():
    stays, dropped = choose_particles(COLUMNS, False, {}, "nm")
    assert stays.all() and dropped == {}


@pytest.mark.parametrize("name", ["equivalent_diameter", "perimeter", "hull_area"])
def test_filters_of_lengths_have_one_unit_too(name):
    with pytest.raises(ValueError, match=f"filters: {name} would be in pixels"):
        check_unit_of_filters({name: (10, None)}, {"a.tif": 2.5, "b.png": None})


def test_filters_of_sizes_have_one_unit():
    sizes = {"a.tif": 2.5, "b.png": None}
    for known in ({"a.tif": 2.5}, {}):
        assert check_unit_of_filters({"area": (1000, None)}, known) == []
    (warning,) = check_unit_of_filters({"area": (1000, None)}, {"b.png": None})
    assert warning == "filters: the ranges of area are in pixels, as no pixel size is known."
    assert check_unit_of_filters({"convexity": (0.8, None)}, {"b.png": None}) == []
    assert check_unit_of_filters({"convexity": (0.8, None)}, sizes) == []
    words = r"filters: area would be in pixels, because 1 of 2 images .*\(b.png\)"
    with pytest.raises(ValueError, match=words):
        check_unit_of_filters({"area": (1000, None), "convexity": (0.8, None)}, sizes)

"""What is said of a measurement that is worth little."""

import numpy as np
import pytest

from pipeline.results.doubts import BELOW_SMALL, doubts_of_masks, doubts_of_particles


def doubts(diameters, weights=None, cut=0, images=10):
    """Return the warnings of particles of these diameters, spread over some images."""
    diameters = np.array(diameters, float)
    weights = np.ones(len(diameters)) if weights is None else np.array(weights, float)
    shares = np.bincount(np.arange(len(diameters)) % images, minlength=images)
    rows = [
        {"image": f"{number}.tif", "particles_found": one, "particles_measured": one}
        | {BELOW_SMALL: 0, "pixel_size_nm": 2.0}
        for number, one in enumerate(shares)
    ]
    particles = {"equivalent_diameter": diameters, "inclusion_weight": weights}
    particles["touches_border"] = np.arange(len(diameters)) < cut
    return doubts_of_particles(rows, "nm", particles)


def test_many_particles_alike_leave_no_doubt():
    assert doubts([10.0] * 30) == []


def test_few_particles_are_told_of_and_that_one_has_much_of_the_volume_goes_without_saying():
    (warning,) = doubts([10.0] * 28 + [100.0])
    assert warning.startswith("29 particles were measured: too few for a size distribution")
    (warning, *_) = doubts([10.0], images=1)
    assert warning.startswith("1 particle was measured")


@pytest.mark.parametrize(
    ("diameters", "weights", "percent"),
    [
        ([10.0] * 100 + [20.0], None, 7),  # 8 of 108
        ([10.0] * 101, [1.0] * 100 + [8.0], 7),
        ([10.0] * 200 + [20.0], None, None),  # 8 of 208
    ],
)
def test_a_particle_with_much_of_the_volume_is_told_of(diameters, weights, percent):
    warnings = doubts(diameters, weights)
    if percent is None:
        assert warnings == []
    else:
        assert warnings[0].startswith(f"One particle has {percent} % of the volume of all")


def test_cut_particles_that_are_measured_are_told_of():
    (warning,) = doubts([10.0] * 40, cut=7)
    assert warning.startswith("7 of 40 particles are cut by their image's edge and measured as far")
    assert "exclude_border=True" in warning


def test_label_maps_with_a_number_in_several_places_are_named():
    row = {"image": "a.png", "mask": "a.tif", "mask_from": "unknown"}
    row |= {"height_px": 5, "width_px": 5, "rows_left_out": 0}
    (warning,) = doubts_of_masks([row], [], ["a.tif"])
    assert warning.startswith("In 1 of 1 label maps a number stands in several places that do not")
    assert "(a.tif)" in warning
    assert doubts_of_masks([row], [], []) == []


def test_the_filter_that_is_advised_holds_for_the_largest_pixels():
    """By the smallest pixels, specks of the other images would pass it."""
    rows = [
        {"image": f"{size}.tif", "particles_found": 20, "particles_measured": 20}
        | {BELOW_SMALL: 3, "pixel_size_nm": size}
        for size in (2.0, 5.0, 3.0)
    ]
    particles = {"equivalent_diameter": np.full(60, 10.0), "inclusion_weight": np.ones(60)}
    particles["touches_border"] = np.zeros(60, bool)
    words, *_ = doubts_of_particles(rows, "nm", particles)
    assert words.startswith("9 of 60 particles (15.0 %) have fewer than 20 pixels")
    assert 'filters={"area": (487.5, None)}' in words  # 19.5 pixels of 5 nm

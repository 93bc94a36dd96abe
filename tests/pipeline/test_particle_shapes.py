"""Sizes and shapes of particles whose geometry is known."""

import numpy as np
import pytest
from skimage.measure import regionprops_table

from pipeline.particle_shapes import measure_particles, to_label_map
from pipeline.particles.quantities import COLUMNS

Y, X = np.mgrid[:160, :200]


def ellipse(semi_major, semi_minor, degrees=0.0, centre_y=80.0, centre_x=100.0):
    """Pixels whose centres lie in an ellipse turned anticlockwise by ``degrees``."""
    angle = np.radians(degrees)
    right, up = X - centre_x, centre_y - Y
    along = right * np.cos(angle) + up * np.sin(angle)
    across = up * np.cos(angle) - right * np.sin(angle)
    return (along / semi_major) ** 2 + (across / semi_minor) ** 2 <= 1


def turned_rectangle(height, width, degrees):
    angle = np.radians(degrees)
    right, up = X - 100.25, 80.25 - Y
    along = right * np.cos(angle) + up * np.sin(angle)
    across = up * np.cos(angle) - right * np.sin(angle)
    return (abs(along) <= width / 2) & (abs(across) <= height / 2)


AREAS = {"area", "hull_area"}
LENGTHS = {"perimeter", "equivalent_diameter", "min_feret_diameter", "max_feret_diameter"}
LENGTHS |= {"major_axis_length", "minor_axis_length"}
LENGTHS |= {
    f"min_{of}_rectangle_{side}" for of in ("feret", "area") for side in ("width", "length")
}


def only(table):
    """The row of a table with one particle."""
    assert len(table["label"]) == 1
    return {name: values[0] for name, values in table.items()}


def test_a_square_has_the_size_of_its_pixels():
    mask = np.zeros((30, 30), bool)
    mask[5:15, 8:18] = True
    square = only(measure_particles(mask))
    assert square["area"] == 100
    assert square["min_feret_diameter"] == 10
    assert square["max_feret_diameter"] == pytest.approx(10 * np.sqrt(2))
    assert square["aspect_ratio"] == pytest.approx(1 / np.sqrt(2))
    assert square["convexity"] == square["solidity"] == 1
    assert square["hull_area"] == 100
    assert (square["centroid_y"], square["centroid_x"]) == (9.5, 12.5)
    # Of all ellipses with the square's second moments: 3 / pi of its area is the square's.
    assert square["completeness"] == pytest.approx(3 / np.pi)
    assert square["equivalent_diameter"] == pytest.approx(np.sqrt(400 / np.pi))


@pytest.mark.parametrize("turned", [False, True])
def test_positions_are_those_of_pixel_centres_and_y_is_not_x(turned):
    """10 x 20 pixels from row 5 and column 8 on, so the upper left corner is (4.5, 7.5)."""
    mask = np.zeros((30, 40), bool)
    mask[5:15, 8:28] = True
    found = only(measure_particles(mask.T if turned else mask))
    y, x = "xy" if turned else "yx"
    for name in ("centroid", "min_feret_rectangle_centre", "min_area_rectangle_centre"):
        assert (found[f"{name}_{y}"], found[f"{name}_{x}"]) == pytest.approx((9.5, 17.5))
    ends = {(found[f"max_feret_{y}{end}"], found[f"max_feret_{x}{end}"]) for end in (1, 2)}
    diagonals = {(4.5, 7.5), (14.5, 27.5)}, {(14.5, 7.5), (4.5, 27.5)}
    assert ends in diagonals
    (y1, x1), (y2, x2) = [
        (found[f"min_feret_{y}{end}"], found[f"min_feret_{x}{end}"]) for end in (1, 2)
    ]
    assert sorted((y1, y2)) == pytest.approx([4.5, 14.5])
    assert x1 == pytest.approx(x2) and 7.5 <= x1 <= 27.5


@pytest.mark.parametrize("degrees", [0, 15, 30, 45, 60, 90, 120, 165])
def test_a_rectangle_at_any_rotation(degrees):
    found = only(measure_particles(turned_rectangle(24, 70, degrees)))
    assert found["area"] == pytest.approx(24 * 70, rel=0.02)
    # Corners of pixels reach up to half a diagonal over the edge on both sides.
    assert found["min_feret_diameter"] == pytest.approx(24, abs=1.5)
    assert found["max_feret_diameter"] == pytest.approx(np.hypot(24, 70), abs=1.5)
    assert found["min_feret_rectangle_length"] == pytest.approx(70, abs=1.5)
    assert found["min_area_rectangle_width"] == pytest.approx(24, abs=1.5)
    for name in ("orientation", "min_feret_rectangle_angle", "min_area_rectangle_angle"):
        assert (found[name] - degrees + 90) % 180 == pytest.approx(90, abs=2)
    assert found["completeness"] == pytest.approx(3 / np.pi, abs=0.01)
    assert found["convexity"] > 0.93  # the steps of slanted sides


def test_a_disk_of_radius_20():
    # Pixels with their centre within 20 of the disk's: 41 of them side by side.
    disk = only(measure_particles(ellipse(20, 20)))
    assert disk["area"] == pytest.approx(np.pi * 20**2, rel=0.01)
    assert disk["equivalent_diameter"] == pytest.approx(40, rel=0.005)
    assert disk["min_feret_diameter"] == pytest.approx(41, abs=0.5)
    assert disk["max_feret_diameter"] == pytest.approx(41, abs=0.5)
    assert disk["perimeter"] == pytest.approx(2 * np.pi * 20, rel=0.02)
    assert disk["circularity"] == pytest.approx(1, abs=0.03)
    assert disk["completeness"] == pytest.approx(1, abs=0.002)


def test_what_pixel_corners_add_to_the_feret_diameters_of_disks():
    # Wherever its centre lies; docs/measuring.md gives these figures.
    random = np.random.default_rng(0)
    tables = [measure_particles(ellipse(20, 20, 0, *(80 + random.random(2)))) for _ in range(40)]
    least, most = (
        np.mean([table[name][0] for table in tables]) - 40
        for name in ("min_feret_diameter", "max_feret_diameter")
    )
    assert least == pytest.approx(0, abs=0.3)
    assert most == pytest.approx(1.2, abs=0.2)


@pytest.mark.parametrize(
    ("diameter", "aspect_ratio", "convexity"),
    [(10, 0.91, 0.92), (20, 0.94, 0.95), (40, 0.97, 0.97)],
)
def test_what_pixel_corners_take_off_the_shape_factors_of_disks(diameter, aspect_ratio, convexity):
    # Wherever its centre lies; docs/measuring.md gives these figures.
    random = np.random.default_rng(0)
    radius = diameter / 2
    tables = [
        measure_particles(ellipse(radius, radius, 0, *(80 + random.random(2)))) for _ in range(40)
    ]
    found = [
        np.mean([table[name][0] for table in tables]) for name in ("aspect_ratio", "convexity")
    ]
    assert found == pytest.approx([aspect_ratio, convexity], abs=0.01)


@pytest.mark.parametrize("degrees", [0, 25, 90, 140])
def test_an_ellipse(degrees):
    found = only(measure_particles(ellipse(45, 20, degrees)))
    assert found["area"] == pytest.approx(np.pi * 45 * 20, rel=0.01)
    assert found["major_axis_length"] == pytest.approx(90, rel=0.01)
    assert found["minor_axis_length"] == pytest.approx(40, rel=0.01)
    assert (found["orientation"] - degrees + 90) % 180 == pytest.approx(90, abs=0.5)
    assert found["completeness"] == pytest.approx(1, abs=0.003)
    assert found["max_feret_diameter"] == pytest.approx(90, abs=1.5)
    assert found["min_feret_diameter"] == pytest.approx(40, abs=1.5)


def test_an_l_shape():
    mask = np.zeros((40, 40), bool)
    mask[5:35, 5:15] = True
    mask[25:35, 5:35] = True
    found = only(measure_particles(mask))
    assert found["area"] == 500
    # The hull is the 30 x 30 square without the triangle on two sides of 20.
    assert found["hull_area"] == 900 - 200
    assert found["convexity"] == pytest.approx(500 / 700)
    # Across the diagonal: from the inner corner's hull edge to the opposite vertex.
    assert found["min_feret_diameter"] == pytest.approx((30 + 10) / np.sqrt(2))
    assert found["max_feret_diameter"] == pytest.approx(np.hypot(30, 30))


def test_the_smallest_rectangle_need_not_be_the_narrowest():
    mask = np.zeros((12, 12), bool)
    mask[3:7, 3:7] = [[0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0]]
    row = only(measure_particles(mask))
    narrowest = [row[f"min_feret_rectangle_{side}"] for side in ("width", "length")]
    assert narrowest == pytest.approx([12.5**0.5, 24.5**0.5])  # at 45 degrees, 17.5 pixels large
    assert [row[f"min_area_rectangle_{side}"] for side in ("width", "length")] == [4, 4]


def test_a_single_pixel():
    mask = np.zeros((9, 9), bool)
    mask[4, 6] = True
    pixel = only(measure_particles(mask, np.arange(81).reshape(9, 9)))
    assert pixel["area"] == pixel["min_feret_diameter"] == pixel["convexity"] == 1
    assert pixel["max_feret_diameter"] == pytest.approx(np.sqrt(2))
    assert (pixel["centroid_y"], pixel["centroid_x"]) == (4, 6)
    assert pixel["mean_intensity"] == 4 * 9 + 6
    assert pixel["circularity"] == 1
    assert all(np.isfinite(value) for value in pixel.values())


def test_a_hole_is_not_area():
    mask = ellipse(30, 30)
    full, holed = only(measure_particles(mask)), only(measure_particles(mask & ~ellipse(10, 10)))
    assert full["area"] - holed["area"] == ellipse(10, 10).sum()
    for name in ("perimeter", "hull_area", "min_feret_diameter", "max_feret_diameter"):
        assert holed[name] == full[name]
    assert holed["convexity"] < full["convexity"]


def test_particles_at_the_border_are_left_out_or_marked():
    mask = np.zeros((20, 20), bool)
    for y, x in ((0, 5), (10, 0), (17, 10), (8, 17), (8, 8)):
        mask[y : y + 3, x : x + 3] = True
    assert len(measure_particles(mask)["label"]) == 1
    everything = measure_particles(mask, exclude_border=False)
    assert everything["touches_border"].sum() == 4
    assert not everything["touches_border"][everything["centroid_y"] == 9].all()


def test_particles_cut_by_an_empty_frame_are_left_out_or_marked():
    mask = np.zeros((20, 20), bool)
    for y, x in ((1, 5), (10, 1), (8, 8)):
        mask[y : y + 3, x : x + 3] = True
    inside = measure_particles(mask)
    assert inside["centroid_x"].tolist() == [9] and not inside["touches_border"].any()
    # 3 x 3 pixels fit into the 18 x 18 within the frame, and touch no edge, at 14 x 14 places.
    assert inside["inclusion_weight"].tolist() == [20 * 20 / (14 * 14)]
    everything = measure_particles(mask, exclude_border=False)
    assert everything["touches_border"].tolist() == [True, False, True]


def test_touching_corners_do_not_join_particles():
    assert to_label_map(np.array([[255, 0], [0, 255]], np.uint8)).max() == 2


def test_label_maps_are_taken_as_they_are():
    labels = np.zeros((20, 20), np.uint16)
    labels[2:5, 2:5], labels[2:5, 5:9], labels[12:14, 3:5] = 40, 7, 60_000
    table = measure_particles(labels)
    assert table["label"].tolist() == [7, 40, 60_000]
    assert table["area"].tolist() == [12, 9, 4]
    assert to_label_map(np.array([[0, 3, 255]], np.uint8)).tolist() == [[0, 3, 255]]  # of 8 bit


def test_masks_of_0_and_1_and_of_0_and_255_are_the_same():
    mask = ellipse(9, 5)
    tables = [measure_particles(mask.astype(np.uint8) * high) for high in (1, 255)]
    for name in COLUMNS:
        np.testing.assert_array_equal(tables[0][name], tables[1][name])


def test_a_pixel_size_scales_lengths_and_areas_and_nothing_else():
    in_pixels, in_nm = (measure_particles(ellipse(20, 9, 30), pixel_size=one) for one in (1, 2.5))
    for name in COLUMNS:
        scale = 2.5 if name in LENGTHS else 2.5**2 if name in AREAS else 1
        np.testing.assert_allclose(in_nm[name], in_pixels[name] * scale)


def test_against_scikit_image():
    random = np.random.default_rng(5)
    labels = to_label_map(random.random((80, 90)) < 0.55)
    intensity = random.integers(0, 60_000, labels.shape).astype(np.uint16)
    found = measure_particles(labels, intensity, exclude_border=False)
    names = ("label", "area", "centroid", "intensity_mean", "moments_central")
    expected = regionprops_table(labels, intensity, properties=names)
    np.testing.assert_array_equal(found["label"], expected["label"])
    np.testing.assert_array_equal(found["area"], expected["area"])
    np.testing.assert_allclose(found["centroid_x"], expected["centroid-1"])
    np.testing.assert_allclose(found["mean_intensity"], expected["intensity_mean"])
    moments = [
        [[1 / 12, 0], [0, 1 / 12]] + np.array([[yy, yx], [yx, xx]]) / area
        for yy, yx, xx, area in zip(
            *(expected[f"moments_central-{one}"] for one in ("2-0", "1-1", "0-2")),
            expected["area"],
            strict=True,
        )
    ]
    axes = 4 * np.sqrt(np.linalg.eigvalsh(moments))
    np.testing.assert_allclose(found["minor_axis_length"], axes[:, 0])
    np.testing.assert_allclose(found["major_axis_length"], axes[:, 1])


def test_an_empty_mask_gives_an_empty_table():
    table = measure_particles(np.zeros((12, 12), bool))
    assert list(table) == list(COLUMNS)
    assert all(len(values) == 0 for values in table.values())


def test_without_an_intensity_image_the_mean_is_unknown():
    assert np.isnan(measure_particles(ellipse(9, 9))["mean_intensity"]).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.zeros((4, 4, 3), bool),), "expected \\(height, width\\)"),
        ((np.zeros((4, 4)),), "Threshold probabilities first"),
        ((np.full((4, 4), -1),), "values from -1 to -1"),
        ((np.ones((4, 4), bool), np.ones((5, 4))), "Crop both alike"),
        ((np.ones((4, 4), bool), None, 0), "pixel_size is 0"),
    ],
)
def test_errors_say_what_is_allowed(arguments, text):
    with pytest.raises(ValueError, match=text):
        measure_particles(*arguments)


@pytest.mark.parametrize("exclude_border", [True, False])
def test_a_particle_that_is_left_out_is_touched_all_the_same(exclude_border):
    labels = np.zeros((30, 40), np.uint8)
    labels[10:20, 0:10] = 1
    labels[10:20, 10:20] = 2
    measured = measure_particles(labels, exclude_border=exclude_border)
    assert measured["label"].tolist() == ([2] if exclude_border else [1, 2])
    assert measured["contact_share"][-1] == pytest.approx(1 / 4)

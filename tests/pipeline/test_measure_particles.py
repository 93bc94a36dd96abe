"""The whole step on small images with known particles, and on difficult ones."""

import os
import platform
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import roifile
import tifffile
from matplotlib.figure import Figure

from pipeline.files import calibration
from pipeline.files.csv_tables import read_table
from pipeline.files.mask_origin import description_of
from pipeline.files.records import read_json, write_json
from pipeline.image_files import read_image, write_image
from pipeline.measure_particles import measure_particles
from pipeline.particles import size_distribution
from pipeline.particles.quantities import COLUMNS
from pipeline.results import doubts, result_tables
from tests.pipeline.several_processes import in_processes

MICROGRAPH = np.random.default_rng(0).integers(0, 255, (120, 160)).astype(np.uint8)
OPTIONS = {
    "pixel_size_nm": 2.0,
    "exclude_border": True,
    "give_back_lines": True,
    "filters": {},
    "image_crop": None,
    "seed": 0,
}


def unfinished(process):
    return f".unfinished_{platform.node()}_{process}"


def networks_in(folder):
    return {f"{name}_dir": folder / name for name in ("wgan", "cyclegan", "unet")}


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """A function: masks (and micrographs) by name, options -> the run's folder."""
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    monkeypatch.setattr(doubts, "FEWEST_PARTICLES", 0)
    monkeypatch.setattr(doubts, "LARGE_VOLUME_SHARE", 1.0)

    def run(masks, micrographs=None, plots=False, **options):
        if not plots:  # they take most of the time
            monkeypatch.setattr(
                result_tables, "plot_size_distribution", lambda *_: Figure(figsize=(1, 1))
            )
        for folder in ("masks", "images"):
            (tmp_path / folder).mkdir()
        for name, mask in masks.items():
            write_image(tmp_path / "masks" / f"{name}.tif", mask)
            micrograph = (micrographs or {}).get(name, MICROGRAPH)
            write_image(tmp_path / "images" / f"{name}.tif", micrograph)
        return measure_particles(
            masks_dir=tmp_path / "masks",
            images_dir=tmp_path / "images",
            results_dir=tmp_path / "Results",
            **networks_in(tmp_path),
            **OPTIONS | options,
        )

    return run


def squares(*corners, size=10):
    mask = np.zeros((120, 160), np.uint8)
    for y, x in corners:
        mask[y : y + size, x : x + size] = 255
    return mask


def test_every_kind_of_output(measure):
    folder = measure(
        {"a": squares((20, 30), (50, 60), (0, 90)), "b": squares((70, 70))}, plots=True
    )
    particles = read_table(folder / "particles.csv")
    assert [row["image"] for row in particles] == ["a.tif", "a.tif", "b.tif"]
    # 10 x 10 pixels of 2 nm.
    assert {row["area_nm2"] for row in particles} == {"400"}
    assert {row["min_feret_diameter_nm"] for row in particles} == {"20"}
    assert particles[0]["centroid_y_px"] == "24.5"
    first, second = read_table(folder / "images.csv")
    assert (first["particles_found"], first["dropped_at_border"]) == ("3", "1")
    assert (first["particles_measured"], second["particles_measured"]) == ("2", "1")
    assert first["pixel_size_source"] == "option pixel_size_nm"
    summary = read_table(folder / "summary.csv")
    assert [(row["quantity"], row["weighting"]) for row in summary] == [
        ("equivalent_diameter_nm", "number"),
        ("equivalent_diameter_nm", "surface"),
        ("equivalent_diameter_nm", "volume"),
        ("min_feret_diameter_nm", "number"),
        ("min_feret_diameter_nm", "volume"),
        ("max_feret_diameter_nm", "number"),
        ("max_feret_diameter_nm", "volume"),
        ("aspect_ratio", "number"),
        ("circularity", "number"),
        ("convexity", "number"),
        ("particles_per_um2", "area"),
    ]
    area = 2 * 120 * 160 * 0.002**2
    assert summary[-1]["quantity"] == "particles_per_um2"
    assert float(summary[-1]["mean_uncorrected"]) == pytest.approx(3 / area, rel=1e-5)
    assert summary[0]["quantity"] == "equivalent_diameter_nm"
    assert float(summary[0]["D50"]) == pytest.approx(2 * np.sqrt(400 / np.pi), rel=1e-5)
    assert summary[0]["n"] == "3"
    shapes = {row["quantity"]: row["mean"] for row in summary if row["quantity"] in COLUMNS}
    assert list(shapes) == ["aspect_ratio", "circularity", "convexity"]
    assert float(shapes["aspect_ratio"]) == pytest.approx(1 / np.sqrt(2), rel=1e-5)
    for name in ("a", "b"):
        assert read_image(folder / "overlays" / f"{name}.png").shape == (240, 320)
    for weighting in ("number", "volume"):
        for ending in ("png", "pdf"):
            assert (folder / f"size_distribution_by_{weighting}.{ending}").stat().st_size > 1000
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert read_json(folder / "options.json")["pixel_size_nm"] == 2.0
    assert not list(folder.rglob(".*"))


def test_labels_of_table_label_map_and_regions_agree(measure):
    folder = measure({"a": squares((0, 0), (20, 30), (50, 60))})
    labels = tifffile.imread(folder / "labels" / "a.tif")
    rois = roifile.roiread(folder / "rois" / "a_RoiSet.zip")
    in_table = [int(row["label"]) for row in read_table(folder / "particles.csv")]
    assert in_table == np.unique(labels)[1:].tolist() == [int(roi.name) for roi in rois]
    for label, (y, x) in zip(in_table, [(20, 30), (50, 60)], strict=True):
        np.testing.assert_array_equal(labels == label, squares((y, x)) > 0)


def test_intensities_are_the_micrographs(measure):
    folder = measure({"a": squares((20, 30))})
    (row,) = read_table(folder / "particles.csv")
    assert float(row["mean_intensity"]) == pytest.approx(MICROGRAPH[20:30, 30:40].mean(), rel=1e-5)


def test_filters_are_in_the_units_of_the_table_and_counted(measure):
    mask = squares((20, 30), (50, 60)) | squares((90, 90), size=3)
    # In nm²: 400, 400 and 36; in pixels all would be dropped.
    folder = measure({"a": mask}, filters={"area": (200, None)})
    (row,) = read_table(folder / "images.csv")
    assert (row["dropped_by_area_nm2"], row["particles_measured"]) == ("1", "2")


def test_a_frame_of_empty_pixels_hides_no_cut_particle(measure):
    folder = measure({"a": squares((1, 30), (50, 1), (50, 60))})
    (row,) = read_table(folder / "images.csv")
    assert (row["dropped_at_border"], row["particles_measured"]) == ("2", "1")
    (particle,) = read_table(folder / "particles.csv")
    # Without the frame, and what ends at it.
    weight = 120 * 160 / ((118 - 10 - 1) * (158 - 10 - 1))
    assert float(particle["inclusion_weight"]) == pytest.approx(weight, rel=1e-5)


def test_a_frame_of_empty_pixels_is_found_though_the_info_bar_was_cut_off(measure):
    mask = squares((1, 30), (50, 1), (50, 60), (95, 90), (109, 120))  # row 119 is empty
    folder = measure({"a": mask}, image_crop=100)
    (row,) = read_table(folder / "images.csv")
    assert (row["dropped_at_border"], row["particles_measured"]) == ("3", "1")
    (particle,) = read_table(folder / "particles.csv")
    weight = 100 * 160 / ((99 - 10 - 1) * (158 - 10 - 1))  # no frame below
    assert float(particle["inclusion_weight"]) == pytest.approx(weight, rel=1e-5)


def test_particles_near_the_edge_of_a_sparse_image_stay(measure):
    """No particle is at the edge, and one is a pixel away from it: that is whole."""
    folder = measure({"a": squares((1, 30), (50, 60))})
    (row,) = read_table(folder / "images.csv")
    assert (row["dropped_at_border"], row["particles_measured"]) == ("0", "2")


def test_border_particles_stay_on_demand(measure):
    folder = measure({"a": squares((0, 30), (50, 60))}, exclude_border=False)
    particles, (image,) = read_table(folder / "particles.csv"), read_table(folder / "images.csv")
    assert [row["touches_border"] for row in particles] == ["1", "0"]
    assert [row["inclusion_weight"] for row in particles] == ["1", "1"]
    assert "dropped_at_border" not in image
    for row in read_table(folder / "summary.csv"):
        assert row["mean"] == row["mean_uncorrected"]


def test_particles_stand_for_those_that_the_edge_cuts(measure):
    mask = squares((20, 30)) | squares((50, 60), size=60)
    folder = measure({"a": mask}, image_crop=115)
    weights = [float(row["inclusion_weight"]) for row in read_table(folder / "particles.csv")]
    # Width and height of the image that was measured, without the info bar.
    expected = [160 * 115 / (149 * 104), 160 * 115 / (99 * 54)]
    assert weights == pytest.approx(expected, rel=1e-5)
    (image,) = read_table(folder / "images.csv")
    # Pixels of 2 nm.
    assert float(image["field_area_um2"]) == pytest.approx(160 * 115 * 4e-6)
    per_area = sum(expected) / (160 * 115 * 4e-6)
    assert float(image["particles_per_um2"]) == pytest.approx(per_area, rel=1e-5)
    corrected, *_ = read_table(folder / "summary.csv")
    diameters = np.sqrt(4 * np.array([400, 14400]) / np.pi)
    assert float(corrected["mean"]) == pytest.approx(
        np.average(diameters, weights=expected), rel=1e-5
    )
    # Of two particles the median lies where their shares meet, near the one that counts more.
    assert float(image["median_equivalent_diameter_nm"]) > diameters.mean() + 20


def test_particles_almost_as_large_as_the_image_are_warned_of(measure):
    folder = measure({"a": squares((5, 5)) | squares((20, 20), size=98)})
    warning, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    assert "1 of 2 particles are so large" in warning and "more than 9:" in warning


def test_a_particle_cut_by_the_info_bar_is_at_the_border(measure):
    folder = measure({"a": squares((92, 30), (50, 60))}, image_crop=100)
    (row,) = read_table(folder / "images.csv")
    assert (row["height_px"], row["dropped_at_border"]) == ("100", "1")


def test_without_calibration_everything_is_in_pixels(measure):
    folder = measure({"a": squares((20, 30))}, pixel_size_nm=None)
    (row,) = read_table(folder / "particles.csv")
    assert (row["area_px2"], row["min_feret_diameter_px"]) == ("100", "10")
    (image,) = read_table(folder / "images.csv")
    assert image["field_area_px2"] == f"{120 * 160}" and "particles_per_px2" in image
    assert "carry no pixel size" in read_json(folder / "about.json")["warnings"][0]


def test_where_one_image_has_no_pixel_size_all_are_in_pixels(measure, monkeypatch):
    sizes = {"a.tif": (2.0, "x"), "b.tif": None}
    monkeypatch.setattr(calibration, "read_pixel_size", lambda path, *_: sizes[path.name])
    folder = measure(dict.fromkeys("ab", squares((20, 30))), pixel_size_nm=None)
    particles = read_table(folder / "particles.csv")
    assert [row["area_px2"] for row in particles] == ["100", "100"]
    images = read_table(folder / "images.csv")
    assert [row["pixel_size_nm"] for row in images] == ["2", ""]  # what is known stays known
    assert {row["field_area_px2"] for row in images} == {f"{120 * 160}"}
    assert {row["median_equivalent_diameter_px"] for row in images} == {"11.2838"}


def test_each_image_has_the_pixel_size_of_its_own_file(measure, tmp_path):
    for folder in ("masks", "images"):
        (tmp_path / "calibrated" / folder).mkdir(parents=True)
    for name, size_nm in (("a", 2.0), ("b", 5.0), ("c", 3.0)):
        write_image(tmp_path / "calibrated" / "masks" / f"{name}.tif", squares((20, 30)))
        tifffile.imwrite(
            tmp_path / "calibrated" / "images" / f"{name}.tif",
            MICROGRAPH,
            imagej=True,
            resolution=(1 / size_nm, 1 / size_nm),
            metadata={"unit": "nm"},
        )
    folder = measure_particles(
        masks_dir=tmp_path / "calibrated" / "masks",
        images_dir=tmp_path / "calibrated" / "images",
        results_dir=tmp_path / "Results",
        **networks_in(tmp_path),
        **OPTIONS | {"pixel_size_nm": None},
    )
    # 10 x 10 pixels of 2, 5 and 3 nm.
    rows = read_table(folder / "particles.csv")
    assert [float(row["area_nm2"]) for row in rows] == pytest.approx([400, 2500, 900], rel=1e-4)
    sizes = [float(row["min_feret_diameter_nm"]) for row in rows]
    assert sizes == pytest.approx([20, 50, 30], rel=1e-4)
    images = read_table(folder / "images.csv")
    found = [float(row["pixel_size_nm"]) for row in images]
    assert found == pytest.approx([2, 5, 3], rel=1e-4)
    medians = [float(row["median_equivalent_diameter_nm"]) for row in images]
    assert medians == pytest.approx([size * np.sqrt(400 / np.pi) for size in (2, 5, 3)], rel=1e-4)
    # One of 20 nm could have lain in all three: in pixels it is 10, 4 and 20 / 3 wide.
    field = 120 * 160 * (2**2 + 5**2 + 3**2)
    wide = 20 / 3
    positions = 109 * 149 * 2**2 + 115 * 155 * 5**2 + (119 - wide) * (159 - wide) * 3**2
    assert float(rows[0]["inclusion_weight"]) == pytest.approx(field / positions, rel=1e-3)


@pytest.mark.parametrize("mask", [squares(), squares((0, 0)), np.full((120, 160), 255, np.uint8)])
def test_no_particle_gives_valid_empty_tables(measure, mask):
    folder = measure({"a": mask})
    assert read_table(folder / "particles.csv") == []
    assert "area_nm2" in (folder / "particles.csv").read_text(encoding="utf-8")
    assert {row["n"] for row in read_table(folder / "summary.csv")} == {"0"}
    assert "No particle was left" in (folder / "report.html").read_text(encoding="utf-8")


def test_it_is_noted_how_the_masks_were_made(measure, tmp_path):
    folder = measure({"a": squares((20, 30))})
    assert read_json(folder / "about.json")["masks_made_with"] is None
    write_json(tmp_path / "masks" / "made_with.json", {"threshold": -1})
    options = OPTIONS | {"masks_dir": tmp_path / "masks", "images_dir": tmp_path / "images"}
    again = measure_particles(results_dir=tmp_path / "Results", **networks_in(tmp_path), **options)
    assert read_json(again / "about.json")["masks_made_with"] == {"threshold": -1}
    # What the step made was deleted, and masks from elsewhere put there.
    tifffile.imwrite(tmp_path / "masks" / "a.tif", squares((20, 30)))
    again = measure_particles(results_dir=tmp_path / "Results", **networks_in(tmp_path), **options)
    assert read_json(again / "about.json")["masks_made_with"] is None


@pytest.mark.parametrize("made_here", [True, False])
def test_warnings_of_the_steps_before_are_told_where_those_made_the_masks(
    measure, tmp_path, made_here
):
    measure({"a": squares((20, 30))})
    if made_here:
        write_json(tmp_path / "masks" / "made_with.json", {"threshold": -1})
    options = OPTIONS | {"masks_dir": tmp_path / "masks", "images_dir": tmp_path / "images"}
    options["earlier_warnings"] = {"checks 0": ["no bar in a.tif"], "6b": ["<faint>: a.tif"]}
    folder = measure_particles(results_dir=tmp_path / "Results", **networks_in(tmp_path), **options)
    page = (folder / "report.html").read_text(encoding="utf-8")
    told = [
        "<li><b>Before the first step</b>: no bar in a.tif</li>",
        "<li><b>Step 6b, segmenting the micrographs</b>: &lt;faint&gt;: a.tif</li>",
    ]
    assert [words in page for words in told] == [made_here] * 2
    assert "earlier_warnings" not in read_json(folder / "options.json")


def test_a_mask_of_black_on_white_gives_a_hint(measure):
    folder = measure({"a": 255 - squares((20, 30), (60, 70))})
    first, second = read_json(folder / "about.json")["warnings"]
    assert "In 1 of 1 masks (a.tif)" in first and "white particles on black" in first
    assert "of 1 found" in second and "white particles on black" in second


def test_one_particle(measure):
    folder = measure({"a": squares((20, 30))})
    row = read_table(folder / "summary.csv")[0]
    assert (row["n"], row["D50_ci_low"], row["sd"]) == ("1", "", "")


def test_specks_are_warned_of(measure):
    folder = measure({"a": squares((20, 30)) | squares((60, 60), size=2)})
    warning, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    assert "1 of 2 particles (50.0 %) have fewer than 20 pixels" in warning
    assert 'filters={"area": (78, None)}' in warning


def test_the_filter_that_is_advised_keeps_what_is_just_large_enough(measure, tmp_path):
    mask = squares((20, 30)) | squares((60, 60), size=2)
    mask[90:94, 20:25] = 255  # 20 pixels; rounded, 20 x 7.34375**2 = 1078.6 would be 1079
    folder = measure({"a": mask}, pixel_size_nm=7.34375)
    warning, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    smallest = float(re.search(r'"area": \((.*), None', warning).group(1))
    areas = [float(row["area_nm2"]) for row in read_table(folder / "particles.csv")]
    assert [area >= smallest for area in sorted(areas)] == [False, True, True]


def test_nothing_is_written_where_a_mask_cannot_be_measured(measure, tmp_path):
    with pytest.raises(ValueError, match="is not a mask"):
        measure({"a": squares((20, 30)), "b": MICROGRAPH})
    assert not (tmp_path / "Results").exists()


def test_nothing_is_written_where_scales_would_be_mixed(measure, tmp_path, monkeypatch):
    sizes = {"a.tif": (2.0, "x"), "b.tif": (5.0, "x"), "c.tif": None}
    monkeypatch.setattr(calibration, "read_pixel_size", lambda path, *_: sizes[path.name])
    with pytest.raises(ValueError, match=r"no pixel size \(c.tif\)"):
        measure(dict.fromkeys("abc", squares((20, 30))), pixel_size_nm=None)
    assert not (tmp_path / "Results").exists()


def test_images_of_different_sizes_and_types(measure):
    small = np.zeros((40, 50), np.uint8)
    small[10:20, 10:20] = 255
    folder = measure(
        {"a": squares((20, 30)), "b": small},
        {"b": np.random.default_rng(0).random((44, 50), np.float32)},
    )
    first, second = read_table(folder / "images.csv")
    assert [first["height_px"], second["height_px"]] == ["120", "40"]
    area = {name: float(row["field_area_um2"]) for name, row in (("a", first), ("b", second))}
    assert area == pytest.approx({"a": 120 * 160 * 4e-6, "b": 40 * 50 * 4e-6})
    # Each square stands for those that both images together would not have shown whole.
    positions = {"a": (120 - 11) * (160 - 11), "b": (40 - 11) * (50 - 11)}
    weight = (120 * 160 + 40 * 50) / sum(positions.values())
    rows = read_table(folder / "particles.csv")
    assert [float(row["inclusion_weight"]) for row in rows] == pytest.approx([weight] * 2, rel=1e-5)
    density = read_table(folder / "summary.csv")[-1]
    assert float(density["mean"]) == pytest.approx(2 * weight / sum(area.values()), rel=1e-5)
    for name, row in (("a", first), ("b", second)):  # of each by itself
        assert float(row["particles_per_um2"]) == pytest.approx(
            1 / (4e-6 * positions[name]), rel=1e-5
        )
    low, high = float(density["mean_ci_low"]), float(density["mean_ci_high"])
    assert low < float(density["mean"]) < high


def test_of_colour_files_the_mean_is_the_mask_and_the_intensity(measure):
    colour = np.dstack([MICROGRAPH, MICROGRAPH // 2, np.zeros_like(MICROGRAPH)])
    folder = measure({"a": np.dstack([squares((20, 30))] * 3)}, {"a": colour})
    (row,) = read_table(folder / "particles.csv")
    assert row["area_nm2"] == "400"
    mean = colour[20:30, 30:40].mean()
    assert float(row["mean_intensity"]) == pytest.approx(mean, rel=1e-5)


def test_the_seed_gives_the_same_tables(measure, tmp_path):
    masks = {"a": squares((20, 30)) | squares((60, 60), size=20) | squares((90, 20), size=7)}
    first = measure(masks)
    again = measure_particles(
        masks_dir=tmp_path / "masks",
        images_dir=tmp_path / "images",
        results_dir=tmp_path / "Results",
        **networks_in(tmp_path),
        **OPTIONS,
    )
    assert again != first
    for name in ("particles.csv", "summary.csv", "rois/a_RoiSet.zip", "overlays/a.png"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_the_report_finds_the_networks_through_a_link(measure, tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "Results").symlink_to(tmp_path / "elsewhere" / "deep")
    run_folder = measure({"a": squares((20, 20))})
    noted = read_json(run_folder / "about.json")["networks"]
    found = {name: (run_folder / path).resolve() for name, path in noted.items()}
    assert found == {name: (tmp_path / name).resolve() for name in ("wgan", "cyclegan", "unet")}


def test_a_measurement_that_is_stopped_leaves_nothing_under_a_final_name(
    measure, tmp_path, monkeypatch
):
    def stop(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.measure_particles.write_report", stop)
        with pytest.raises(KeyboardInterrupt):
            measure({"a": squares((20, 20)), "b": squares((40, 40))})
    results = tmp_path / "Results"
    assert [path.name for path in results.iterdir()] == [unfinished(os.getpid())]
    gone, listed, at_work = (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        for code in ("pass", "pass", "input()")
    )
    gone.communicate()
    if hasattr(os, "waitid"):  # so that it has ended, and is listed still
        os.waitid(os.P_PID, listed.pid, os.WEXITED | os.WNOWAIT)
    else:
        listed.wait()
    for process in (gone, listed, at_work):
        (results / unfinished(process.pid)).mkdir()
    elsewhere = results / f".unfinished_another computer_{gone.pid}"
    elsewhere.mkdir()
    (tmp_path / "masks" / "b.tif").unlink()
    options = OPTIONS | {"masks_dir": tmp_path / "masks", "images_dir": tmp_path / "images"}
    run_folder = measure_particles(results_dir=results, **networks_in(tmp_path), **options)
    assert set(results.iterdir()) == {run_folder, results / unfinished(at_work.pid), elsewhere}
    at_work.communicate(b"\n")
    listed.communicate()
    assert [path.name for path in (run_folder / "labels").iterdir()] == ["a.tif"]


def test_particles_of_a_label_map_may_touch(measure):
    labels = np.zeros((120, 160), np.uint16)
    labels[20:30, 30:40], labels[20:30, 40:50], labels[0:10, 60:70] = 1, 4, 3
    labels[50:60, 30:40] = 2
    # A gap of one pixel is a gap, as is a notch where two meet.
    labels[50:60, 41:51] = 5
    labels[20, 39] = 0
    folder = measure({"a": labels})
    areas = [row["area_nm2"] for row in read_table(folder / "particles.csv")]
    assert areas == ["396", "400", "400", "400"]
    (row,) = read_table(folder / "images.csv")
    assert (row["particles_found"], row["dropped_at_border"]) == ("5", "1")
    assert float(row["covered_area_percent"]) == pytest.approx(100 * 499 / labels.size, rel=1e-5)
    kept = read_image(folder / "labels" / "a.tif")
    np.testing.assert_array_equal(kept, np.where(labels == 3, 0, labels))


def test_the_only_number_that_a_crop_leaves_of_a_label_map_is_one_particle(measure):
    labels = np.zeros((120, 160), np.uint16)
    labels[20:30, 30:40] = labels[20:30, 60:70] = 1
    labels[105:115, 30:40] = 2
    folder = measure({"a": labels}, image_crop=100)
    (particle,) = read_table(folder / "particles.csv")
    assert (particle["label"], particle["area_nm2"]) == ("1", "800")


@pytest.mark.parametrize(("give_back_lines", "areas"), [(True, [110, 100]), (False, [100, 100])])
def test_lines_between_touching_particles(measure, give_back_lines, areas):
    mask = squares((20, 30), (20, 41), (60, 60))
    folder = measure({"a": mask}, pixel_size_nm=None, give_back_lines=give_back_lines)
    particles = read_table(folder / "particles.csv")
    assert [float(row["area_px2"]) for row in particles] == [*areas, 100]
    labels = tifffile.imread(folder / "labels" / "a.tif")
    assert np.bincount(labels.astype(int).ravel())[1:].tolist() == [*areas, 100]
    (row,) = read_table(folder / "images.csv")
    assert float(row["covered_area_percent"]) == pytest.approx(sum([*areas, 100]) / 192, rel=1e-5)


def test_particles_that_touch_others_can_be_left_out(measure):
    mask = squares((20, 30), (20, 41), (60, 60))
    folder = measure({"a": mask}, filters={"contact_share": (None, 0.1)})
    (row,) = read_table(folder / "particles.csv")
    assert (row["contact_share"], row["centroid_y_px"]) == ("0", "64.5")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "1 image: the confidence intervals know nothing"),
        (2, "2 images: the confidence intervals hardly know how images differ"),
        (7, "7 images: the confidence intervals are on the safe side"),
    ],
)
def test_few_images_are_warned_of(measure, number, words):
    folder = measure({f"image_{index}": squares((50, 60), (20, 30)) for index in range(number)})
    (warning,) = read_json(folder / "about.json")["warnings"]
    assert words in warning


def test_one_particle_has_no_interval_to_be_told_of(measure):
    folder = measure({"a": squares((50, 60))})
    assert read_json(folder / "about.json")["warnings"] == []


@pytest.mark.parametrize("empty", [False, True])
def test_images_without_a_particle_are_named_and_do_not_count_as_images_with_some(measure, empty):
    masks = {f"image_{index}": squares((50, 60)) for index in range(8)}
    if empty:
        masks["image_3"] *= 0
    warnings = read_json(measure(masks) / "about.json")["warnings"]
    expected = ["1 of 8 images hold no particle (image_3.tif)", "are from 7 images: the confidence"]
    assert len(warnings) == (2 if empty else 0)
    assert all(words in warning for words, warning in zip(expected, warnings, strict=False))


def test_images_of_particles_that_are_all_cut_are_named(measure):
    masks = {f"image_{index}": squares((50, 60)) for index in range(8)}
    masks["image_3"] = np.zeros_like(masks["image_3"])
    masks["image_3"][:, :10] = 255  # a bar of the grid
    (empty, _) = read_json(measure(masks) / "about.json")["warnings"]
    assert "1 of 8 images hold no particle, or none that was measured (image_3.tif)" in empty


def test_masks_that_are_black_on_white_are_named(measure):
    folder = measure({"a": squares((50, 60), (20, 30)), "b": 255 - squares((20, 30), (60, 70))})
    warning, unmeasured, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    assert "or none that was measured (b.tif)" in unmeasured
    assert "In 1 of 2 masks (b.tif) one particle reaches all four edges" in warning
    assert "invert them" in warning


def test_info_bars_found_in_some_images_alone_are_told(measure):
    masks = {"a": squares((50, 60)), "b": squares((50, 60))[:100], "c": squares((50, 60))[:100]}
    folder = measure(masks)
    rows = read_table(folder / "images.csv")
    assert [row["rows_left_out"] for row in rows] == ["0", "20", "20"]
    warning, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    assert "Of images of 160 x 120 pixels some are used whole (a.tif)" in warning
    assert "the lowest 20 rows are left out" in warning and "set IMAGE_CROP" in warning


def test_masks_that_were_changed_since_they_were_made_are_named(measure, tmp_path):
    mask = squares((50, 60))
    folder = measure({"a": mask, "b": mask, "c": mask})
    assert {row["mask_from"] for row in read_table(folder / "images.csv")} == {"unknown"}
    probability = np.zeros(mask.shape, np.float32)
    for name, was in (("a", mask), ("b", squares((20, 30)))):
        description = description_of(was, MICROGRAPH)
        write_image(tmp_path / "masks" / f"{name}_raw.tif", probability, description)
    folder = measure_particles(
        masks_dir=tmp_path / "masks",
        images_dir=tmp_path / "images",
        results_dir=tmp_path / "Results",
        **networks_in(tmp_path),
        **OPTIONS,
    )
    origins = [row["mask_from"] for row in read_table(folder / "images.csv")]
    assert origins == ["step 6b", "step 6b, changed since", "unknown"]
    warning, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    assert "1 of 3 masks were changed since step 6b made them (b.tif)" in warning


def test_masks_of_other_micrographs_than_those_there_now_are_named(measure, tmp_path):
    """Another sample's have the names of the last one's, as microscopes number them."""
    mask = squares((50, 60))
    measure({"a": mask, "b": mask})
    probability = np.zeros(mask.shape, np.float32)
    for name, micrograph in (("a", MICROGRAPH), ("b", MICROGRAPH // 2)):
        description = description_of(mask, micrograph)
        write_image(tmp_path / "masks" / f"{name}_raw.tif", probability, description)
    folders = {"masks_dir": tmp_path / "masks", "images_dir": tmp_path / "images"}
    folders["results_dir"] = tmp_path / "Results"
    folder = measure_particles(**folders, **networks_in(tmp_path), **OPTIONS)
    origins = [row["mask_from"] for row in read_table(folder / "images.csv")]
    assert origins == ["step 6b", "step 6b, of another micrograph"]
    warning, few_images = read_json(folder / "about.json")["warnings"]
    assert "confidence intervals" in few_images
    assert "1 of 2 masks were made from other micrographs than those that have" in warning
    assert "(b.tif)" in warning and "Run step 6b, then step 7 again" in warning


def test_several_processes_give_the_same_results(measure, tmp_path, monkeypatch):
    """Masks, a label map in two pieces, and one that is inverted."""
    labels = np.zeros((120, 160), np.uint16)
    labels[10:20, 10:20] = labels[50:60, 50:60] = 1
    labels[80:90, 80:90] = 2
    inverted = 255 - squares((30, 30), (70, 90))
    masks = {"a": squares((40, 40), (40, 52)), "b": labels, "c": inverted}
    found = []
    for number in (1, 2):
        begun = in_processes(monkeypatch, number)
        folder = measure(masks)
        assert begun == [number]
        found.append(
            {
                file.relative_to(folder): file.read_bytes()
                for part in ("*.csv", "overlays/*", "labels/*", "rois/*")
                for file in folder.glob(part)
            }
            | {"warnings": read_json(folder / "about.json")["warnings"]}
        )
        for name in ("masks", "images"):
            shutil.rmtree(tmp_path / name)
    assert found[0] == found[1] and len(found[0]) > 9
    assert any("b.tif" in text for text in found[0]["warnings"])
    assert any("c.tif" in text for text in found[0]["warnings"])


def test_the_border_correction_tells_width_from_height(measure):
    mask = np.zeros((120, 160), np.uint8)
    mask[50:60, 40:100] = 255
    (row,) = read_table(measure({"a": mask}) / "particles.csv")
    # 10 x 60 pixels lie off the edge of 120 x 160 in so many positions.
    assert float(row["inclusion_weight"]) == pytest.approx(120 * 160 / (109 * 99), rel=1e-5)

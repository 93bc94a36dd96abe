"""Outlines out of ImageJ's regions and label maps: the same pixels, whole particles alone."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
import roifile
from skimage.draw import disk

from pipeline.image_files import list_images, read_image, write_image
from pipeline.import_outlines import MARGIN, import_outlines, main
from pipeline.particles.pixel_outlines import outline_polygons, walk_edges
from pipeline.results.imagej_rois import write_roi_set


def scene():
    """Return a label map: a disk, a square with a hole, one at the edge, one in two parts, an L."""
    labels = np.zeros((90, 120), np.uint16)
    labels[disk((30, 30), 12)] = 1
    labels[60:80, 10:30] = 2
    labels[66:70, 15:20] = 0
    labels[40:60, 110:] = 3
    labels[5:10, 60:70] = labels[15:20, 60:70] = 4
    labels[50:80, 60:90] = 5
    labels[60:70, 60:80] = 0
    return labels


def cropped(mask):
    rows, columns = np.nonzero(mask)
    return mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def particle(path):
    image = read_image(path)
    assert set(np.unique(image)) == {0, 255}
    mask = image > 0
    rim = np.ones(mask.shape, bool)
    rim[MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    assert not mask[rim].any()
    return cropped(mask)


def test_regions_of_imagej_hold_the_pixels_they_were_made_of(tmp_path, caplog):
    write_roi_set(tmp_path / "RoiSet.zip", outline_polygons(walk_edges(scene())))
    written = import_outlines([tmp_path / "RoiSet.zip"], tmp_path / "masks")
    assert [path.name for path in written] == [f"RoiSet_00{i}.png" for i in (1, 2, 3, 4)]
    for path, label in zip(written, (1, 2, 3, 5), strict=True):  # a set does not know the edge
        np.testing.assert_array_equal(particle(path), cropped(scene() == label))
    assert "left out are 0004, which shows 2 separate particles" in caplog.text


def test_particles_of_a_label_map_are_written_where_they_are_whole(tmp_path, caplog):
    write_image(tmp_path / "labels.tif", scene())
    written = import_outlines([tmp_path / "labels.tif"], tmp_path / "masks")
    for path, label in zip(written, (1, 2, 5), strict=True):
        np.testing.assert_array_equal(particle(path), cropped(scene() == label))
    assert "particle 3, which is cut off by the edge; particle 4, which shows 2" in caplog.text


def test_white_parts_of_a_mask_are_particles(tmp_path):
    write_image(tmp_path / "mask.png", np.where(np.isin(scene(), (1, 4)), np.uint8(255), 0))
    written = import_outlines([tmp_path / "mask.png"], tmp_path / "masks")
    areas = [np.count_nonzero(particle(path)) for path in written]
    assert sorted(areas) == sorted([50, 50, np.count_nonzero(scene() == 1)])


def test_a_mask_that_is_black_on_white_is_told_of_and_inverted_where_that_is_asked(tmp_path):
    mask = np.where(scene() == 1, np.uint8(0), np.uint8(255))
    write_image(tmp_path / "black.png", mask)
    write_image(tmp_path / "white.png", 255 - mask)
    with pytest.raises(ValueError, match=r"black\.png is black on white: run it with --invert"):
        import_outlines([tmp_path / "black.png"], tmp_path / "masks")
    with pytest.raises(ValueError, match=r"white\.png is white on black: run it without --inv"):
        import_outlines([tmp_path / "white.png"], tmp_path / "masks", invert=True)
    assert not (tmp_path / "masks").exists()
    (path,) = import_outlines([tmp_path / "black.png"], tmp_path / "masks", invert=True)
    np.testing.assert_array_equal(particle(path), cropped(scene() == 1))


def test_a_mask_of_which_particles_cover_most_of_the_edge_is_read_as_it_is(tmp_path):
    mask = np.full((60, 60), 255, np.uint8)
    mask[20], mask[:, 30], mask[40] = 0, 0, 0  # lines between particles
    mask[24:36, 4:16] = 0
    mask[26:34, 6:14] = 255
    write_image(tmp_path / "dense.png", mask)
    (path,) = import_outlines([tmp_path / "dense.png"], tmp_path / "masks")
    assert particle(path).shape == (8, 8)


def write_regions(path, regions):
    with zipfile.ZipFile(path, "w") as archive:
        for number, region in enumerate(regions):
            archive.writestr(f"{number}.roi", region.tobytes())


def region(kind, top, left, bottom, right):
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE[kind], top=top, left=left, bottom=bottom, right=right, name=kind
    )


def test_every_kind_of_region_that_is_an_area(tmp_path, caplog):
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = 50 + 20 * np.column_stack([np.cos(angle), np.sin(angle)])
    drawn = roifile.ImagejRoi.frompoints(circle)
    drawn.roitype = roifile.ROI_TYPE.FREEHAND
    line = roifile.ImagejRoi.frompoints([[3, 4], [20, 30], [50, 60]])
    line.roitype, line.name = roifile.ROI_TYPE.POLYLINE, "a line"
    kinds = [region("RECT", 5, 8, 15, 30), region("OVAL", 10, 10, 40, 60), drawn, line]
    write_regions(tmp_path / "some regions.zip", kinds)
    square, oval, freehand = import_outlines([tmp_path / "some regions.zip"], tmp_path / "masks")
    assert particle(square).shape == (10, 22) and particle(square).all()
    assert particle(oval).shape == (30, 50)
    assert np.count_nonzero(particle(oval)) == pytest.approx(np.pi * 15 * 25, rel=0.02)
    assert np.count_nonzero(particle(freehand)) == pytest.approx(np.pi * 20**2, rel=0.01)
    assert "left out are a line, which is no area" in caplog.text


def test_regions_that_are_more_than_their_points_are_left_out(tmp_path, caplog):
    """Of a spline the file has the knots, of a text the box around it."""
    knots = roifile.ImagejRoi.frompoints([[10, 0], [20, 10], [10, 20], [0, 10]])
    knots.roitype, knots.name = roifile.ROI_TYPE.POLYGON, "knots"
    knots.options |= roifile.ROI_OPTIONS.SPLINE_FIT
    text = region("RECT", 5, 8, 15, 30)
    text.subtype, text.name = roifile.ROI_SUBTYPE.TEXT, "text"
    write_regions(tmp_path / "set.zip", [region("OVAL", 10, 10, 40, 60), knots, text])
    assert len(import_outlines([tmp_path / "set.zip"], tmp_path / "masks")) == 1
    assert "left out are knots, which is fitted by a spline, of which" in caplog.text
    assert "Interpolate, then Update in the ROI Manager); text, which is no area" in caplog.text


def test_a_single_region(tmp_path):
    (tmp_path / "one.roi").write_bytes(region("RECT", 5, 8, 15, 30).tobytes())
    (path,) = import_outlines([tmp_path / "one.roi"], tmp_path / "masks")
    assert particle(path).shape == (10, 22)


def test_nothing_is_overwritten_and_nothing_written_by_halves(tmp_path, caplog):
    folder = tmp_path / "masks"
    write_roi_set(tmp_path / "RoiSet.zip", outline_polygons(walk_edges(scene())))
    write_image(tmp_path / "grey.tif", np.arange(900, dtype=np.uint16).reshape(30, 30))
    with pytest.raises(ValueError, match=r"grey\.tif is neither a label map, .*, nor a mask"):
        import_outlines([tmp_path / "RoiSet.zip", tmp_path / "grey.tif"], folder)
    assert not folder.exists()
    (tmp_path / "other").mkdir()
    write_roi_set(tmp_path / "other" / "RoiSet.zip", outline_polygons(walk_edges(scene())))
    with pytest.raises(ValueError, match=r"Two of the files would make .*RoiSet_001\.png"):
        import_outlines([tmp_path / "RoiSet.zip", tmp_path / "other" / "RoiSet.zip"], folder)
    assert not folder.exists()
    folder.mkdir()
    write_image(folder / "RoiSet_002.png", np.zeros((5, 5), np.uint8))
    before = (folder / "RoiSet_002.png").read_bytes()
    with pytest.raises(FileExistsError, match=r"masks holds RoiSet_002\.png already"):
        import_outlines([tmp_path / "RoiSet.zip"], folder)
    assert [path.read_bytes() for path in list_images(folder)] == [before]
    (folder / "RoiSet_002.png").rename(folder / "earlier.png")
    assert len(import_outlines([tmp_path / "RoiSet.zip"], folder)) == 4
    assert "what was there is used too: earlier.png" in caplog.text
    assert (folder / "earlier.png").read_bytes() == before


def test_a_file_in_place_of_the_folder(tmp_path):
    write_roi_set(tmp_path / "RoiSet.zip", outline_polygons(walk_edges(scene())))
    (tmp_path / "masks").write_text("a file")
    with pytest.raises(FileExistsError, match=r"masks is a file; give a folder \(--into\)"):
        import_outlines([tmp_path / "RoiSet.zip"], tmp_path / "masks")
    assert (tmp_path / "masks").read_text() == "a file"


def test_a_file_without_a_whole_particle(tmp_path):
    write_regions(tmp_path / "lines.zip", [region("LINE", 1, 2, 3, 4)])
    with pytest.raises(ValueError, match=r"lines\.zip holds no outline of a whole particle"):
        import_outlines([tmp_path / "lines.zip"], tmp_path / "masks")
    with pytest.raises(FileNotFoundError, match=r"none\.zip"):
        import_outlines([tmp_path / "none.zip"], tmp_path / "masks")


def test_damaged_regions_are_named_and_never_crash(tmp_path):
    random = np.random.default_rng(0)
    write_roi_set(tmp_path / "whole.zip", outline_polygons(walk_edges(scene())))
    whole = {".zip": (tmp_path / "whole.zip").read_bytes()}
    whole[".roi"] = zipfile.ZipFile(tmp_path / "whole.zip").read("0002.roi")
    errors = 0
    for number in range(900):
        ending = (".zip", ".roi")[number % 2]
        damaged = bytearray(whole[ending])
        for place in random.integers(len(damaged), size=3):
            damaged[place] = random.integers(256)
        damaged = damaged[: random.integers(1, len(damaged) + 1)] if number % 3 else damaged
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(damaged)
        try:
            import_outlines([path], tmp_path / "masks" / str(number))
        except ValueError as error:
            errors += 1
            assert path.name in str(error)
    assert errors > 300


def test_the_command(tmp_path):
    write_roi_set(tmp_path / "RoiSet.zip", outline_polygons(walk_edges(scene())))

    def call():
        command = [sys.executable, "-m", "pipeline.import_outlines", str(tmp_path / "RoiSet.zip")]
        return subprocess.run(
            [*command, "--into", str(tmp_path / "masks")], capture_output=True, text=True
        )

    first, second = call(), call()
    assert first.returncode == 0 and "wrote 4 outlines into" in first.stderr
    assert second.returncode == 1 and "RoiSet_001.png, RoiSet_002.png" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_command_takes_patterns_and_masks_to_invert(tmp_path, monkeypatch):
    for name in "ab":
        mask = np.where(scene() == 1, np.uint8(0), np.uint8(255))
        write_image(tmp_path / f"[{name}] 1.png", mask)
    arguments = [str(tmp_path / "* 1.png"), str(tmp_path / "[a] 1.png"), "--invert"]
    monkeypatch.setattr(sys, "argv", ["import_outlines", *arguments[:1], *arguments[2:]])
    monkeypatch.chdir(tmp_path)
    main()
    assert [path.name for path in list_images(tmp_path / "Input_Masks")] == [
        "[a] 1_001.png",
        "[b] 1_001.png",
    ]
    monkeypatch.setattr(sys, "argv", ["import_outlines", *arguments[1:], "--into", "other"])
    write_image(tmp_path / "a 1.png", np.zeros((9, 9), np.uint8))  # which the pattern means
    main()  # a file whose name looks like a pattern
    assert [path.name for path in list_images(tmp_path / "other")] == ["[a] 1_001.png"]


def test_pixels_that_meet_at_a_corner_are_of_one_outline(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[4:8, 4:8] = mask[8:12, 8:12] = 255
    write_image(tmp_path / "mask.png", mask)
    (path,) = import_outlines([tmp_path / "mask.png"], tmp_path / "masks")
    np.testing.assert_array_equal(particle(path), cropped(mask > 0))

"""Step 8 on folders of small masks: what it writes, shows, skips and refuses."""

import csv
import json
import logging
import sys

import cv2
import numpy as np
import pytest

from pipeline import score_masks as step
from pipeline.files.records import fingerprint, write_json
from pipeline.image_files import read_image, write_image
from pipeline.running.output_folders import MADE_WITH
from pipeline.score_masks import main, score_folders, score_masks
from pipeline.scoring.score_table import log_scores

SHAPE = (96, 128)


def disks(*centres, radius=12):
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    mask = np.zeros(SHAPE, np.uint8)
    for row, column in centres:
        mask[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = 255
    return mask


MASKS = {"a": disks((30, 30), (60, 90)), "b": disks((40, 60))}


def save(folder, masks):
    folder.mkdir(exist_ok=True)
    for name, mask in masks.items():
        write_image(folder / f"{name}.tif", mask)
    return folder


def probability(mask):
    """Return a probability image whose mask at 0.5 is the mask, and larger below."""
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3)
    outside = 0.49 * blurred / blurred[mask == 0].max()
    return np.where(mask > 0, 0.55 + 0.4 * blurred / 255, outside).astype(np.float32)


def run(tmp_path, **changes):
    options = {
        "masks_dir": tmp_path / "predicted",
        "true_masks_dir": tmp_path / "true",
        "results_dir": tmp_path / "Results",
        "watershed_lines": True,
        "min_distance": 9,
    }
    score_masks(**(options | changes))


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_identical_folders_score_one_over_all_images_and_in_each(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    save(tmp_path / "predicted", {**MASKS, "without truth": MASKS["a"]})
    save(tmp_path / "true", MASKS)
    run(tmp_path)
    (path,) = (tmp_path / "Results").glob("*/scores.csv")
    rows = read_csv(path)
    assert [row["image"] for row in rows] == ["all images", "mean over images", "a", "b"]
    assert {row["segmentation"] for row in rows} == {"as saved"}
    for score in ("iou", "instance_iou", "youden", "ap_50", "panoptic_quality", "number_ratio"):
        assert [row[score] for row in rows] == ["1"] * 4
    assert [row["n_true"] for row in rows] == ["3", "1.5", "2", "1"]
    assert "2 of 3 masks" in caplog.text and "scored as saved only" in caplog.text
    assert "Scores over all 2 images" in caplog.text
    assert "above 9 px, as D10 to D90 are: n/n true 1.000" in caplog.text
    assert "watershed" not in caplog.text  # of the thresholds, of which there are none


def test_thresholds_of_the_probability_are_scored_and_the_best_is_named(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    save(tmp_path / "true", MASKS)
    raw = {f"{name}_raw": probability(mask) for name, mask in MASKS.items()}
    save(tmp_path / "predicted", {**MASKS, **raw})
    run(tmp_path)
    (path,) = (tmp_path / "Results").glob("*/scores.csv")
    overall = {row["segmentation"]: row for row in read_csv(path) if row["image"] == "all images"}
    assert list(overall) == ["as saved", *(f"threshold {tenth / 10}" for tenth in range(11))]
    assert overall["threshold 0.5"]["iou"] == "1"
    assert 0.5 < float(overall["threshold 0.2"]["iou"]) < 1
    assert overall["threshold 1.0"]["recall"] == "0"
    assert overall["threshold 1.0"]["d50_error"] == ""  # undefined
    assert "best IoU: 1.000 at threshold 0.5" in caplog.text
    assert 'distance-map watershed; with UNET_TARGET = "instances" the masks' in caplog.text


@pytest.mark.parametrize(
    ("options", "number"),
    [({}, "2"), ({"watershed_lines": False}, "1"), ({"min_distance": 30}, "1")],
)
def test_thresholded_probabilities_are_split_as_the_options_say(tmp_path, options, number):
    """Two disks that overlap by two pixels, their centres 22 apart."""
    mask = disks((40, 40), (40, 62))
    raw = np.where(mask > 0, np.float32(0.8), np.float32(0.1))
    save(tmp_path / "true", {"a": disks((40, 40), (40, 64), radius=11)})
    save(tmp_path / "predicted", {"a": mask, "a_raw": raw})
    run(tmp_path, **options)
    (path,) = (tmp_path / "Results").glob("*/scores.csv")
    rows = {row["segmentation"]: row for row in read_csv(path) if row["image"] == "a"}
    assert rows["as saved"]["n_predicted"] == "1"
    assert rows["threshold 0.5"]["n_predicted"] == number


def test_scores_go_to_the_newest_measurement_and_its_report(tmp_path, monkeypatch):
    save(tmp_path / "true", MASKS)
    save(tmp_path / "predicted", MASKS)
    reported = []
    monkeypatch.setattr(step, "write_report", reported.append)
    about = json.dumps({"masks": fingerprint((tmp_path / "predicted").iterdir())})
    for name, content in (
        ("2026-01-01_00-00-00", about),
        ("2026-02-01_00-00-00", about),
        ("2026-03-01_00-00-00", None),  # stopped half-way
        ("2026-04-01_00-00-00", '{"masks": "others"}'),
        ("for the paper", about),
    ):
        (tmp_path / "Results" / name).mkdir(parents=True)
        if content:
            (tmp_path / "Results" / name / "about.json").write_text(content)
    run(tmp_path)
    newest = tmp_path / "Results" / "2026-02-01_00-00-00"
    assert list(tmp_path.rglob("scores.csv")) == [newest / "scores.csv"]
    assert reported == [newest]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Return the folder of a measurement of predicted masks, which are as the true ones."""
    save(tmp_path / "true", MASKS)
    save(tmp_path / "predicted", MASKS)
    monkeypatch.setattr(step, "write_report", lambda folder: None)
    folder = tmp_path / "Results" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    about = {"masks": fingerprint((tmp_path / "predicted").iterdir())}
    write_json(folder / "about.json", about)
    return folder


@pytest.mark.parametrize(("sizes", "said"), [("2 5", True), ("2 2.001", False), ("2", False)])
def test_sizes_over_images_of_other_magnifications_are_warned_of(
    tmp_path, measured, caplog, sizes, said
):
    rows = [f"{name}.tif,{size}" for name, size in zip("ab", sizes.split(), strict=False)]
    (measured / "images.csv").write_text("\n".join(["mask,pixel_size_nm", *rows, "other.tif,9"]))
    run(tmp_path)
    assert ("of all images together they mix particles of different" in caplog.text) == said


def test_scores_by_other_true_masks_are_kept_beside_the_new_ones(tmp_path, measured):
    for _ in range(2):
        run(tmp_path)
        (path,) = measured.glob("scores*.csv")  # none for the same again
    first = path.read_bytes()
    save(tmp_path / "true", {"a": MASKS["b"]})
    run(tmp_path)
    (earlier,) = measured.glob("scores_*.csv")
    assert earlier.read_bytes() == first != path.read_bytes()


def test_scores_of_masks_that_were_not_measured_get_a_folder_of_their_own(tmp_path, caplog):
    save(tmp_path / "true", MASKS)
    save(tmp_path / "predicted", MASKS)
    earlier = tmp_path / "Results" / "2026-01-01_00-00-00"
    earlier.mkdir(parents=True)
    (earlier / "about.json").write_text('{"masks": "others"}')
    (earlier / "scores.csv").write_text("theirs")
    run(tmp_path)
    assert (earlier / "scores.csv").read_text() == "theirs"
    (own,) = set(tmp_path.rglob("scores.csv")) - {earlier / "scores.csv"}
    assert (
        f"no measurement of these masks is in {earlier.parent} (renamed ones do not count): the "
        f"scores are in {own.parent}; for a report" in caplog.text
    )


@pytest.mark.parametrize("make_folder", [False, True])
def test_without_true_masks_it_says_so_and_writes_nothing(tmp_path, caplog, make_folder):
    caplog.set_level(logging.INFO)
    save(tmp_path / "predicted", MASKS)
    if make_folder:
        (tmp_path / "true").mkdir()
    run(tmp_path)
    assert [record.message for record in caplog.records] == [
        f"no true masks in {tmp_path / 'true'}: nothing to score"
    ]
    assert not (tmp_path / "Results").exists()


def test_a_mask_without_info_bar_is_scored_against_a_truth_with_it(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    save(tmp_path / "true", MASKS)
    save(tmp_path / "predicted", {name: mask[:80] for name, mask in MASKS.items()})
    rows = score_folders(tmp_path / "predicted", tmp_path / "true", True, 9)
    log_scores(rows)
    assert rows[0]["iou"] == rows[0]["ap_50"] == 1
    assert "2 pairs differ in height" in caplog.text and "over all 2 images" in caplog.text
    for folder in ("predicted", "true"):
        (tmp_path / folder / "b.tif").unlink()
    log_scores(score_folders(tmp_path / "predicted", tmp_path / "true", True, 9))
    assert "1 pair differs in height" in caplog.text and "Scores over 1 image with" in caplog.text


def test_masks_that_do_not_fit_are_refused_by_name(tmp_path):
    save(tmp_path / "true", MASKS)
    predicted = save(tmp_path / "predicted", {"a": MASKS["a"]})
    with pytest.raises(ValueError, match=r"no partner.*b\.tif"):
        run(tmp_path)
    save(predicted, {"b": MASKS["b"][:, 1:]})
    with pytest.raises(ValueError, match=r"predicted.b\.tif and .*true.b\.tif: .*96 x 127"):
        run(tmp_path)
    save(predicted, {"b": MASKS["b"][:40]})
    with pytest.raises(ValueError, match=r"b\.tif: .*40 x 128 against 96 x 128.*below row 40"):
        run(tmp_path)
    save(predicted, {"a": np.minimum(MASKS["a"], cv2.blur(MASKS["a"], (3, 3)))})
    with pytest.raises(ValueError, match=r"a\.tif has \d+ different values; expected a mask"):
        run(tmp_path)


def test_true_masks_may_be_label_maps_of_touching_particles(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    labels = (disks((40, 40)) > 0) + 2 * (disks((40, 65)) > 0).astype(np.uint16)
    save(tmp_path / "true", {"a": labels, "b": MASKS["b"]})
    save(tmp_path / "predicted", {"a": labels, "b": MASKS["b"]})
    rows = score_folders(tmp_path / "predicted", tmp_path / "true", True, 9)
    assert [row["n_true"] for row in rows] == [3, 1.5, 2, 1]
    assert all(row["ap_50_95"] == row["iou"] == 1 for row in rows)
    assert "1 true mask is a label map: each number is a particle" in caplog.text


def test_masks_black_on_white_are_warned_of_on_either_side(tmp_path, caplog):
    save(tmp_path / "true", {"a": 255 - MASKS["a"], "b": MASKS["b"]})
    save(tmp_path / "predicted", {"a": MASKS["a"], "b": 255 - MASKS["b"]})
    score_folders(tmp_path / "predicted", tmp_path / "true", True, 9)
    assert "In 1 of 2 masks (b.tif) one particle reaches all four edges" in caplog.text
    assert "In 1 of 2 true masks (a.tif) one particle reaches all four edges" in caplog.text


def test_numbers_in_several_places_are_warned_of_on_either_side(tmp_path, caplog):
    twice = (disks((40, 40), (90, 65)) > 0) + 2 * (disks((40, 65)) > 0).astype(np.uint16)
    once = (disks((40, 40)) > 0) + 2 * (disks((40, 65)) > 0).astype(np.uint16)
    save(tmp_path / "true", {"a": twice, "b": once})
    save(tmp_path / "predicted", {"a": once, "b": once})
    score_folders(tmp_path / "predicted", tmp_path / "true", True, 9)
    assert "In 1 label map a number stands in several places" in caplog.text
    save(tmp_path / "predicted", {"b": twice})
    score_folders(tmp_path / "predicted", tmp_path / "true", True, 9)
    assert "In 2 label maps a number stands in several places" in caplog.text
    assert "(b.tif, a.tif)" in caplog.text or "(a.tif, b.tif)" in caplog.text


def test_maps_of_classes_are_refused(tmp_path):
    save(tmp_path / "predicted", MASKS)
    save(tmp_path / "true", {"a": np.where(MASKS["a"] > 0, 2, 1).astype(np.uint8)})
    with pytest.raises(ValueError, match=r"a\.tif looks like a map of classes, not of particles"):
        run(tmp_path)


def test_probabilities_of_another_range_are_refused(tmp_path):
    save(tmp_path / "true", MASKS)
    save(tmp_path / "predicted", {**MASKS, "a_raw": MASKS["a"], "b_raw": MASKS["b"]})
    with pytest.raises(ValueError, match=r"a_raw\.tif holds uint8 values from 0 to 255"):
        run(tmp_path)


@pytest.mark.parametrize(("factor", "offset"), [(255, 0), (1, -0.1), (1.1, 0)])
def test_floats_of_another_range_are_no_probabilities(tmp_path, factor, offset):
    """Such as those that another program has exported with 32 bits."""
    save(tmp_path / "true", MASKS)
    raw = {f"{name}_raw": np.float32(factor * (mask > 0) + offset) for name, mask in MASKS.items()}
    save(tmp_path / "predicted", {**MASKS, **raw})
    words = r"a_raw\.tif holds float32 values .* expected float probabilities from 0 to 1"
    with pytest.raises(ValueError, match=words):
        run(tmp_path)


def test_masks_saved_as_jpeg_are_cut_at_half_of_their_range(tmp_path):
    """Compression leaves greys at their edges, which are refused in files without loss."""
    save(tmp_path / "true", MASKS)
    save(tmp_path / "predicted", {})
    for name, mask in MASKS.items():
        cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tofile(
            tmp_path / "predicted" / f"{name}.jpg"
        )
    assert len(np.unique(read_image(tmp_path / "predicted" / "a.jpg"))) > 2
    run(tmp_path)
    (scores,) = (tmp_path / "Results").glob("*/scores.csv")
    assert float(read_csv(scores)[0]["iou"]) > 0.97
    for folder in "true", "predicted":
        grey = read_image(tmp_path / "predicted" / "a.jpg")
        write_image(tmp_path / folder / "a.png", grey)
        (tmp_path / folder / ("a.tif" if folder == "true" else "a.jpg")).unlink()
        with pytest.raises(ValueError, match=r"a\.png has \d+ different values; expected a mask"):
            run(tmp_path)
        write_image(tmp_path / folder / "a.tif", MASKS["a"])
        (tmp_path / folder / "a.png").unlink()


@pytest.mark.parametrize(
    ("arguments", "predicted"),
    [([], "2"), (["--no-watershed-lines"], "1"), (["--min-distance", "30"], "1")],
)
def test_on_the_command_line_probabilities_are_split_as_it_says(
    tmp_path, monkeypatch, arguments, predicted
):
    touching = disks((40, 50), (40, 70))
    save(tmp_path / "true", {"a": touching})
    save(tmp_path / "predicted", {"a": touching, "a_raw": probability(touching)})
    folders = [str(tmp_path / name) for name in ("predicted", "true")]
    monkeypatch.setattr(sys, "argv", ["score_masks", *folders, *arguments])
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    main()
    (row,) = (
        row
        for row in read_csv(tmp_path / "predicted-scores.csv")
        if (row["segmentation"], row["image"]) == ("threshold 0.5", "all images")
    )
    assert row["n_predicted"] == predicted


def test_command_line_shows_the_table_and_writes_beside_the_folder(tmp_path, monkeypatch, capsys):
    predicted, true = save(tmp_path / "predicted", MASKS), save(tmp_path / "true", MASKS)
    monkeypatch.setattr(sys, "argv", ["score_masks", str(predicted), str(true)])
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    main()
    rows = read_csv(tmp_path / "predicted-scores.csv")
    assert rows[0]["image"] == "all images" and rows[0]["iou"] == "1"
    save(tmp_path / "true", {"a": MASKS["b"]})
    main()
    (earlier,) = tmp_path.glob("predicted-scores_*.csv")
    assert read_csv(earlier) == rows != read_csv(tmp_path / "predicted-scores.csv")
    monkeypatch.setattr(sys, "argv", ["score_masks", str(predicted), str(tmp_path / "none")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "none does not exist" in capsys.readouterr().err
    (tmp_path / "predicted-scores.csv").unlink()
    (tmp_path / "predicted-scores.csv").mkdir()  # cannot be written
    monkeypatch.setattr(sys, "argv", ["score_masks", str(predicted), str(true)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "predicted-scores.csv" in capsys.readouterr().err


def test_probabilities_are_split_as_step_6b_splits_enlarged_masks(tmp_path):
    """Two disks of 9 pixels whose centres are 8 apart: 16 at the scale the network sees."""
    mask = np.maximum(disks((40, 40), radius=4), disks((40, 48), radius=4))
    save(tmp_path / "true", {"a": mask})
    folder = save(tmp_path / "predicted", {"a": mask})
    write_image(folder / "a_raw.tif", probability(mask))

    def number(record):
        write_json(folder / MADE_WITH, record)
        rows = score_folders(folder, tmp_path / "true", True, 10)
        (row,) = (r for r in rows if (r["image"], r["segmentation"]) == ("a", "threshold 0.5"))
        return row["n_predicted"]

    assert [number({}), number({"micrograph_scale": 2.0})] == [1, 2]

"""The page holds what is there, leaves out what is not, and needs nothing from elsewhere."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from pipeline.files.csv_tables import read_table, write_table
from pipeline.files.records import fingerprint
from pipeline.image_files import write_image
from pipeline.particles.size_distribution import STATISTICS
from pipeline.report import page as report
from pipeline.report import pictures
from pipeline.report.page import write_report
from pipeline.report.parts import number, numbers
from pipeline.report.pictures import jpeg_uri, plot_training_curves, read_training_log
from pipeline.scoring.error_kinds import KINDS
from pipeline.scoring.score_table import TABLE
from pipeline.training.preview_sheets import GAP

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(HTMLParser):
    """Complains of tags that are not closed in order; collects addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def run_folder(tmp_path):
    """A finished run with two images, as step 7 leaves it."""
    folder = tmp_path / "Results" / "2026-01-31_12-00-00"
    (folder / "overlays").mkdir(parents=True)
    images = ["image", "pixel_size_nm", "pixel_size_source", "particles_found"]
    rows = [(f"{name}.tif", 2.5, "Zeiss metadata", 9, 7) for name in ("a", "<b> & c")]
    write_table(folder / "images.csv", [*images, "particles_measured"], rows)
    parts = ("", "_ci_low", "_ci_high", "_uncorrected")
    write_table(
        folder / "summary.csv",
        [
            "quantity",
            "weighting",
            "mean_is",
            "n",
            *(s + part for s in STATISTICS for part in parts),
        ],
        [
            ("equivalent_diameter_nm", "number", "D[1,0]", 14, *range(101, 133)),
            ("aspect_ratio", "number", "", 14, *range(201, 233)),
        ],
    )
    about = {
        "measured": "2026-01-31 12:00",
        "unit": "nm",
        "warnings": ["<careful> here"],
        "masks_made_with": {"threshold": -1},
        "versions": {"numpy": "2.4"},
        "networks": {"wgan": "../../outlines", "cyclegan": "../../gan", "unet": "../../unet"},
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "options.json").write_text('{"filters": {}, "exclude_border": true}', "utf-8")
    picture = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    for name in ("a", "<b> & c"):
        cv2.imencode(".png", picture)[1].tofile(folder / "overlays" / f"{name}.png")
    return folder


def read_page(run_folder):
    text = write_report(run_folder).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    for address in checker.addresses:
        assert address.startswith("data:image/") or address[1:] in checker.ids
    return text


def test_the_page_is_whole_and_needs_no_network(run_folder):
    text = read_page(run_folder)
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.count('class="enlarge"') == 2
    assert "113.0 nm" in text  # D50
    assert "114.0 to 115.0\u00a0nm" in text
    assert "14<small>of 18 found, in 2 images" in text
    assert "<dt>Mean diameter</dt><dd>101.0 nm<small>" in text
    assert "standard deviation 105.0 nm</small>" in text
    assert "<dt>Pixel size</dt><dd>2.5 nm<small>Zeiss metadata</small>" in text
    assert "a.tif: 7 of 9 particles measured" in text


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")


def test_the_page_says_which_sample_it_is_and_what_was_done_to_it(run_folder):
    change(run_folder / "about.json", masks_made_with=None)  # masks from elsewhere
    text = read_page(run_folder)
    assert "<title>Particle sizes</title>" in text
    assert '<p class="subtitle">measured 2026-01-31 12:00</p>' in text
    assert "<footer>Measured after Ruehle" in text
    made = {"masks_folder": "<TiO2> & Al/Output_Masks_UNet", "masks_made_with": {"threshold": -1}}
    change(run_folder / "about.json", **made)
    text = read_page(run_folder)
    assert "<title>Particle sizes, &lt;TiO2&gt; &amp; Al/Output_Masks_UNet</title>" in text
    assert "&lt;TiO2&gt; &amp; Al/Output_Masks_UNet, measured 2026-01-31 12:00</p>" in text
    assert "<footer>Segmented and measured after Ruehle" in text


def test_what_was_left_out_is_counted_by_its_reason_and_only_its_colours_are_explained(run_folder):
    text = read_page(run_folder)
    assert "cut by the image" not in text.split('class="key"')[1] and "by a filter" not in text
    rows = read_table(run_folder / "images.csv")
    for number_of, row in enumerate(rows):
        row |= {"dropped_at_border": number_of + 1, "dropped_by_area": 0}
    write_table(run_folder / "images.csv", rows[0], [row.values() for row in rows])
    text = read_page(run_folder)
    assert "14<small>of 18 found, in 2 images; 3 dropped at border</small>" in text
    assert "left out: cut by the image" in text and "left out by a filter" in text


@pytest.mark.parametrize(("uncorrected", "told"), [(110, False), (90, True), (140, True)])
def test_a_median_that_the_border_correction_makes_is_told_with_that_without(
    run_folder, uncorrected, told
):
    rows = read_table(run_folder / "summary.csv")
    rows[0]["D50_uncorrected"] = uncorrected
    write_table(run_folder / "summary.csv", rows[0], [row.values() for row in rows])
    words = f"; {number(str(uncorrected))}\u00a0nm without the border correction</small>"
    assert (words in read_page(run_folder)) == told


def test_plots_are_described_by_what_they_show(run_folder):
    picture = np.zeros((4, 4, 3), np.uint8)
    cv2.imencode(".png", picture)[1].tofile(run_folder / "size_distribution_by_number.png")
    words = "size distribution by number, D10 109.0 nm, D50 113.0 nm, D90 117.0 nm"
    assert f'alt="{words}"' in read_page(run_folder)


def test_sizes_stand_with_and_without_the_border_correction(run_folder):
    text = read_page(run_folder)
    first, below = text.split("Without the border correction</h3>")
    assert "<td>113.0<small>114.0 – 115.0</small></td>" in first
    assert "<td>116.0</td>" in below and "<td>116.0" not in first
    assert "<td>101.0<small>D[1,0]</small><small>102.0 – 103.0</small></td>" in first
    assert "aspect ratio" in first and "counts more than once" in first


def test_without_a_border_correction_there_is_one_table_of_sizes(run_folder):
    (row, _) = read_table(run_folder / "summary.csv")
    row |= {f"{name}_uncorrected": row[name] for name in STATISTICS}
    write_table(run_folder / "summary.csv", row, [row.values()])
    assert "order correction" not in read_page(run_folder)


def test_the_table_of_sizes_fits_on_paper(run_folder):
    text = read_page(run_folder)
    head, *_ = re.findall(r"<thead>(?:(?!</thead>).)*<th [^>]*>D50</th>.*?</thead>", text)
    assert head.count("<th ") <= 12


def test_text_from_files_is_escaped(run_folder):
    text = read_page(run_folder)
    assert "&lt;careful&gt; here" in text and "&lt;b&gt; &amp; c.tif" in text
    assert "<careful>" not in text and "<b>" not in text


def test_what_is_missing_is_left_out(run_folder):
    for path in (run_folder / "overlays").iterdir():
        path.unlink()
    text = read_page(run_folder)
    for title in ("Scores", "Overlays", "Training", "Preview sheets"):
        assert f">{title}</h2>" not in text


def write_scores(run_folder, rows):
    """Write scores.csv with (image, segmentation, value of every score) for rows."""
    header = ["image", "segmentation", *TABLE, "n_true", "n_predicted", "n_invented"]
    header += [f"n_{kind}" for kind in KINDS]
    counts = [9, 7, 2, *range(1, 1 + len(KINDS))]
    filled = [(*names, *[value] * len(TABLE), *counts) for *names, value in rows]
    write_table(run_folder / "scores.csv", header, filled)


def test_scores_appear_when_they_are_there(run_folder):
    rows = [
        ("all images", "as saved", 0.4711),
        ("all images", "threshold 0.5", 0.4722),
        ("all images", "threshold 1.0", ""),
        ("mean over images", "threshold 0.5", 0.4733),
        ("a", "as saved", 0.4744),
        ("a", "threshold 0.5", 0.4755),
    ]
    write_scores(run_folder, rows)
    text = read_page(run_folder)
    assert ">Scores</h2>" in text and '<th scope="col">AP50</th>' in text
    shown = [score in text for score in ("0.4711", "0.4722", "0.4733", "0.4744", "0.4755")]
    assert shown == [True, True, False, True, False]
    assert "Best: IoU 0.472 at threshold 0.5," in text
    assert "at the thresholds particles are split by the distance-map watershed" in text
    assert (
        "Masks as saved: of 9 true particles 1 found, 2 missed, 3 merged, 4 split, 5 misshapen; "
        "2 of 7 predicted ones invented."
    ) in text


def test_the_table_of_scores_fits_on_paper(run_folder):
    write_scores(run_folder, [("all images", "as saved", 0.5)])
    text = read_page(run_folder)
    (head,) = re.findall(r"<thead>(?:(?!</thead>).)*<th [^>]*>AP50</th>.*?</thead>", text)
    assert head.count("<th ") <= 14
    assert "by threshold" not in text and "Best:" not in text


def test_of_many_pixel_sizes_the_range_is_shown(run_folder):
    header = "image,pixel_size_nm,pixel_size_source,particles_found,particles_measured\n"
    rows = "".join(f"{size}.tif,{size},x,1,1\n" for size in (6, 2.5, 11, 4))
    (run_folder / "images.csv").write_text(header + rows, encoding="utf-8")
    assert "<dd>2.5 to 11 nm<small>" in read_page(run_folder)


def add_training(root, name, run, epochs):
    folder = root / name / "Models" / run
    folder.mkdir(parents=True)
    rows = [(epoch, 1 / epoch, 2 / epoch, "") for epoch in range(1, epochs + 1)]
    write_table(folder / "training_log.csv", ["epoch", "loss", "val_loss", "note"], rows)
    (folder / "options.json").write_text(f'{{"epochs": {epochs}, "tile": [1, 2]}}', "utf-8")


def test_the_newest_training_runs_are_shown(run_folder, tmp_path):
    add_training(tmp_path, "outlines", "2026-01-01_00-00-00", 3)
    add_training(tmp_path, "outlines", "2026-01-02_00-00-00", 4)
    (tmp_path / "outlines" / "Models" / "2026-01-03_00-00-00").mkdir()  # not yet trained
    add_training(tmp_path, "unet", "2026-01-04_00-00-00", 1)
    text = read_page(run_folder)
    assert "Run 2026-01-02_00-00-00, 4 epochs" in text
    assert "Run 2026-01-04_00-00-00, 1 epoch." in text
    assert "2026-01-01" not in text and "CycleGAN:" not in text


def test_masks_from_elsewhere_are_shown_without_networks(run_folder, tmp_path):
    """Those in the folder have nothing to do with them."""
    add_training(tmp_path, "unet", "2026-01-04_00-00-00", 1)
    (tmp_path / "gan" / "data").mkdir(parents=True)
    scenes = cv2.imencode(".png", np.zeros((40, 40), np.uint8))[1]
    scenes.tofile(tmp_path / "gan" / "data" / "scenes.png")
    for made_with, shown in ((None, False), ({"threshold": -1}, True)):
        change(run_folder / "about.json", masks_made_with=made_with)
        text = read_page(run_folder)
        assert ("Run 2026-01-04_00-00-00" in text) == shown
        assert ("Simulated and real scenes" in text) == shown


def test_the_training_runs_that_made_the_masks_are_shown(run_folder, tmp_path):
    for network in ("outlines", "gan", "unet"):
        for day in (1, 2):
            add_training(tmp_path, network, f"2026-01-0{day}_00-00-00", day)
    sheets = tmp_path / "outlines" / "Output_Images" / "2026-01-02_00-00-00"
    sheets.mkdir(parents=True)
    cv2.imencode(".png", np.zeros((40, 40), np.uint8))[1].tofile(sheets / "Epoch_00001.png")
    assert "WGAN, outlines" in read_page(run_folder)
    for folder, record in (
        # the user's own, deformed
        ("data/trainB", {"outlines": "", "options": {"grid_type": "CUBIC"}}),
        ("generate_images/A", {"model": ["2026-01-01_00-00-00", "x"]}),
    ):
        (tmp_path / "gan" / folder).mkdir(parents=True)
        text = json.dumps(record)
        (tmp_path / "gan" / folder / "made_with.json").write_text(text, encoding="utf-8")
    fake = tmp_path / "gan" / "generate_images" / "A" / "00000.tif"
    fake.write_text("a fake micrograph")
    record = json.dumps({"options": {"inputs": [fingerprint([fake]), "masks"]}})
    unet = tmp_path / "unet" / "Models" / "2026-01-01_00-00-00"
    (unet / "options.json").write_text(record, encoding="utf-8")
    made_with = {"unet_model": ["2026-01-01_00-00-00", "y"]}
    change(run_folder / "about.json", masks_made_with=made_with)
    text = read_page(run_folder)
    assert text.count("Run 2026-01-01_00-00-00, 1 epoch.") == 2
    assert "Run 2026-01-02_00-00-00" not in text and "WGAN, outlines" not in text
    assert "grid type" in text and "are others than" not in text
    fake.write_text("of another CycleGAN, trained since")
    text = read_page(run_folder)
    assert text.count("Run 2026-01-01_00-00-00, 1 epoch.") == 1
    assert "Run 2026-01-02_00-00-00" not in text and "grid type" not in text
    assert "fake micrographs that are there are others than those the UNet learned from" in text


def test_options_are_listed_one_by_one(run_folder, tmp_path):
    run = tmp_path / "outlines" / "Models" / "2026-01-01_00-00-00"
    run.mkdir(parents=True)
    write_table(run / "training_log.csv", ["epoch", "loss"], [(1, 0.5)])
    record = {"backend": "torch", "options": {"batch_size": 64}, "versions": {"keras": "3"}}
    (run / "options.json").write_text(json.dumps(record), encoding="utf-8")
    simulated = tmp_path / "gan" / "data" / "trainB"
    simulated.mkdir(parents=True)
    made_with = {"options": {"grid_type": "CUBIC"}}
    (simulated / "made_with.json").write_text(json.dumps(made_with), encoding="utf-8")
    text = read_page(run_folder)
    entries = {"backend": "torch", "batch size": 64, "keras": 3, "grid type": "CUBIC"}
    for name, value in (entries | {"threshold": -1}).items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text


def test_epochs_are_whole_numbers():
    # The figure's own ticks would be 1.0, 1.5, 2.0, ...
    shown = []

    class Spy(pictures.Figure):
        def savefig(self, *arguments, **options):
            super().savefig(*arguments, **options)
            shown.extend(self.axes[0].get_xticks())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "Figure", Spy)
        plot_training_curves({"epoch": np.arange(1, 5), "loss": np.arange(4.0)})
    assert shown and all(tick == int(tick) for tick in shown)


def test_the_first_and_the_last_preview_sheets_are_shown(run_folder, tmp_path):
    folder = tmp_path / "gan" / "images" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    sheet = np.zeros((40, 160, 3), np.uint8)
    for epoch in (1, 5, 50):
        cv2.imencode(".png", sheet)[1].tofile(folder / f"A-B-A_Epoch_{epoch:05d}.png")
    (folder / "B-A-B_Epoch_00001.png").write_bytes(b"damaged")
    text = read_page(run_folder)
    assert "Epoch 1<" in text and "Epoch 50<" in text and "Epoch 5<" not in text
    assert "mask again</h3>" not in text


def test_simulated_and_real_scenes_are_compared(run_folder, tmp_path):
    assert "Simulated and real scenes" not in read_page(run_folder)
    drawn = tmp_path / "gan" / "data" / "scenes.png"
    drawn.parent.mkdir(parents=True)
    cv2.imencode(".png", np.zeros((40, 160, 3), np.uint8))[1].tofile(drawn)
    text = read_page(run_folder)
    assert "Simulated and real scenes" in text and "Fidelity" not in text
    assert "Simulated masks" not in text


def test_examples_of_both_sides_stand_beside_their_scenes(run_folder, tmp_path):
    """Four of each side, in two columns; without what another tile size or damage left."""
    for folder, grey, count in (("testA", 90, 5), ("testB", 255, 4)):
        (tmp_path / "gan" / "data" / folder).mkdir(parents=True)
        for name in range(count):
            tile = np.full((40, 30), grey, np.uint8)
            write_image(tmp_path / "gan" / "data" / folder / f"{name}.tif", tile)
    text = read_page(run_folder)
    assert ">Simulated and real scenes</h2>" in text
    for name, grey in (("Tiles of the micrographs", 90), ("Simulated masks", 255)):
        (uri,) = re.findall(rf'<img src="data:image/jpeg;base64,([^"]+)" alt="{name}"', text)
        sheet = cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert sheet.shape == (2 * (40 + GAP) + GAP, 2 * (30 + GAP) + GAP)
        for row in (20, 64):
            for column in (15, 49):
                assert abs(int(sheet[row, column]) - grey) < 5
    write_image(tmp_path / "gan" / "data" / "testA" / "1.tif", np.zeros((9, 9), np.uint8))
    (tmp_path / "gan" / "data" / "testB" / "1.tif").write_bytes(b"damaged")
    text = read_page(run_folder)
    assert 'alt="Tiles of the micrographs"' in text and 'alt="Simulated masks"' not in text


def test_the_fidelity_of_the_pairs_is_told(run_folder, tmp_path):
    table = tmp_path / "gan" / "generate_images" / "pairs.csv"
    table.parent.mkdir(parents=True)
    rows = [("1.tif", 3, 3, 0.9), ("2.tif", 0, 0, float("nan")), ("3.tif", 2, 1, 0.5)]
    write_table(table, ["mask", "parts", "kept", "fidelity"], rows)
    text = read_page(run_folder)
    assert "Fidelity of 2 fake micrographs to their masks: 0.70 in the mean, 0.52 to 0.88" in text
    for saved in ("mask;parts;kept;fidelity\n1.tif;3;3;0,9\n", "mask,fidelity\n1.tif,'0,9'\n"):
        table.write_text(saved, encoding="utf-8")  # by Excel where decimals have a comma
        assert "Fidelity of" not in read_page(run_folder)


def test_a_report_of_many_images_stays_small(run_folder, monkeypatch):
    # The gallery's share of the page, made small so that small pictures do for the test.
    monkeypatch.setattr(report, "GALLERY_BYTES", 2_500_000)
    noise = np.random.default_rng(0).integers(0, 255, (300, 700, 3)).astype(np.uint8)
    content = cv2.imencode(".png", noise)[1]
    header = "image,pixel_size_nm,pixel_size_source,particles_found,particles_measured\n"
    names = [f"{index:03d}" for index in range(130)]
    rows = "".join(f"{name}.tif,2,x,1,1\n" for name in names)
    (run_folder / "images.csv").write_text(header + rows, encoding="utf-8")
    for name in names:
        content.tofile(run_folder / "overlays" / f"{name}.png")
    assert write_report(run_folder).stat().st_size < 4 / 3 * 2_500_000 + 100_000
    text = read_page(run_folder)
    assert text.count('class="enlarge"') == 44
    assert "One in 3 images is shown" in text


def test_a_picture_is_made_smaller_until_it_fits(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1600, 3)).astype(np.uint8)
    cv2.imencode(".png", noise)[1].tofile(tmp_path / "a.png")
    assert len(jpeg_uri(tmp_path / "a.png", 150_000)) < 210_000


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"StartProcess\.py 7 8"):
        write_report(tmp_path)


def test_a_measurement_of_an_earlier_version_is_refused(run_folder):
    (run_folder / "summary.csv").write_text("quantity,D50_nm\nequivalent_diameter,3\n", "utf-8")
    with pytest.raises(FileNotFoundError, match="of this version"):
        write_report(run_folder)


def test_a_table_that_excel_has_saved_is_told_of(run_folder):
    (run_folder / "images.csv").write_text("image;pixel_size_nm\na.tif;2,5\n", "utf-8")
    with pytest.raises(FileNotFoundError, match="such as Excel, has saved a table in its own way"):
        write_report(run_folder)


def test_training_logs_with_gaps_and_without_rows(tmp_path):
    path = tmp_path / "training_log.csv"
    path.write_text("epoch;loss\n1;0,5\n2;0,4\n", encoding="utf-8")  # by Excel
    assert np.isnan(read_training_log(path)["epoch;loss"]).all()
    path.write_text("epoch,loss,d_a,d_b\n1,2.5,,inf\n2,abc,1,2\n", encoding="utf-8")
    log = read_training_log(path)
    np.testing.assert_array_equal(log["loss"], [2.5, np.nan])
    assert plot_training_curves(log).startswith(b"\x89PNG")
    path.write_text("epoch,loss\n", encoding="utf-8")
    assert plot_training_curves(read_training_log(path)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("164.483", "164.5"),
        ("0.047112", "0.04711"),
        ("0.000136642", "0.0001366"),
        ("0.0000136642", "1.366e-05"),
        ("12345.6", "12346"),
        ("0", "0.000"),
        ("235", "235.0"),
        ("x<", "x&lt;"),
    ],
)
def test_numbers_have_four_digits(text, expected):
    assert number(text) == expected


def test_a_column_has_equal_decimals():
    assert numbers(["0.91234", "", "0.5"]) == ["0.9123", "", "0.5000"]
    assert numbers(["3", "12"]) == ["3", "12"]
    assert numbers(["31.4159", "2.71828"]) == ["31.42", "2.72"]
    assert numbers(["0.000127", "0.00005"]) == ["0.0001270", "0.0000500"]
    assert numbers(["1200.5", "0.4", "0"]) == ["1200", "0.4000", "0.000"]  # not 0 for 0.4
    assert numbers(["31.4159", "0.05"]) == ["31.42", "0.05000"]

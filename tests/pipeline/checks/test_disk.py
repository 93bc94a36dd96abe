"""Room on the disk: how much a run will write, and what of it is there already."""

import math
from collections import namedtuple

import pytest

from pipeline.checks import disk as check_disk
from pipeline.checks.disk import (
    BYTES_PER_SIMULATED_PIXEL,
    BYTES_PER_TARGET,
    bytes_written,
    check_disk_space,
    estimate_bytes,
)
from pipeline.files.records import write_json
from pipeline.running.step_table import NETWORKS
from tests.start_process import default_options

OLD, NEW = "2026-01-31_12-00-00", "2026-02-01_12-00-00"
TILES = ("NUM_SIMULATED_MASKS", "TILE_SIZE_H", "TILE_SIZE_W")
CALLS = [("3", "train_cyclegan", {"cyclegan_dir": "x", "epochs": 5, "lambda_cycle": (10.0, 10.0)})]


def test_the_estimate_grows_with_what_decides_it():
    options = default_options()
    sizes = [(712, 1024)] * 40
    published = estimate_bytes(options, sizes, (64, 64))
    # 96.5 million parameters: weights and two moments in three checkpoints, and the model.
    assert 3.8e9 < published["CYCLEGAN_DIR"] < 6e9
    assert published["OUTPUT_DIR_UNET"] == 5 * 40 * 1024 * 712
    assert published["RESULTS_DIR"] == 12 * 40 * 1024 * 712
    # Overlays of large micrographs are not enlarged.
    large = estimate_bytes(options, [(3000, 4000)], (64, 64))
    assert large["RESULTS_DIR"] == 5.25 * 3000 * 4000
    for change in ({"CYCLEGAN_FILTERS": 65}, {"NUM_SIMULATED_MASKS": 1001}, {"TILE_SIZE_W": 400}):
        more = estimate_bytes(options | change, sizes, (64, 64))
        assert more["CYCLEGAN_DIR"] > published["CYCLEGAN_DIR"]
        # Of each pixel the UNet's targets: whether it is particle, how central, how near another.
        assert more["UNET_DIR"] - published["UNET_DIR"] == 12 * (
            math.prod((options | change)[name] for name in TILES)
            - math.prod(options[name] for name in TILES)
        )
    for change, values in ({"UNET_TARGET": "mask"}, 2), ({"UNET_GAP_WEIGHT": 0}, 2):
        less = estimate_bytes(options | change, sizes, (64, 64))
        assert published["UNET_DIR"] - less["UNET_DIR"] == 4 * (3 - values) * 1000 * 384**2
    masks_alone = {"UNET_TARGET": "mask", "UNET_GAP_WEIGHT": 0}
    for change in (masks_alone, {"USE_DATALOADER": False}):
        less = estimate_bytes(options | change, sizes, (64, 64))
        assert published["UNET_DIR"] - less["UNET_DIR"] == 12 * 1000 * 384**2
    enlarged = estimate_bytes(options, sizes, (64, 64), 2.0)
    added = {name: enlarged[name] - size for name, size in published.items()}
    assert added.pop("CYCLEGAN_DIR") == pytest.approx(3 * 2 * 40 * 1024 * 712, abs=1)
    assert not any(added.values())
    assert estimate_bytes(options, [], (96, 96))["WGAN_DIR"] > published["WGAN_DIR"]


def test_all_tiles_are_more_where_the_images_hold_more_than_were_asked_for():
    options = default_options() | {"TILE_SIZE_H": 200, "TILE_SIZE_W": 300}

    def tiles_beyond(wanted, sizes, scale=1.0):
        counted = options | {"NUM_SIMULATED_MASKS": wanted}
        estimate = estimate_bytes(counted, sizes, (64, 64), scale)
        at_most = estimate_bytes(counted, sizes, (64, 64), scale, all_tiles=True)
        added = {name: size - estimate[name] for name, size in at_most.items()}
        pixels = added.pop("CYCLEGAN_DIR") / BYTES_PER_SIMULATED_PIXEL
        assert added.pop("UNET_DIR") / (3 * BYTES_PER_TARGET) == pixels
        assert not any(added.values())
        return pixels / (200 * 300)

    # 400 rows are two tiles and one more, as two would not overlap; 700 columns are three.
    sizes = [(400, 700)] * 40
    assert tiles_beyond(100, sizes) == pytest.approx(40 * 3 * 3 - 100)
    assert tiles_beyond(500, sizes) == 0
    assert tiles_beyond(100, sizes, 2.0) == pytest.approx(40 * 5 * 5 - 100)
    assert tiles_beyond(10, [*sizes, (150, 9999)]) == pytest.approx(40 * 3 * 3 - 10)


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "problems"), [(10**9, 1), (10**13, 0)])
def test_a_full_disk(tmp_path, monkeypatch, free, problems):
    monkeypatch.setattr(check_disk.shutil, "disk_usage", lambda path: Usage(0, 0, free))
    options = default_options(tmp_path)
    found = check_disk_space(options, estimate_bytes(options, [(1000, 1000)], (64, 64)), [])
    assert len(found) == problems
    for problem in found:
        assert f"The disk of {tmp_path} has 1.0 GB free; the run will write about" in problem
        assert "lower NUM_SIMULATED_MASKS or CYCLEGAN_FILTERS" in problem


@pytest.mark.parametrize(
    ("free", "refused", "warned"), [(800, True, False), (1000, False, True), (3000, False, False)]
)
def test_room_for_fewer_tiles_than_there_may_be_is_warned_of(
    tmp_path, monkeypatch, caplog, free, refused, warned
):
    monkeypatch.setattr(check_disk.shutil, "disk_usage", lambda path: Usage(0, 0, free * 10**9))
    options = {"CYCLEGAN_DIR": tmp_path}
    estimate, at_most = {"CYCLEGAN_DIR": 900 * 10**9}, {"CYCLEGAN_DIR": 2000 * 10**9}
    problems = check_disk_space(options, estimate, CALLS, at_most)
    words = f"The disk of {tmp_path} has {free}.0 GB free; the run will write about 900.0 GB, 2000."
    assert [problem.startswith(words) for problem in problems] == [True] * refused
    assert (words in caplog.text) == warned


def make_run(folder, run, size, **options):
    """Make a run of step 3 with a checkpoint and a preview of this many bytes together."""
    noted = {"epochs": 5, "lambda_cycle": [10.0, 10.0], "inputs": "unknown"} | options
    for place in (folder / "Models" / run, folder / "images" / run):
        place.mkdir(parents=True)
        (place / "file").write_bytes(bytes(size // 2))
    write_json(folder / "Models" / run / "options.json", {"options": noted})
    return size + (folder / "Models" / run / "options.json").stat().st_size


def test_of_runs_with_the_same_options_the_largest_counts(tmp_path):
    large = make_run(tmp_path, OLD, 4000)
    make_run(tmp_path, NEW, 1000)
    assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) == large


def test_old_runs_of_other_options_and_strangers_do_not_count(tmp_path, monkeypatch):
    make_run(tmp_path, OLD, 4000, epochs=6)
    (tmp_path / "copy.keras").write_bytes(bytes(4000))
    unknown = tmp_path / "Models" / NEW
    unknown.mkdir()
    (unknown / "model.keras").write_bytes(bytes(4000))
    assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) == 0
    monkeypatch.setattr(check_disk.shutil, "disk_usage", lambda path: Usage(0, 0, 500))
    options = {"CYCLEGAN_DIR": tmp_path, "RESUME": True}
    assert len(check_disk_space(options, {"CYCLEGAN_DIR": 1000}, CALLS)) == 1


def test_folders_that_are_emptied_first_count(tmp_path):
    tiles = tmp_path / "data" / "trainA"
    tiles.mkdir(parents=True)
    (tiles / "a.tif").write_bytes(bytes(300))
    assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) == 300


def test_a_finished_run_leaves_nothing_to_write(tmp_path, monkeypatch):
    make_run(tmp_path, OLD, 100, preview_every=3)
    for file in NETWORKS["cyclegan"].files:
        assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) < math.inf
        (tmp_path / "Models" / OLD / file).touch()
    assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) == math.inf
    monkeypatch.setattr(check_disk.shutil, "disk_usage", lambda path: Usage(0, 0, 500))
    options = {"CYCLEGAN_DIR": tmp_path}
    estimate = {"CYCLEGAN_DIR": 10**9}
    assert check_disk_space(options | {"RESUME": True}, estimate, CALLS) == []
    assert len(check_disk_space(options | {"RESUME": False}, estimate, CALLS)) == 1


def test_models_that_are_not_trained_in_this_run_need_no_room(tmp_path):
    make_run(tmp_path, OLD, 100, epochs=6)
    for file in NETWORKS["cyclegan"].files:
        assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) < math.inf
        (tmp_path / "Models" / OLD / file).touch()
    assert bytes_written("CYCLEGAN_DIR", tmp_path, [("4", "translate_images", {})]) == math.inf


@pytest.mark.parametrize(("threshold", "written"), [(-1, True), (9, False)])
def test_masks_count_unless_they_would_be_moved_aside(tmp_path, threshold, written):
    calls = [("6b", "segment_images", {"unet_model": None, "threshold": threshold})]
    write_json(tmp_path / "made_with.json", {"unet_model": [OLD, "hash"], "threshold": -1})
    (tmp_path / "a.tif").write_bytes(bytes(1000))
    assert (bytes_written("OUTPUT_DIR_UNET", tmp_path, calls) > 1000) == written


@pytest.mark.parametrize("record", ["[1]", "{broken", '{"options": 3}'])
def test_records_that_cannot_be_read_agree_with_nothing(tmp_path, record):
    make_run(tmp_path, OLD, 100)
    (tmp_path / "Models" / OLD / "options.json").write_text(record)
    assert bytes_written("CYCLEGAN_DIR", tmp_path, CALLS) == 0
    assert bytes_written("CYCLEGAN_DIR", tmp_path / "nothing", CALLS) == 0

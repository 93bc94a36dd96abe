"""When a finished step is done, and why it is run again."""

import os
import shutil

import pytest

from pipeline.files.records import write_json
from pipeline.running import step_records

CHANGED = "its output is not as it was left: what is missing is made"


def keywords_of(folder, changes):
    return {
        "images_dir": str(folder / "images"),
        "tile_height": 64,
        "cyclegan_dir": folder,
        **changes,
    }


def record(folder, **changes):
    keywords = keywords_of(folder, changes)
    made_with = step_records.what_decides("0", keywords, {})
    return finished(made_with, "0", keywords)


def finished(made_with, number, keywords):
    """Return the record of a step that found what is there, and left it so."""
    read = step_records.what_is_read(number, keywords)
    return step_records.new_record(made_with, read, number, keywords)


def left(number, keywords):
    return step_records.new_record({}, {}, number, keywords)["left"]


def why(folder, done, **changes):
    keywords = keywords_of(folder, changes)
    made_with = step_records.what_decides("0", keywords, {})
    return step_records.why_run(done, made_with, "0", keywords)


def test_a_finished_step_is_done_until_something_changes(folder):
    done = record(folder)
    assert why(folder, done) is None
    assert why(folder, None) == "not done yet"
    assert why(folder, done, tile_height=32) == "option tile_height changed"
    (folder / "images" / "b.tif").write_bytes(b"two")
    assert why(folder, done) == "input images_dir changed"


def test_a_finished_step_is_run_again_by_another_version(folder, monkeypatch):
    done = record(folder)
    with monkeypatch.context() as patch:
        patch.setattr(step_records, "VERSION", "another")
        assert why(folder, done) == "this program's version changed"
    assert why(folder, done) is None


@pytest.mark.parametrize(("number", "again"), [("0", False), ("1", True), ("7", False)])
def test_another_backend_counts_where_a_network_is_run(folder, monkeypatch, number, again):
    keywords = {"images_dir": folder / "images", "masks_dir": folder / "images"}
    keywords |= {name: folder for name in ("wgan_dir", "cyclegan_dir", "results_dir")}
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    made_with = step_records.what_decides(number, keywords, {})
    done = finished(made_with, number, keywords)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    made_with = step_records.what_decides(number, keywords, {})
    expected = "the backend changed" if again else None
    assert step_records.why_run(done, made_with, number, keywords) == expected


def test_all_options_that_changed_are_named(folder):
    done = record(folder, seed=1)
    words = "options tile_height, seed changed"
    assert why(folder, done, tile_height=32, seed=2) == words


def test_texts_that_tell_the_pixel_size_count_where_particles_are_measured(folder):
    keywords = {"images_dir": folder / "images", "masks_dir": folder / "images"}
    for number, counts in (("5", False), ("7", True)):
        before = step_records.what_decides(number, keywords, {})
        text = next((folder / "images").glob("*.tif")).with_suffix(".txt")
        text.write_text("PixelSize=2")
        after = step_records.what_decides(number, keywords, {})
        assert (before["inputs"] != after["inputs"]) == counts
        text.unlink()


def test_options_without_effect_and_moved_folders_change_nothing(folder):
    done = record(folder, preview_every=20)
    assert why(folder, done, preview_every=5) is None
    moved = folder.with_name("moved")
    folder.rename(moved)
    assert why(moved, done) is None


def test_what_changes_while_a_record_is_made_is_noticed(folder, monkeypatch):
    """Hashing large files takes long enough for the user to edit one."""
    content = step_records._content

    def content_before_an_edit(path):
        found = content(path)
        path.write_bytes(b"edited")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(step_records, "_content", content_before_an_edit)
        done = record(folder)
    assert why(folder, done) == CHANGED


@pytest.mark.parametrize(
    "damaged",
    [[1, 2], {"0": 7}, {"0": {}}, {"0": {"made_with": {"keywords": []}, "left": ""}}, "record"],
)
def test_a_damaged_record_is_as_none(folder, damaged):
    done = record(folder)
    write_json(folder / "steps.json", damaged)
    assert step_records.read_records(folder / "steps.json") == {}
    write_json(folder / "steps.json", {"3": 7, "0": done})
    assert step_records.read_records(folder / "steps.json") == {"0": done}


def test_missing_output_is_made_again_but_hidden_files_do_not_count(folder):
    done = record(folder)
    (folder / "data" / "trainA" / ".DS_Store").touch()
    assert why(folder, done) is None
    (folder / "data" / "trainA" / "a-0.tif").unlink()
    assert why(folder, done) == CHANGED


def test_output_of_other_content_and_the_same_size_is_noticed(folder):
    done = record(folder)
    tile = folder / "data" / "trainA" / "a-0.tif"
    tile.write_bytes(b"TILE")
    os.utime(tile, ns=(1, 1))  # also where the clock has not ticked since
    assert why(folder, done) == CHANGED
    tile.write_bytes(b"tile")
    assert why(folder, done) is None


def test_a_copied_folder_is_done_though_its_times_are_others(folder):
    done = record(folder)
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*.tif"):
        os.utime(path, ns=(1, 1))
    assert why(copy, done) is None


def test_a_copied_folder_is_read_once(folder, monkeypatch):
    done = record(folder)
    os.utime(folder / "data" / "trainA" / "a-0.tif", ns=(1, 1))
    noted = step_records.with_times_of_now(done, "0", keywords_of(folder, {}))
    assert noted | {"seen": done["seen"]} == done
    monkeypatch.setattr(step_records, "_content", lambda path: pytest.fail(f"{path} was read"))
    assert why(folder, noted) is None


def test_output_that_was_not_touched_is_not_read_again(folder, monkeypatch):
    done = record(folder)
    monkeypatch.setattr(step_records, "_content", lambda path: pytest.fail(f"{path} was read"))
    assert why(folder, done) is None


def test_the_time_of_the_output_does_not_make_the_next_steps_run_again(folder):
    keywords = {"cyclegan_dir": str(folder), "epochs": 1}
    before = step_records.what_decides("3", keywords, {"0": record(folder)})
    os.utime(folder / "data" / "trainA" / "a-0.tif", ns=(1, 1))
    assert step_records.what_decides("3", keywords, {"0": record(folder)}) == before
    (folder / "data" / "trainA" / "a-0.tif").write_bytes(b"TILE")
    assert step_records.what_decides("3", keywords, {"0": record(folder)}) != before


def test_a_step_runs_again_when_an_earlier_one_left_something_else(tmp_path):
    first = {"0": {"made_with": 1, "left": "x"}, "2": {"made_with": 2, "left": "y"}}
    second = {**first, "2": {"made_with": 2, "left": "z"}}
    keywords = {"cyclegan_dir": str(tmp_path), "epochs": 1}
    before = step_records.what_decides("3", keywords, first)
    after = step_records.what_decides("3", keywords, second)
    assert step_records.why_run({"made_with": before}, after, "3", keywords) == "step 2 changed"


def test_options_that_the_scenes_decide_change_nothing_where_they_are_matched(tmp_path):
    keywords = {"masks_dir": str(tmp_path), "perlin_noise_threshold": 0.5, "match_scenes": True}
    changed = keywords | {"perlin_noise_threshold": 0.6}
    assert step_records.what_decides("2", keywords, {}) == step_records.what_decides(
        "2", changed, {}
    )
    published = {"match_scenes": False}
    assert step_records.what_decides("2", keywords | published, {}) != step_records.what_decides(
        "2", changed | published, {}
    )


def test_step_2_does_not_wait_for_a_wgan_it_does_not_use(tmp_path):
    records = {"0": {"made_with": 1, "left": "x"}, "1": {"made_with": 2, "left": "y"}}
    keywords = {"masks_dir": str(tmp_path), "outline_source": "augmented"}
    before = step_records.what_decides("2", keywords, records)
    records["1"]["left"] = "z"
    after = step_records.what_decides("2", keywords, records)
    assert after == before
    keywords["outline_source"] = "wgan"
    before = step_records.what_decides("2", keywords, records)
    records["1"]["left"] = "y"
    after = step_records.what_decides("2", keywords, records)
    assert step_records.why_run({"made_with": before}, after, "2", keywords) == "step 1 changed"


def test_only_the_latest_run_counts_as_a_training_step_output(tmp_path):
    keywords = {"wgan_dir": str(tmp_path)}
    for run in ("2026-01-01_00-00-00", "2026-01-02_00-00-00"):
        (tmp_path / "Models" / run).mkdir(parents=True)
        (tmp_path / "Models" / run / "model.keras").write_text(run)
    both = left("1", keywords)
    (tmp_path / "Models" / "2026-01-01_00-00-00" / "model.keras").unlink()
    assert left("1", keywords) == both


@pytest.mark.parametrize(
    ("step", "keyword", "models"),
    [
        ("1", "wgan_dir", ("model.keras",)),
        ("3", "cyclegan_dir", ("image_to_mask.keras", "mask_to_image.keras")),
        ("6a", "unet_dir", ("model.keras", "Checkpoint_Lowest_Loss.keras")),
    ],
)
def test_a_training_step_runs_again_when_any_of_its_models_is_gone(step, keyword, models, tmp_path):
    folder = tmp_path / "Models" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    for name in models:
        (folder / name).write_text("a network")
    keywords = {"cyclegan_dir": str(tmp_path / "gan"), keyword: str(tmp_path)}
    whole = left(step, keywords)
    for name in models:
        (folder / name).rename(tmp_path / "away")
        assert left(step, keywords) != whole
        (tmp_path / "away").rename(folder / name)
    assert left(step, keywords) == whole


@pytest.mark.parametrize(("number", "network"), [("2", "wgan"), ("4", "cyclegan"), ("6b", "unet")])
def test_a_network_that_is_named_counts_though_it_is_not_the_newest(tmp_path, number, network):
    keywords = {"images_dir": tmp_path, "masks_dir": tmp_path, "cyclegan_dir": tmp_path}
    keywords |= {"output_dir": tmp_path, f"{network}_dir": tmp_path, f"{network}_model": "best"}
    (tmp_path / "Models" / "best").mkdir(parents=True)
    (tmp_path / "Models" / "best" / "model.keras").write_bytes(b"one network")
    done = finished(step_records.what_decides(number, keywords, {}), number, keywords)
    (tmp_path / "Models" / "best" / "state.npz").write_bytes(b"of its training")
    made_with = step_records.what_decides(number, keywords, {})
    assert step_records.why_run(done, made_with, number, keywords) is None
    (tmp_path / "Models" / "best" / "model.keras").write_bytes(b"another")
    made_with = step_records.what_decides(number, keywords, {})
    why_run = step_records.why_run(done, made_with, number, keywords)
    assert why_run == f"input {network}_model changed"
    keywords[f"{network}_model"] = None
    assert f"{network}_model" not in step_records.what_decides(number, keywords, {})["inputs"]


def test_the_table_of_pairs_is_output_too(folder):
    table = folder / "generate_images" / "pairs.csv"
    table.parent.mkdir()
    keywords = {"cyclegan_dir": folder, "output_dir": folder / "masks"}
    without = left("5", keywords)
    table.write_text("mask,fidelity\n")
    assert left("5", keywords) != without


def test_what_was_changed_of_an_earlier_step_s_files_makes_the_next_run_again(folder):
    """That step may be commented out, so that nobody else looks at them."""
    keywords = {"cyclegan_dir": str(folder), "seed": 1}
    made_with = step_records.what_decides("3", keywords, {})

    def why_now():
        return step_records.why_run(done, made_with, "3", keywords)

    tile = folder / "data" / "trainA" / "a-0.tif"
    (tile.parent / "bad.tif").write_bytes(b"bad")
    done = finished(made_with, "3", keywords)
    assert why_now() is None
    (tile.parent / "bad.tif").unlink()
    assert why_now() == "what step 0 made was changed"
    done = finished(made_with, "3", keywords)
    os.utime(tile, ns=(1, 1))  # as in a folder that was copied
    assert why_now() is None
    done = step_records.with_times_of_now(done, "3", keywords)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_records, "_content", None)  # the times tell
        assert step_records._changed_since_read(done, "3", keywords) == []
    tile.write_bytes(b"TILE")
    assert why_now() == "what step 0 made was changed"


def test_records_of_before_tell_nothing_of_what_was_read(folder):
    keywords = {"cyclegan_dir": str(folder), "seed": 1}
    made_with = step_records.what_decides("3", keywords, {})
    done = finished(made_with, "3", keywords)
    old = {name: done[name] for name in ("made_with", "left", "seen")}
    (folder / "data" / "trainA" / "a-0.tif").write_bytes(b"TILE")
    assert step_records.why_run(old, made_with, "3", keywords) is None
    assert step_records.with_times_of_now(old, "3", keywords).keys() == old.keys()


def test_what_a_step_read_makes_no_later_step_run_again(folder):
    """What came of it does."""
    keywords = {"cyclegan_dir": str(folder), "images_dir": folder / "images"}
    before = {"3": {"made_with": {}, "left": "x", "seen": "y", "read": {"0": "a"}}}
    after = {"3": before["3"] | {"read": {"0": "b"}, "read_seen": {"0": "c"}}}
    first, second = (step_records.what_decides("4", keywords, one) for one in (before, after))
    assert first == second


def test_what_is_changed_while_a_step_works_is_not_what_it_read(folder):
    """A training takes hours, of which the first minute reads the tiles."""
    keywords = {"cyclegan_dir": str(folder), "seed": 1}
    made_with = step_records.what_decides("3", keywords, {})
    read = step_records.what_is_read("3", keywords)
    (folder / "data" / "trainA" / "a-0.tif").write_bytes(b"TILE")
    done = step_records.new_record(made_with, read, "3", keywords)
    assert step_records.why_run(done, made_with, "3", keywords) == "what step 0 made was changed"


@pytest.mark.parametrize(
    ("number", "changed", "earlier"),
    [
        ("2", "data/covered_shares.csv", "0"),
        ("5", "generate_images/A", "4"),
        ("5", "data/labelsB", "2"),
        ("6a", "generate_images/Synthetic_Labels_Filtered", "5"),
        ("6a", "generate_images/pairs.csv", "5"),
    ],
)
def test_all_that_a_step_reads_counts(tmp_path, number, changed, earlier):
    """Else the step after it would find that it does not fit."""
    keywords = {name: str(tmp_path) for name in ("cyclegan_dir", "images_dir", "masks_dir")}
    keywords |= {name: str(tmp_path / "none") for name in ("wgan_dir", "unet_dir", "output_dir")}
    path = tmp_path / changed
    path = path if path.suffix else path / "00000.tif"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    made_with = step_records.what_decides(number, keywords, {})
    done = finished(made_with, number, keywords)
    path.write_bytes(b"two")
    assert step_records._changed_since_read(done, number, keywords) == [earlier]

"""Runs on the disk: begun or continued; checkpoints that are whole or not there at all."""

import errno
import inspect
import json
import os
import shutil
from functools import partial

import keras
import numpy as np
import pytest

from models import precision
from pipeline import train_cyclegan, train_unet, train_wgan
from pipeline.files.csv_tables import write_rows
from pipeline.files.records import read_json
from pipeline.files.whole_files import DISK_IS_FULL
from pipeline.image_files import write_image
from pipeline.run_folders import newest_run
from pipeline.training import training_runs
from pipeline.training.training_runs import begin_run


def saved_twice(tmp_path):
    """Return a small model with two checkpoints, and their folders."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    for epoch in (1, 2):
        state = {"epoch": epoch, "step": 0, "sums": {}, "rows": []}
        training_runs.save_checkpoint(model, tmp_path, state)
    return model, sorted((tmp_path / "checkpoints").iterdir())


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    model, _ = saved_twice(tmp_path)
    (tmp_path / "checkpoints" / "000003_000000").mkdir()
    state = {"epoch": 2, "step": 0, "sums": {}, "rows": []}
    assert training_runs.load_checkpoint(model, tmp_path) == state
    training_runs.save_checkpoint(model, tmp_path, {**state, "epoch": 3})
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["000002_000000", "000003_000000"]


@pytest.fixture
def flushed(tmp_path, monkeypatch):
    """Return a list that will hold what is flushed to the disk: name and size, where it is then."""
    found = []

    def fsync(file):
        status = os.fstat(file)
        (path,) = [
            p for p in (tmp_path, *tmp_path.rglob("*")) if os.path.samestat(p.stat(), status)
        ]
        found.append((path.relative_to(tmp_path).as_posix(), path.is_file() and status.st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot open folders")
def test_a_checkpoint_is_flushed_to_the_disk_before_it_has_its_name(tmp_path, flushed):
    """After a power failure what has its final name is whole."""
    _, (_, newest) = saved_twice(tmp_path)
    sizes = [(newest / name).stat().st_size for name in ("model.weights.h5", "state.json")]
    assert flushed[-4:] == [
        ("checkpoints/.part/model.weights.h5", sizes[0]),
        ("checkpoints/.part/.part_state.json", sizes[1]),
        ("checkpoints/.part", False),
        ("checkpoints", False),
    ]


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot open folders")
def test_a_model_is_flushed_to_the_disk_before_it_has_its_name(tmp_path, flushed):
    model, _ = saved_twice(tmp_path / "run")
    flushed.clear()
    training_runs.save_model(model, tmp_path / "model.keras")
    size = (tmp_path / "model.keras").stat().st_size
    assert flushed == [(".part_model.keras", size), (".", False)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EIO, "Input/output error"), OSError),
        (PermissionError(errno.EACCES, "Permission denied"), PermissionError),
        (ValueError("A total of 1 objects could not be loaded: CUDA out of memory."), MemoryError),
    ],
)
def test_a_checkpoint_is_not_damaged_by_what_does_not_lie_in_it(
    tmp_path, monkeypatch, error, expected
):
    """What Keras says of weights that a drive does not give is no OSError."""
    model, (_, newest) = saved_twice(tmp_path)

    def fail(path):
        raise error

    if expected is MemoryError:
        monkeypatch.setattr(model, "load_weights", fail)
    else:
        monkeypatch.setattr(training_runs, "read_through", fail)
    with pytest.raises(expected):
        training_runs.load_checkpoint(model, tmp_path)
    assert newest.is_dir()


@pytest.mark.parametrize("file", ["model.weights.h5", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "noise"])
def test_of_a_damaged_checkpoint_the_one_before_is_taken(tmp_path, file, damage, caplog):
    model, (_, newest) = saved_twice(tmp_path)
    weights = newest / file
    content = weights.read_bytes()
    if damage == "gone":
        weights.unlink()
    else:
        weights.write_bytes(content[: len(content) // 2] if damage == "cut" else b"x" * 999)
    assert training_runs.load_checkpoint(model, tmp_path)["epoch"] == 1
    half_deleted = (file, damage) == ("state.json", "gone")
    said = f"the checkpoint {newest} is damaged and passed over" in caplog.text
    assert said == (not half_deleted)
    aside = newest.with_name(f"damaged_{newest.name}")
    assert (newest.exists(), aside.exists()) == (False, not half_deleted)


@pytest.mark.parametrize("lost", ["weights", "state"])
@pytest.mark.parametrize("epochs", [(1, 1), (1, 3), (3, 4)])
def test_a_damaged_checkpoint_takes_no_place_of_a_sound_one(tmp_path, lost, epochs):
    model, (_, newest) = saved_twice(tmp_path)
    (tmp_path / "checkpoints" / "damaged_000002_000000" / "of").mkdir(parents=True)  # before
    if lost == "weights":
        (newest / "model.weights.h5").write_bytes(b"x" * 999)
    else:
        (newest / "state.json").unlink()
    state = training_runs.load_checkpoint(model, tmp_path)
    for step, epoch in enumerate(epochs, start=5):
        training_runs.save_checkpoint(model, tmp_path, {**state, "epoch": epoch, "step": step})
    left = sorted(folder.name for folder in (tmp_path / "checkpoints").iterdir())
    numbers = [f"{epoch:06d}_{step:06d}" for step, epoch in enumerate(epochs, start=5)]
    assert left == [*numbers, "damaged_000002_000000"]
    assert (tmp_path / "checkpoints" / left[-1] / "of").exists() == (lost == "state")
    assert training_runs.load_checkpoint(model, tmp_path)["epoch"] == epochs[-1]


def test_after_one_save_past_a_damaged_checkpoint_the_sound_one_is_still_there(tmp_path):
    model, (sound, newest) = saved_twice(tmp_path)
    (newest / "model.weights.h5").write_bytes(b"x" * 999)
    state = training_runs.load_checkpoint(model, tmp_path)
    training_runs.save_checkpoint(model, tmp_path, {**state, "epoch": 3})
    assert (sound / "state.json").is_file()


@pytest.mark.parametrize("file", ["model.weights.h5", "state.json"])
def test_without_a_sound_checkpoint_nothing_is_trained_on(tmp_path, file):
    model, folders = saved_twice(tmp_path)
    for folder in folders:
        (folder / file).write_bytes(b"")
    with pytest.raises(ValueError, match=r"No checkpoint in .* can be read\. .*delete that folder"):
        training_runs.load_checkpoint(model, tmp_path)


def test_a_checkpoint_half_deleted_is_none(tmp_path, monkeypatch):
    """A kill while one is deleted leaves no state without its weights."""
    _, (oldest, _) = saved_twice(tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda folder, ignore_errors: None)
    training_runs._delete_checkpoint(oldest)
    assert [path.name for path in oldest.iterdir()] == ["model.weights.h5"]


@pytest.mark.parametrize("free", [1000, None])
def test_a_full_disk_stops_before_hdf5_crashes_and_keeps_the_checkpoint(
    tmp_path, monkeypatch, free
):
    resource = pytest.importorskip("resource")
    if not (free or hasattr(os, "posix_fallocate")):
        pytest.skip("quotas cannot be seen here")
    model, _ = saved_twice(tmp_path)
    state = {"epoch": 3, "step": 0, "sums": {}, "rows": []}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if free:  # no room on the disk; else no more allowed in one file, like a quota
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"(No space left|too large).*model\.weights\.h5"
        ) as error:
            training_runs.save_checkpoint(model, tmp_path, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.errno in DISK_IS_FULL
    assert not list(tmp_path.glob("checkpoints/.part/*"))
    assert training_runs.load_checkpoint(model, tmp_path)["epoch"] == 2


def test_room_is_asked_for_weights_and_twice_as_much_for_the_moments_of_those_that_are_trained():
    network = keras.Sequential([keras.Input((999,)), keras.layers.Dense(1000)])
    network.add(keras.layers.BatchNormalization())  # of two weights it trains, and two it keeps
    kept, trained = 1000 * 1000 + 4000, 1000 * 1000 + 2000
    expected = 4 * (kept + 2 * trained) + 6 * training_runs.BYTES_BESIDE_WEIGHTS
    assert training_runs.bytes_of_weights(network) == expected


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    model, _ = saved_twice(tmp_path)
    weight = model.trainable_weights[0]
    weight.assign(np.full(weight.shape, np.nan, np.float32))
    with pytest.raises(ValueError, match="by the end of epoch 3: a weight is not finite"):
        training_runs.save_checkpoint(
            model, tmp_path, {"epoch": 3, "step": 0, "sums": {}, "rows": []}
        )
    assert training_runs.load_checkpoint(model, tmp_path)["epoch"] == 2


def finish(run_folder, *models):
    for name in models or ("model.keras",):
        (run_folder / name).write_text("a network")


def test_a_run_is_continued_only_with_equal_options(tmp_path):
    first, finished = begin_run(tmp_path, {"epochs": 3, "range": (0.5, 99.5)})
    assert not finished
    same = {"epochs": 3, "range": [0.5, 99.5], "preview_every": 7}
    assert begin_run(tmp_path, same) == (first, False)
    assert begin_run(tmp_path, {**same, "epochs": 4})[0] != first


def test_without_resume_a_new_run_is_begun_and_the_old_one_stays(tmp_path):
    runs = tmp_path / "Models"
    old, _ = begin_run(runs, {"epochs": 3})
    finish(old)
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    new, finished = begin_run(runs, {"epochs": 3}, resume=False)
    assert new.name > old.name and not finished
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    assert newest_run("wgan", tmp_path) == old
    assert begin_run(runs, {"epochs": 3}) == (new, False)


def test_a_finished_run_is_used_again_as_the_newest_where_another_came_after_it(tmp_path, caplog):
    """The later steps use the latest finished model: it must be the one just asked for."""
    caplog.set_level("INFO")
    first, _ = begin_run(tmp_path, {"a": 1})
    finish(first)
    assert begin_run(tmp_path, {"a": 1}) == (first, True)
    second, _ = begin_run(tmp_path, {"a": 2})
    finish(second)
    (tmp_path / ".copy").mkdir()  # of a process that was killed
    (tmp_path / ".copy" / "half.keras").touch()
    again, finished = begin_run(tmp_path, {"a": 1})
    assert again.name > second.name and finished
    files = {path.name: path.read_bytes() for path in first.iterdir()}
    assert {path.name: path.read_bytes() for path in again.iterdir()} == files
    assert not (tmp_path / ".copy").exists()
    assert f"it is used as run {again.name} from here on, as run {second.name} is" in caplog.text
    assert begin_run(tmp_path, {"a": 1}) == (again, True)
    assert begin_run(tmp_path, {"a": 1}, resume=False)[1] is False


def test_a_run_that_a_user_renamed_is_neither_continued_nor_in_the_way(tmp_path):
    first, _ = begin_run(tmp_path, {"a": 1})
    finish(first)
    first.rename(tmp_path / "good run")
    second, finished = begin_run(tmp_path, {"a": 1})
    assert second.name != "good run" and not finished
    assert begin_run(tmp_path, {"a": 1}) == (second, False)


def test_sheets_go_with_a_run_that_is_used_again(tmp_path):
    models, sheets = tmp_path / "Models", tmp_path / "images"
    first, _ = begin_run(models, {"a": 1}, sheets_dir=sheets)
    (sheets / first.name).mkdir(parents=True)
    (sheets / first.name / "Epoch_1.png").write_text("a sheet")
    finish(first)
    finish(begin_run(models, {"a": 2}, sheets_dir=sheets)[0])
    again, _ = begin_run(models, {"a": 1}, sheets_dir=sheets)
    assert (sheets / again.name / "Epoch_1.png").read_text() == "a sheet"
    assert (sheets / first.name / "Epoch_1.png").read_text() == "a sheet"


@pytest.mark.parametrize("can_link", [True, False])
def test_what_is_written_into_a_copy_stays_out_of_the_other_run(tmp_path, monkeypatch, can_link):
    def refuse(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not can_link:
        monkeypatch.setattr(training_runs.os, "link", refuse)
    first, _ = begin_run(tmp_path, {"a": 1})
    saved_twice(first)
    finish(begin_run(tmp_path, {"a": 2})[0])
    again, _ = begin_run(tmp_path, {"a": 1})
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert len(before) > 4
    saved_twice(again)
    finish(again)
    write_rows(again / "training_log.csv", [{"epoch": 1}])
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before


def test_a_copy_that_fails_leaves_nothing_behind_and_says_why(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    first, _ = begin_run(tmp_path, {"a": 1})
    finish(first)
    finish(begin_run(tmp_path, {"a": 2})[0])
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(training_runs.os, "link", full)
    monkeypatch.setattr(training_runs.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        begin_run(tmp_path, {"a": 1})
    assert error.value.errno == errno.ENOSPC
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unfinished_run_from_before_a_finished_one_is_continued_as_the_newest(tmp_path):
    first, _ = begin_run(tmp_path, {"a": 1})
    saved_twice(first)
    barely, _ = begin_run(tmp_path, {"a": 3})
    second, _ = begin_run(tmp_path, {"a": 2})
    finish(second)
    again, finished = begin_run(tmp_path, {"a": 1})
    assert again.name > second.name and not finished
    states = [sorted(run.glob("checkpoints/*/state.json")) for run in (first, again)]
    assert [path.read_bytes() for path in states[0]] == [path.read_bytes() for path in states[1]]
    assert len(states[0]) == 2
    again, _ = begin_run(tmp_path, {"a": 3})  # there is nothing to continue
    assert [path.name for path in again.iterdir()] == ["options.json"] and again != barely


def test_a_number_of_numpy_is_as_good_as_pythons(tmp_path):
    run, _ = begin_run(tmp_path, {"epochs": np.int64(5)})
    assert begin_run(tmp_path, {"epochs": np.int64(5)}) == (run, False)
    assert begin_run(tmp_path, {"epochs": 5}) == (run, False)


def test_a_finished_run_that_lost_a_model_makes_it_again_from_its_checkpoint(tmp_path):
    models = ("one.keras", "other.keras")
    run, _ = begin_run(tmp_path, {"a": 1}, models=models)
    saved_twice(run)
    finish(run, *models)
    assert begin_run(tmp_path, {"a": 1}, models=models) == (run, True)
    for name in models:
        (run / name).unlink()
        assert begin_run(tmp_path, {"a": 1}, models=models) == (run, False)
        finish(run, *models)
    assert begin_run(tmp_path, {"a": 1}, models=models) == (run, True)


@pytest.mark.parametrize("lost", ["model.keras", "best.keras"])
def test_a_run_that_lost_a_model_and_its_checkpoints_is_not_written_into(tmp_path, caplog, lost):
    """Its other network would be overwritten after the first epoch."""
    run, _ = begin_run(tmp_path, {"a": 1}, best="best.keras")
    finish(run, "model.keras", "best.keras")
    (run / "training_log.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    (run / lost).unlink()
    again, finished = begin_run(tmp_path, {"a": 1}, best="best.keras")
    assert again.name > run.name and not finished
    assert f"run {run.name} has lost {lost}, which no checkpoint holds" in caplog.text


def test_a_run_killed_before_its_first_checkpoint_goes_on_in_its_folder(tmp_path, caplog):
    run, _ = begin_run(tmp_path, {"a": 1}, best="best.keras")
    finish(run, "best.keras")
    (run / "training_log.csv").write_text("epoch,loss\n1,0.5\n")
    assert begin_run(tmp_path, {"a": 1}, best="best.keras") == (run, False)
    assert not caplog.text


def test_a_finished_run_that_lost_all_is_not_written_into(tmp_path, caplog):
    run, _ = begin_run(tmp_path, {"a": 1})
    (run / "training_log.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    again, finished = begin_run(tmp_path, {"a": 1})
    assert again.name > run.name and not finished
    assert f"run {run.name} has lost model.keras, which no checkpoint holds" in caplog.text


def test_a_run_that_lost_its_best_model_is_begun_anew(tmp_path, caplog):
    """The last checkpoint is of the last epoch; of a run in its first there is no best one yet."""
    run, _ = begin_run(tmp_path, {"a": 1}, best="best.keras")
    assert begin_run(tmp_path, {"a": 1}, best="best.keras") == (run, False)
    saved_twice(run)
    finish(run, "model.keras", "best.keras")
    assert begin_run(tmp_path, {"a": 1}, best="best.keras") == (run, True)
    (run / "model.keras").unlink()
    assert begin_run(tmp_path, {"a": 1}, best="best.keras") == (run, False)
    (run / "best.keras").unlink()
    again, finished = begin_run(tmp_path, {"a": 1}, best="best.keras")
    assert again.name > run.name and not finished
    assert f"run {run.name} has lost best.keras, which no checkpoint holds" in caplog.text
    assert begin_run(tmp_path, {"a": 1}, best="best.keras") == (again, False)


def test_a_best_model_that_is_lost_after_the_first_epoch_is_missed(tmp_path, caplog):
    """Though an older checkpoint, from within that epoch, is there too."""
    run, _ = begin_run(tmp_path, {"a": 1}, best="best.keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for epoch, step in ((0, 20), (1, 0)):
        state = {"epoch": epoch, "step": step, "sums": {}, "rows": []}
        training_runs.save_checkpoint(model, run, state)
    again, finished = begin_run(tmp_path, {"a": 1}, best="best.keras")
    assert again.name > run.name and not finished
    assert f"run {run.name} has lost best.keras, which no checkpoint holds" in caplog.text


def test_a_run_of_the_other_backend_is_not_continued(tmp_path, monkeypatch):
    first, _ = begin_run(tmp_path, {"a": 1})
    monkeypatch.setattr(training_runs.backend, "BACKEND", "another")
    monkeypatch.setattr(training_runs.devices, "versions", dict)
    assert begin_run(tmp_path, {"a": 1})[0] != first


def test_what_auto_is_where_a_run_begins_is_noted_and_decides_nothing(tmp_path, monkeypatch):
    for multiplies, expected in ((True, "mixed_bfloat16"), (False, "float32")):
        answer = partial(bool, multiplies)
        monkeypatch.setattr(precision, "processor_multiplies_bfloat16", answer)
        run, _ = begin_run(tmp_path / expected, {"precision": "auto"})
        assert json.loads((run / "options.json").read_text())["computed_in"] == expected
    monkeypatch.setattr(precision, "processor_multiplies_bfloat16", lambda: True)
    assert begin_run(tmp_path / "float32", {"precision": "auto"})[0] == run


def test_the_option_deterministic_is_noted_and_decides_nothing(tmp_path, monkeypatch):
    runs = []
    for deterministic in (True, False):
        monkeypatch.setattr(training_runs.devices, "is_deterministic", deterministic)
        run, _ = begin_run(tmp_path / str(deterministic), {"a": 1})
        assert json.loads((run / "options.json").read_text())["deterministic"] is deterministic
        runs.append(run)
    assert begin_run(tmp_path / "True", {"a": 1})[0] == runs[0]


class BegunError(Exception):
    """Ends a training step where it has begun its run."""


# A training step, and a folder whose images it is trained on.
TRAINED_ON = [
    (train_wgan, "train_wgan", "Input_Masks"),
    (train_cyclegan, "train_cyclegan", "data/trainA"),
    (train_cyclegan, "train_cyclegan", "data/trainB"),
    (train_unet, "train_unet", "generate_images/A"),
    (train_unet, "train_unet", "generate_images/Synthetic_Masks_Filtered"),
]


@pytest.mark.parametrize(("module", "step", "changed"), TRAINED_ON)
def test_a_network_of_other_images_is_not_taken_for_one_of_these(
    tmp_path, monkeypatch, module, step, changed
):
    """Where one image was changed since, with the same options, under the same name and size."""
    folders = [folder for *_, folder in TRAINED_ON] + ["data/testA", "data/testB"]
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        for number in range(3):
            image = np.zeros((20, 20), np.uint8)
            image[4 : 8 + number, 5:12] = 255
            write_image(tmp_path / folder / f"{number}.png", image)
    train = getattr(module, step).__wrapped__  # without the check of its options
    names = inspect.signature(train).parameters
    options = dict.fromkeys(names, 0) | {"resume": True}
    options |= {"masks_dir": tmp_path / "Input_Masks", "wgan_dir": tmp_path / "wgan"}
    options |= {"cyclegan_dir": tmp_path, "unet_dir": tmp_path / "unet"}
    options = {name: options[name] for name in names}
    begun = []

    def begin(*arguments, **how):
        begun.append(begin_run(*arguments, **how))
        raise BegunError

    monkeypatch.setattr(module, "begin_run", begin)
    for _ in range(2):
        with pytest.raises(BegunError):
            train(**options)
    assert begun[0] == begun[1]
    write_image(tmp_path / changed / "1.png", np.flipud(image))
    with pytest.raises(BegunError):
        train(**options)
    assert begun[2] != begun[0]


def test_the_rest_of_a_checkpoint_that_was_cut_off_stands_in_no_one_s_way(tmp_path):
    model, _ = saved_twice(tmp_path)
    rest = tmp_path / "checkpoints" / ".part" / "model.weights.h5"
    rest.parent.mkdir()
    rest.write_bytes(b"half")
    state = {"epoch": 3, "step": 0, "sums": {}, "rows": []}
    training_runs.save_checkpoint(model, tmp_path, state)
    assert training_runs.load_checkpoint(model, tmp_path)["epoch"] == 3
    assert not rest.parent.exists()


@pytest.fixture
def machine(monkeypatch):
    """A function: the GPU, or none, and the library's version that are found from now on."""

    def be(gpu, version="2.0"):
        versions = {"keras": "3.15", "torch": version, "gpus": [gpu] if gpu else []}
        monkeypatch.setattr(training_runs.devices, "versions", lambda: versions)

    return be


def test_a_run_that_goes_on_elsewhere_is_warned_of_and_notes_it(tmp_path, machine, caplog):
    machine("H200")
    options = {"epochs": 3, "precision": "float32"}
    folder, _ = begin_run(tmp_path, options)
    saved_twice(folder)
    record = read_json(folder / "options.json")
    assert begin_run(tmp_path, options) == (folder, False)
    assert caplog.text == "" and read_json(folder / "options.json") == record

    machine(None)
    assert begin_run(tmp_path, options) == (folder, False)
    assert "goes on with gpus [], where it had gpus ['H200']" in caplog.text
    assert "Without a GPU it takes many times as long: stop it" in caplog.text
    machine(None, version="2.1")
    caplog.clear()
    begin_run(tmp_path, options)
    assert "goes on with torch 2.1, where it had torch 2.0" in caplog.text
    assert "Without a GPU" not in caplog.text
    caplog.clear()
    begin_run(tmp_path, options)
    assert caplog.text == ""

    noted = read_json(folder / "options.json")
    assert noted.pop("continued_with") == [
        {"after_epoch": 2, "gpus": []},
        {"after_epoch": 2, "torch": "2.1"},
    ]
    assert noted == record  # what the run began with stays


def test_what_has_learned_nothing_begins_where_it_goes_on(tmp_path, machine, caplog):
    """It may have ended in its first step: out of memory, or on a machine without a GPU."""
    machine(None)
    folder, _ = begin_run(tmp_path, {"epochs": 3})
    machine("H200")
    assert begin_run(tmp_path, {"epochs": 3}) == (folder, False)
    record = read_json(folder / "options.json")
    assert record["versions"]["gpus"] == ["H200"] and "continued_with" not in record
    assert caplog.text == ""


def test_of_what_an_older_record_lacks_nothing_is_said(tmp_path, machine, caplog):
    machine(None)
    folder, _ = begin_run(tmp_path, {"precision": "float32"})
    saved_twice(folder)
    record = read_json(folder / "options.json")
    for name in ("computed_in", "versions", "deterministic"):
        del record[name]
    (folder / "options.json").write_text(json.dumps(record))
    assert begin_run(tmp_path, {"precision": "float32"}) == (folder, False)
    assert caplog.text == "" and read_json(folder / "options.json") == record


@pytest.mark.parametrize("what", ["computed_in", "deterministic"])
def test_how_it_computes_counts_too(tmp_path, machine, monkeypatch, caplog, what):
    machine(None)
    monkeypatch.setattr(training_runs, "choose_precision", lambda name: "mixed_bfloat16")
    folder, _ = begin_run(tmp_path, {"precision": "auto"})
    saved_twice(folder)
    if what == "computed_in":
        monkeypatch.setattr(training_runs, "choose_precision", lambda name: "float32")
        words = "goes on with computed_in float32, where it had computed_in mixed_bfloat16"
    else:
        monkeypatch.setattr(training_runs.devices, "is_deterministic", True)
        words = "goes on with deterministic True, where it had deterministic False"
    begin_run(tmp_path, {"precision": "auto"})
    assert words in caplog.text


def test_a_finished_run_is_the_same_on_any_machine(tmp_path, machine, caplog):
    machine("H200")
    folder, _ = begin_run(tmp_path, {"epochs": 3})
    finish(folder)
    record = read_json(folder / "options.json")
    machine(None)
    assert begin_run(tmp_path, {"epochs": 3}) == (folder, True)
    assert caplog.text == "" and read_json(folder / "options.json") == record

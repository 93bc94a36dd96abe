"""Training goes on after a kill bit for bit, batches follow from the seed, bad losses stop it."""

import csv
import logging
import os
import shutil
import signal
import time
from functools import partial
from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
import pytest
from keras import ops

from models import cyclegan, image_pool, multires_unet, wgan_gp
from models.fast.optimizers import Adam
from pipeline.training import training_loop, training_runs
from pipeline.training.batches import random_numbers, shuffled_indices
from tests.models.tiny_steps import CYCLEGAN, WGAN

EPOCHS, STEPS = 2, 3
train = partial(training_loop.train, checkpoint_minutes=10)


def numbers(epoch, step, *shape):
    return random_numbers(7, epoch, step, stream=5).random(shape, dtype=np.float32)


def wgan():
    model = wgan_gp.build_wgan((16, 16), 8, seed=1, **WGAN)
    model.set_up(2e-4, 0.5, 0.9)

    def make_batch(epoch, step):
        alpha = numbers(epoch, step, 2, 4, 1, 1, 1)
        return numbers(epoch, step, 4, 16, 16, 1) * 2 - 1, numbers(epoch, step, 3, 4, 8), alpha

    return model, make_batch, {}


def gan():
    options = CYCLEGAN | {"pool_size": 3, "gaussian_noise_value": 0.1}
    model = cyclegan.build_cyclegan(2, (48, 48, 1), seed=1, **options)
    model.set_up(2e-4, 0.5)

    def make_batch(epoch, step):
        images = numbers(epoch, step, 2, 2, 48, 48, 1) * 2 - 1
        random = random_numbers(7, epoch, step)
        seen = (epoch * STEPS + step) * 2
        choices = image_pool.draw_pool_choices(random, 3, 2, seen)
        return (*images, *choices)

    rates = {"learning_rate": lambda epoch: 2e-4 / (epoch + 1), "optimizers": model.optimizers()}
    return model, make_batch, rates


def make_unet_batch(epoch, step):
    image = numbers(epoch, step, 2, 32, 32, 1)
    return image, (image > 0.6).astype(np.float32)


def unet():
    model = multires_unet.build_unet(4, 2.0, seed=1)
    model.set_up(1e-3, weight_decay=1e-4)
    return model, make_unet_batch, {}


def shallow_unet():
    """Return the UNet's training with three layers: TensorFlow traces the whole one for 15 s."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = keras.layers.BatchNormalization()(x)
    probability = keras.layers.Conv2D(1, 1, activation="sigmoid")(x)
    model = multires_unet.UNet(keras.Model(image, probability))
    model.set_up(1e-3)
    return model, make_unet_batch


def train_fully(builder, folder):
    """Train a fresh model as a new process would; return it and its rows."""
    model, make_batch, options = builder()
    options |= {"steps_per_epoch": STEPS, "epochs": EPOCHS, "checkpoint_minutes": 0}
    return model, train(model, make_batch, run_folder=folder, **options)


@pytest.mark.usefixtures("short_networks")
@pytest.mark.parametrize("builder", [wgan, gan, unet])
def test_a_killed_training_goes_on_bit_for_bit(builder, tmp_path, monkeypatch):
    """Killed in its second epoch: what it leaves is what is on the disk at that moment."""
    monkeypatch.setattr(training_loop, "STEPS_BETWEEN_FETCHES", 1)
    monkeypatch.setattr(training_loop, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0)
    monkeypatch.setattr(training_loop, "LARGEST_SHARE_OF_CHECKPOINTS", np.inf)
    disturbed = tmp_path / "disturbed"

    def save_and_copy(model, run_folder, state):
        training_runs.save_checkpoint(model, run_folder, state)
        if (state["epoch"], state["step"]) == (1, 1):
            shutil.copytree(run_folder, disturbed)

    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "save_checkpoint", save_and_copy)
        undisturbed, rows = train_fully(builder, tmp_path / "undisturbed")
    checkpoints = sorted(path.name for path in (disturbed / "checkpoints").iterdir())
    assert checkpoints == ["000001_000000", "000001_000001"]
    for weights in disturbed.glob("checkpoints/*/model.weights.h5"):
        assert weights.stat().st_size <= training_runs.bytes_of_weights(undisturbed)
    with mock.patch.object(training_loop.logger, "info") as told:
        resumed, resumed_rows = train_fully(builder, disturbed)
    assert told.call_args_list[0] == mock.call("going on with epoch %d, step %d", 2, 2)

    assert resumed_rows == rows
    with open(disturbed / "training_log.csv", newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2]
    logs = [tmp_path / name / "training_log.csv" for name in ("undisturbed", "disturbed")]
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert len(resumed.variables) == len(undisturbed.variables) > 0
    for own, other in zip(resumed.variables, undisturbed.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(own), np.asarray(other), err_msg=own.path)


def bad_batches(bad):
    """Return ``make_batch`` of a shallow UNet, with not a number in the second epoch's ``bad``."""

    def make_batch(epoch, step):
        batch = dict(zip(("image", "mask"), make_unet_batch(epoch, step), strict=True))
        if epoch == 1:
            batch[bad] = batch[bad] * np.nan
        return batch["image"], batch["mask"]

    return make_batch


# Which of the two shows first with a bad image is the kernel's choice: oneDNN's ReLU of NaN is 0.
@pytest.mark.parametrize(
    "bad, found",
    [
        ("mask", "epoch 2, by step 3: the loss loss is nan"),
        ("image", "(the loss loss is nan|a weight is not finite)"),
    ],
)
def test_what_is_not_finite_stops_with_advice(bad, found, tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0)
    model, _ = shallow_unet()
    options = {"steps_per_epoch": STEPS, "epochs": 3, "run_folder": tmp_path}
    with pytest.raises(ValueError, match=found) as error:
        train(model, bad_batches(bad), **options)
    assert "Halve the learning rate or raise the batch size" in str(error.value)
    assert f"The last good checkpoint is kept in {tmp_path}." in str(error.value)
    assert training_runs.load_checkpoint(model, tmp_path)["epoch"] == 1
    assert all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)


def test_losses_of_the_validation_count_too(tmp_path):
    model, make_batch = shallow_unet()
    options = {"validate": lambda: {"val_loss": float("inf")}, "run_folder": tmp_path}
    with pytest.raises(ValueError, match="epoch 1, by step 3: the loss val_loss is inf") as error:
        train(model, make_batch, steps_per_epoch=STEPS, epochs=2, **options)
    assert "No checkpoint was due." in str(error.value)


def test_ctrl_c_finishes_the_step_and_saves(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    model, make_batch = shallow_unet()
    made = []
    before = signal.getsignal(signal.SIGINT)

    def interrupt(epoch, step):
        made.append((epoch, step))
        if (epoch, step) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
        return make_batch(epoch, step)

    with pytest.raises(KeyboardInterrupt):
        train(model, interrupt, steps_per_epoch=STEPS, epochs=50, run_folder=tmp_path)
    state = training_runs.load_checkpoint(model, tmp_path)
    assert (state["epoch"], state["step"]) < (3, 0)
    assert caplog.messages[-1] == "stopped and saved"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("seconds", "stopped"), [(60, False), (0, True)])
def test_a_second_ctrl_c_stops_at_once_unless_it_is_the_same(monkeypatch, seconds, stopped):
    """A system that ends a job sends it to the run, which passes it on, and to the step."""
    monkeypatch.setattr(training_loop, "SECONDS_OF_ONE_END", seconds)
    before, was_stopped = signal.default_int_handler, False
    of_the_tests = signal.signal(signal.SIGINT, before)  # in the background it may be ignored
    try:
        with training_loop._interrupt_flag() as flag:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)  # some clocks tick no faster
            signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        was_stopped = True
    finally:
        assert signal.signal(signal.SIGINT, of_the_tests) is before
    assert len(flag) == 2 and was_stopped == stopped


@pytest.mark.parametrize("steps", [1, 3])
def test_after_ctrl_c_in_any_step_training_goes_on(steps, tmp_path):
    """Also in the last step of an epoch: batches are made ahead, so the flag falls anywhere."""
    for kill_at in sorted({0, steps - 1, steps}):
        model, make_batch = shallow_unet()
        folder = tmp_path / str(kill_at)
        train_step = model.train_step
        calls = []

        def interrupt(batch, calls=calls, train_step=train_step, kill_at=kill_at):
            calls.append(batch)
            if len(calls) == kill_at + 1:
                signal.raise_signal(signal.SIGINT)
            return train_step(batch)

        model.train_step = interrupt
        options = {"steps_per_epoch": steps, "epochs": 3, "run_folder": folder}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_loop.compiled_steps, "compile_step", lambda step: step)
            with pytest.raises(KeyboardInterrupt):
                train(model, make_batch, **options)
            assert len(calls) == kill_at + 1
            model, make_batch = shallow_unet()
            assert [row["epoch"] for row in train(model, make_batch, **options)] == [1, 2, 3]


def test_an_epoch_shows_every_sample_and_batches_have_one_size():
    batches = [shuffled_indices(10, 4, seed=1, epoch=0, step=step) for step in range(3)]
    assert all(batch.shape == (4,) for batch in batches)
    assert set(np.concatenate(batches)) == set(range(10))
    other = shuffled_indices(10, 4, seed=1, epoch=1, step=0)
    assert list(other) != list(batches[0])
    np.testing.assert_array_equal(batches[1], shuffled_indices(10, 4, seed=1, epoch=0, step=1))


def test_more_batches_than_samples_show_all_of_them_equally_often_in_new_orders():
    # As of the shorter of two lists, or of outlines fewer than half a batch.
    batches = [shuffled_indices(6, 4, seed=1, epoch=0, step=step) for step in range(6)]
    passes = np.concatenate(batches).reshape(4, 6)
    assert [sorted(one) for one in passes] == [list(range(6))] * 4
    assert len({tuple(one) for one in passes}) == 4
    # What is shown once more than the others is not the same in every epoch.
    more = [shuffled_indices(6, 8, seed=1, epoch=epoch, step=0)[6:] for epoch in range(20)]
    assert set(np.concatenate(more)) == set(range(6))


def toy(optimizers=()):
    """Return a model that loses what is in its batch, and shows its optimisers' rates."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def train_step(batch):
        rates = [ops.convert_to_tensor(optimizer.learning_rate) for optimizer in optimizers]
        return {"loss": ops.mean(batch[0]), **{f"rate {i}": r for i, r in enumerate(rates)}}

    model.train_step = train_step
    return model


def make_toy_batch(epoch, step):
    return (np.full(2, 10 * epoch + step**2, np.float32),)


def test_every_epoch_has_its_learning_rate(tmp_path):
    optimizers = [Adam(1.0), Adam(2.0)]
    rows = train(
        toy(optimizers),
        make_toy_batch,
        steps_per_epoch=2,
        epochs=3,
        run_folder=tmp_path,
        learning_rate=lambda epoch: 0.5**epoch / 4,
        optimizers=optimizers,
    )
    for name in ("rate 0", "rate 1"):
        assert [row[name] for row in rows] == [0.25, 0.125, 0.0625]
    assert [float(optimizer.learning_rate) for optimizer in optimizers] == [0.0625, 0.0625]


def test_without_a_schedule_the_learning_rates_stay(tmp_path):
    optimizers = [Adam(1.0), Adam(2.0)]
    options = {"steps_per_epoch": 1, "epochs": 2, "run_folder": tmp_path, "optimizers": optimizers}
    rows = train(toy(optimizers), make_toy_batch, **options)
    assert [(row["rate 0"], row["rate 1"]) for row in rows] == [(1.0, 2.0)] * 2


def test_the_log_has_the_mean_of_each_epochs_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "STEPS_BETWEEN_FETCHES", 2)
    told = []
    rows = train(
        toy(),
        make_toy_batch,
        steps_per_epoch=3,
        epochs=2,
        run_folder=tmp_path,
        validate=lambda: {"val_loss": 7.0},
        after_epoch=lambda epoch, rows: told.append((epoch, [row["loss"] for row in rows])),
    )
    means = [pytest.approx((0 + 1 + 4) / 3, 1e-5), pytest.approx((10 + 11 + 14) / 3, 1e-5)]
    expected = [{"epoch": i + 1, "loss": mean, "val_loss": 7.0} for i, mean in enumerate(means)]
    assert rows == expected
    with open(tmp_path / "training_log.csv", newline="") as file:
        read = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]
    assert read == expected
    assert told == [(0, means[:1]), (1, means)]


def test_a_log_that_another_program_holds_stops_nothing(tmp_path, monkeypatch, caplog):
    """As Excel does on Windows."""
    written = []

    def held(path, rows):
        if len(rows) == 1:
            raise PermissionError(13, "Permission denied", str(path))
        written.append(len(rows))

    monkeypatch.setattr(training_loop, "write_rows", held)
    rows = train(toy(), make_toy_batch, steps_per_epoch=1, epochs=3, run_folder=tmp_path)
    assert len(rows) == 3 and written == [2, 3]
    assert "training_log.csv cannot be written (Permission denied); is it open in" in caplog.text


def test_checkpoints_that_take_long_are_written_less_often(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    written = []

    def write(model, run_folder, state):
        clock.now += 4  # of the 80 s or more from one to the next
        written.append(clock.now)

    monkeypatch.setattr(training_loop, "save_checkpoint", write)
    save = training_loop._saver(None, tmp_path, {})
    while clock.now < 300:
        clock.now += 1
        save(after_seconds=15, sparing=True)
    assert np.diff(written).min() >= 80
    assert len(written) == 4
    save(after_seconds=0)
    assert len(written) == 5
    # What the user asks for is done, however long it takes.
    clock.now += 15
    save(after_seconds=15)
    assert len(written) == 6


def test_where_steps_are_slow_each_tells_the_time_left_and_checkpoints_are_kept(
    tmp_path, monkeypatch
):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(training_loop.compiled_steps, "compile_step", lambda step: step)
    live, written = [], []
    monkeypatch.setattr(training_loop, "live_line", live.append)
    monkeypatch.setattr(
        training_loop, "save_checkpoint", lambda *arguments: written.append(clock.now / 60)
    )
    model = toy()
    step = model.train_step

    def take_a_minute(batch):
        clock.now += 60
        return step(batch)

    model.train_step = take_a_minute
    options = {"run_folder": tmp_path, "description": "Toy", "checkpoint_minutes": 10}
    train(model, make_toy_batch, steps_per_epoch=35, epochs=1, **options)
    assert written == [10, 20, 30, 35]
    assert live[9] == "Toy epoch 1 of 1, step 10 of 35, 25:00 min left"
    assert len(live) == 36


def test_the_last_epoch_is_in_a_checkpoint_however_short_epochs_are(tmp_path):
    """What is done after it may stop, as where a network has failed, and be done anew."""
    train(toy(), make_toy_batch, steps_per_epoch=2, epochs=3, run_folder=tmp_path)
    assert training_runs.load_checkpoint(toy(), tmp_path)["epoch"] == 3


def test_every_epoch_tells_its_losses_and_the_time_left(tmp_path, monkeypatch, caplog):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(training_loop, "STEPS_BETWEEN_FETCHES", 1)
    monkeypatch.setattr(training_loop.compiled_steps, "compile_step", lambda step: step)
    live = []
    monkeypatch.setattr(training_loop, "live_line", live.append)
    caplog.set_level(logging.INFO)

    def train_to(epochs, **options):
        model = toy()
        step = model.train_step

        def take_ten_seconds(batch):
            clock.now += 10
            return {**step(batch), "other": ops.mean(batch[0]) + 1 / 3}

        model.train_step = take_ten_seconds
        options |= {"epochs": epochs, "run_folder": tmp_path, "description": "Toy"}
        caplog.clear()
        live.clear()
        train(model, make_toy_batch, steps_per_epoch=2, **options)
        return caplog.messages

    assert train_to(1) == ["Toy epoch 1 of 1, 0 s left: loss 0.5  other 0.8333"]
    # What a run before this one did says nothing about the time.
    clock.now += 1000
    assert train_to(3, shown=["other"]) == [
        "going on with epoch 2, step 1",
        "Toy epoch 2 of 3, 20 s left: other 10.83",
        "Toy epoch 3 of 3, 0 s left: other 20.83",
    ]
    assert live == [
        "Toy epoch 2 of 3, step 1 of 2, 30 s left",
        "Toy epoch 2 of 3, step 2 of 2, 20 s left",
        "",
        "Toy epoch 3 of 3, step 1 of 2, 10 s left",
        "Toy epoch 3 of 3, step 2 of 2, 0 s left",
        "",
    ]

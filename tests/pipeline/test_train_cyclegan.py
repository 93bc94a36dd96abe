"""Step 3 without its training: which network is saved as which, and how images are coded."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

from models.fast import lean_networks
from pipeline import train_cyclegan
from pipeline.files.records import write_json
from pipeline.image_files import list_images, write_image
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.recorded_scales import check_scale_of_network
from pipeline.training_data.cyclegan_images import Coding

OPTIONS = {
    "batch_size": 2,
    "epochs": 4,
    "filters": 1,
    "use_skip_connection": False,
    "use_resize_convolution": False,
    "use_binary_crossentropy": False,
    "invert_images": False,
    "same_contrast": False,
    "lambda_cycle": (10.0, 9.0),
    "lambda_identity": (0.5, 0.4),
    "label_smoothing_factor": 0.1,
    "gaussian_noise_value": 0.0,
    "pool_size": 3,
    "learning_rate": 2e-4,
    "beta_1": 0.5,
    "constant_learning_rate_share": 0.5,
    "checkpoint_minutes": 10,
    "precision": "float32",
    "seed": 1,
    "when_failed": "warn",
}
TILES = {"A": [10, 20, 30], "B": [2, 3, 4, 5]}  # their numbers


def tile(side, number):
    """Return a grey ramp with a bright edge, or white on black; none is another's negative."""
    rows, columns = np.mgrid[:48, :48]
    if side == "A":
        return (4 * columns + number * (rows < 10)).astype(np.uint8)
    return np.where((rows // number + columns // 12) % 3, 0, 255).astype(np.uint8)


@pytest.fixture
def run(tmp_path, monkeypatch, short_networks):
    """Return ``run(**options)``: what the training was given, by a stand-in that trains nothing."""
    for side, numbers in TILES.items():
        for folder in (tmp_path / "data" / f"train{side}", tmp_path / "data" / f"test{side}"):
            folder.mkdir(parents=True)
            for number in numbers:
                write_image(folder / f"{number}.tif", tile(side, number))
    seen = {}

    def build(*arguments, **keywords):
        seen.update(arguments=arguments, built=keywords, policy=keras.config.dtype_policy().name)
        model = build_cyclegan(*arguments, **keywords)
        set_up = model.set_up

        def set_up_and_tell(*how):
            seen["set up"] = how
            set_up(*how)

        monkeypatch.setattr(model, "set_up", set_up_and_tell)
        return model

    def train(model, make_batch, **how):
        seen.update(how, model=model, make_batch=make_batch)

    def translate(model, cyclegan_dir, coding):
        seen["coding"] = coding
        return translate_test_tiles(model, cyclegan_dir, coding)

    build_cyclegan = train_cyclegan.build_cyclegan
    translate_test_tiles = train_cyclegan.translate_test_tiles
    monkeypatch.setattr(train_cyclegan, "build_cyclegan", build)
    monkeypatch.setattr(train_cyclegan, "train", train)
    monkeypatch.setattr(train_cyclegan, "translate_test_tiles", translate)

    def run(**changes):
        train_cyclegan.train_cyclegan(cyclegan_dir=tmp_path, **(OPTIONS | changes))
        return seen

    return run


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))["config"]


def test_every_option_reaches_the_model_and_its_training(run, tmp_path):
    of_the_model = {
        "use_skip_connection": True,
        "use_resize_convolution": True,
        "use_binary_crossentropy": True,
        "gaussian_noise_value": 0.2,
        "pool_size": 7,
        "lambda_cycle": (8.0, 7.0),
        "lambda_identity": (0, 0),
        "label_smoothing_factor": 0.15,
        "seed": 5,
    }
    others = {"filters": 2, "batch_size": 3, "learning_rate": 3e-4, "beta_1": 0.4}
    others |= {"checkpoint_minutes": 7, "precision": "mixed_bfloat16"}
    for name, value in (of_the_model | others).items():
        assert value != OPTIONS[name], name
    seen = run(**of_the_model, **others)
    assert keras.config.dtype_policy().name == "float32"  # of what is built after
    assert seen["arguments"] == (2, (48, 48, 1))
    assert seen["built"] == of_the_model
    assert seen["policy"] == "mixed_bfloat16"
    assert seen["set up"] == (3e-4, 0.4)
    assert seen["checkpoint_minutes"] == 7
    files = (list_images(tmp_path / "data" / f"train{side}") for side in TILES)
    make_batch = train_cyclegan._batch_maker(*files, Coding(False, True), 3, pool_size=7, seed=5)
    for own, expected in zip(seen["make_batch"](1, 1), make_batch(1, 1), strict=True):
        np.testing.assert_array_equal(own, expected)
    assert len(seen["make_batch"](0, 0)[0]) == 3


@pytest.mark.parametrize("invert_images", [True, False])
def test_both_generators_start_with_the_contrast_of_their_own_tiles(run, invert_images):
    signs = {}
    for seed in range(2):
        for same_contrast in (False, True):
            options = {"use_skip_connection": True, "invert_images": invert_images, "seed": seed}
            model = run(same_contrast=same_contrast, when_failed="warn", **options)["model"]
            coding = Coding(invert_images, False)
            micrographs = [coding.encode_micrograph(tile("A", n)) for n in TILES["A"]]
            masks = [coding.encode_mask(tile("B", n)) for n in TILES["B"]]
            signs.setdefault(same_contrast, []).extend(
                np.corrcoef(lean_networks.predict(generator, np.stack(tiles)).ravel(), own)[0, 1]
                for generator, tiles in ((model.gen_a, micrographs), (model.gen_b, masks))
                for own in (np.ravel(tiles),)
            )
    assert min(signs[True]) > -0.02 and min(signs[False]) < -0.1
    np.testing.assert_allclose(np.abs(signs[False]), np.abs(signs[True]), atol=1e-4)


@pytest.mark.parametrize(
    ("use_binary_crossentropy", "changes"),
    [
        (False, {"invert_images": True}),
        (True, {"lambda_identity": (0, 0), "use_skip_connection": True}),
    ],
)
def test_each_network_is_saved_under_its_own_name(run, use_binary_crossentropy, changes):
    seen = run(use_binary_crossentropy=use_binary_crossentropy, **changes)
    options = OPTIONS | changes | {"use_binary_crossentropy": use_binary_crossentropy}
    for name, value in seen["built"].items():
        assert value == options[name], name
    assert seen["built"].keys() >= {"use_skip_connection", "pool_size", "lambda_cycle", "seed"}
    for name in ("image_to_mask", "mask_to_image"):
        config = config_of(seen["run_folder"] / f"{name}.keras")
        assert config["name"] == name
        activations = [layer["config"].get("activation") for layer in config["layers"]]
        in_unit_range = name == "image_to_mask" and use_binary_crossentropy
        assert ("sigmoid" in activations, "tanh" in activations) == (
            (True, False) if in_unit_range else (False, True)
        )
    assert seen["coding"] == (options["invert_images"], use_binary_crossentropy)


@pytest.mark.parametrize(
    ("invert_images", "in_unit_range"), [(False, False), (True, False), (False, True)]
)
def test_batches_hold_micrographs_and_masks_as_the_options_code_them(
    tmp_path, invert_images, in_unit_range
):
    files = {side: [] for side in TILES}
    for side, numbers in TILES.items():
        for number in numbers:
            files[side].append(tmp_path / f"{side}{number}.tif")
            write_image(files[side][-1], tile(side, number))
    make_batch = train_cyclegan._batch_maker(
        files["A"], files["B"], Coding(invert_images, in_unit_range), 2, 0, seed=1
    )
    batches = [make_batch(0, step) for step in range(2)]
    micrographs, masks = (np.concatenate([batch[side] for batch in batches]) for side in (0, 1))
    known = {}
    for number in TILES["A"]:
        image = np.float32(tile("A", number)) / 127.5 - 1
        known[(-image if invert_images else image).tobytes()] = number
    for number in TILES["B"]:
        low = np.float32(0 if in_unit_range else -1)
        known[np.where(tile("B", number), np.float32(1), low).tobytes()] = number
    # All of the longer list; the shorter one begins again.
    assert sorted(known[mask.tobytes()] for mask in masks) == TILES["B"]
    found = [known[image.tobytes()] for image in micrographs]
    assert len(found) == 4 and set(found) == set(TILES["A"])
    repeated = set()
    for epoch in range(10):
        shown = [image.tobytes() for step in range(2) for image in make_batch(epoch, step)[0]]
        repeated |= {image for image in shown if shown.count(image) == 2}
    assert len(repeated) == len(TILES["A"])


def test_micrographs_and_masks_are_not_shown_in_the_same_pairs_every_epoch(tmp_path):
    files = {"A": [], "B": []}
    for side in files:
        for number in (2, 3, 4, 5):  # as many of both
            files[side].append(tmp_path / f"{side}{number}.tif")
            write_image(files[side][-1], tile(side, number))
    make_batch = train_cyclegan._batch_maker(
        files["A"], files["B"], Coding(False, False), 2, 0, seed=1
    )
    pairs = set()
    for epoch in range(8):
        for step in range(2):
            micrographs, masks, *_ = make_batch(epoch, step)
            pairs |= {(a.tobytes(), b.tobytes()) for a, b in zip(micrographs, masks, strict=True)}
    # In one order for both there would be four pairs, of sixteen.
    assert len(pairs) > 8


@pytest.fixture
def make_batch(run, tmp_path):
    """What the training is given with a pool of three images and batches of two."""
    return run(pool_size=3, batch_size=2)["make_batch"]


def test_the_pool_fills_once_and_is_shown_in_half_of_the_cases_then(make_batch):
    batches = [make_batch(epoch, step) for epoch in range(40) for step in range(2)]
    slots, take_old, store_new = (
        np.concatenate([batch[index] for batch in batches], axis=1) for index in (2, 3, 4)
    )
    for side in range(2):
        assert slots[side, :3].tolist() == [0, 1, 2]
        assert store_new[side, :3].tolist() == [1, 1, 1] and not take_old[side, :3].any()
        np.testing.assert_array_equal(take_old[side, 3:], store_new[side, 3:])
        assert 0.35 < take_old[side, 3:].mean() < 0.65
        assert set(slots[side, 3:][take_old[side, 3:] > 0]) == {0, 1, 2}
    assert not np.array_equal(take_old[0], take_old[1])


def test_every_step_of_every_epoch_has_its_own_order_and_random_numbers(make_batch):
    steps = [(epoch, step) for epoch in range(3) for step in range(2)]
    for index in range(2):  # micrographs, masks
        drawn = [make_batch(*step)[index].tobytes() for step in steps]
        assert drawn == [make_batch(*step)[index].tobytes() for step in steps]
        # Of three micrographs there are six pairs, of four masks twelve.
        assert len(set(drawn)) >= 4
    orders = [[make_batch(epoch, step)[1] for step in range(2)] for epoch in range(3)]
    assert len({np.concatenate(order).tobytes() for order in orders}) == 3


def test_each_network_is_saved_under_the_name_of_what_it_draws(run, monkeypatch):
    def weights(generator):
        return np.concatenate(
            [ops.convert_to_numpy(w).ravel() for w in generator.trainable_weights]
        )

    def train(model, make_batch, **how):
        trained.extend(weights(generator) for generator in (model.gen_a, model.gen_b))
        run_folders.append(how["run_folder"])

    trained, run_folders = [], []
    monkeypatch.setattr(train_cyclegan, "train", train)
    run()
    saved = [
        weights(keras.models.load_model(run_folders[0] / f"{name}.keras", compile=False))
        for name in ("image_to_mask", "mask_to_image")
    ]
    np.testing.assert_array_equal(saved, trained)


def test_tiles_and_masks_of_two_sizes_are_refused_before_a_run_begins(run, tmp_path):
    masks = [*(tmp_path / "data" / "trainB").iterdir()]
    write_image(tmp_path / "data" / "trainB" / "3.tif", tile("B", 3)[:40])
    words = r"3\.tif has 40 x 48 pixels, but .*2\.tif has 48 x 48: all must .* run step 2 .* again"
    with pytest.raises(ValueError, match=words):
        run()
    for file in masks:
        write_image(file, tile("B", 2)[:40])
    words = r"10\.tif has 48 x 48 pixels, but .*2\.tif has 40 x 48: .* Run step 2"
    with pytest.raises(ValueError, match=words):
        run()
    assert not (tmp_path / "Models").exists()


def test_the_scale_of_the_tiles_is_recorded_for_step_4(run, tmp_path):
    made_with = tmp_path / "data" / "trainA" / MADE_WITH
    for scale in (2.0, 0.5):
        write_json(made_with, {"micrograph_scale": scale})
        run_folder = run()["run_folder"]
        check_scale_of_network("cyclegan", run_folder, scale)
        with pytest.raises(ValueError, match=f"learned at MICROGRAPH_SCALE = {scale:g}, but"):
            check_scale_of_network("cyclegan", run_folder, 1.0)


def test_the_learning_rate_and_every_optimizer_reach_the_training(run):
    seen = run()
    rates = [seen["learning_rate"](epoch) for epoch in range(4)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4])
    assert len({id(optimizer) for optimizer in seen["optimizers"]}) == 4
    assert (seen["epochs"], seen["steps_per_epoch"]) == (4, 2)


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 5), (2, 3), (3, 2), (5, 1)])
def test_an_epoch_goes_through_all_of_the_longer_list(run, tmp_path, batch_size, steps):
    write_image(tmp_path / "data" / "trainB" / "6.tif", tile("B", 6))  # the fifth beside 3 tiles
    assert run(batch_size=batch_size, pool_size=5)["steps_per_epoch"] == steps

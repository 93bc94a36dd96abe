"""Each way a network fails, provoked; and that good ones are left alone."""

import json
import logging

import cv2
import keras
import numpy as np
import pytest

from pipeline import segment_images, train_cyclegan, train_wgan
from pipeline.image_files import read_image, write_image
from pipeline.inference import load_network
from pipeline.intensities import is_flat
from pipeline.network_failures import (
    act_on_failure,
    describe_contrast,
    describe_coverage,
    describe_outlines,
    describe_probabilities,
    describe_translations,
)


def masks(number=3):
    images = np.zeros((number, 64, 64), np.uint8)
    for index, image in enumerate(images):
        cv2.circle(image, (20 + 8 * index, 30), 12, 255, -1)
    return images


def micrographs(of, particle=170):
    noise = np.random.default_rng(0).normal(0, 8, of.shape)
    return np.clip(np.where(of > 0, particle, 80) + noise, 0, 255).astype(np.uint8)


def test_a_failure_stops_or_warns(caplog):
    act_on_failure(None, "stop")
    with pytest.raises(ValueError, match=r'went wrong\. To go on .*WHEN_A_NETWORK_FAILS = "warn"'):
        act_on_failure("It went wrong.", "stop")
    assert not caplog.records
    act_on_failure("It went wrong.", "warn")
    ((_, level, message),) = caplog.record_tuples
    assert (level, message) == (logging.WARNING, "It went wrong.")


def test_outlines_without_a_particle_are_found():
    assert describe_outlines(masks()) is None
    specks = np.random.default_rng(0).choice([0, 255], (5, 64, 64), p=[0.9, 0.1]).astype(np.uint8)
    assert "5 of 5 samples hold no particle" in describe_outlines(specks)
    assert "4 of 4 samples are white all over" in describe_outlines(
        np.full((4, 64, 64), 250, np.uint8)
    )
    assert "5 of 8 samples hold no particle" in describe_outlines(np.concatenate([specks, masks()]))
    assert describe_outlines(np.concatenate([specks, masks(5)])) is None


@pytest.mark.parametrize(
    ("covered", "options", "words"),
    [
        (0, {}, "lower perlin_noise_threshold (it is 0.5; allowed is 0 to 1), or enlarge the t"),
        (1, {}, "raise perlin_noise_threshold (it is 0.5; allowed is 0 to 1), or raise grid_spac"),
        (0, {"grid_type": "DISABLE", "use_perlin_noise": False}, "raise min_no_of_particles and m"),
        (1, {"grid_type": "DISABLE"}, "lower min_no_of_particles and max_no_of_particles. Look"),
        (0, {"use_perlin_noise": False}, "To change that, lower grid_spacing_factor, or enlarge"),
        (1, {"use_perlin_noise": False}, "set use_perlin_noise to True, or raise grid_spacing"),
        (0, {"match_scenes": True}, "look whether DARK_BACKGROUND is right for them"),
    ],
)
def test_empty_and_full_masks_are_told_with_options_that_change_them(covered, options, words):
    given = {"use_perlin_noise": True, "perlin_noise_threshold": 0.5, "grid_type": "HEXAGONAL"}
    given |= {"match_scenes": False} | options
    labels = [np.full((8, 8), covered, np.uint16)] * 2
    problem = describe_coverage(labels, given)
    assert words in problem
    assert ("no_of_particles" in problem) == (given["grid_type"] == "DISABLE")
    assert ("threshold" in problem) == (given["use_perlin_noise"] and not given["match_scenes"])
    half = np.repeat(np.uint16([[0, 1]]), 8, axis=0)
    assert describe_coverage([*labels, half], given) is None


def test_good_translations_are_left_alone():
    assert describe_translations(masks(), micrographs(masks()), masks()) is None
    # Dark particles are as good, and one micrograph may hold no particle.
    empty = np.concatenate([np.zeros((1, 64, 64), np.uint8), masks()])
    assert describe_translations(empty, micrographs(masks(), 20), masks()) is None


def test_constant_fakes_are_found():
    grey = np.full((3, 64, 64), 128, np.uint8)
    grey[:, ::2] = 129
    assert "all of 3 fake masks" in describe_translations(grey, micrographs(masks()), masks())
    assert "all of 3 fake micrographs" in describe_translations(masks(), grey, masks())


def test_micrographs_that_ignore_their_masks_are_found():
    others = micrographs(np.zeros_like(masks()))
    assert "do not show the particles" in describe_translations(masks(), others, masks())


@pytest.mark.parametrize("dark_background", [True, False])
def test_inverted_contrast_is_found(dark_background):
    sign = 1 if dark_background else -1
    assert describe_contrast(0.4 * sign, dark_background) is None
    assert describe_contrast(0.0, dark_background) is None
    problem = describe_contrast(-0.4 * sign, dark_background)
    assert f"DARK_BACKGROUND is {dark_background}" in problem
    assert f"{-0.4 * sign:+.2f}" in problem


def test_flat_probabilities_are_found():
    noise = np.random.default_rng(0).normal(0.9, 0.005, (40, 50))
    assert is_flat(noise) and is_flat(np.full((40, 50), 0.5, np.float32))
    assert not is_flat(np.where(masks()[0] > 0, 0.6, 0.4))
    one_small_particle = np.full((1000, 700), 0.4, np.float32)
    one_small_particle[500:506, 300:306] = 0.6
    assert not is_flat(one_small_particle)
    assert describe_probabilities(["a.tif"], 2, -1) is None
    assert "the only micrograph. Its" in describe_probabilities(["a.tif"], 1, -1)
    assert "any of 2 micrographs" in describe_probabilities(["a.tif", "b.tif"], 2, -1)
    assert "the threshold of step 6b, 255." in describe_probabilities(["a.tif", "b.tif"], 2, 255)


@pytest.fixture
def segment(tmp_path, monkeypatch):
    """Return ``segment(network, **options)``, step 6b on three micrographs by such a network."""
    (tmp_path / "images").mkdir()
    for name, image in zip("abc", micrographs(masks()), strict=True):
        write_image(tmp_path / "images" / f"{name}.tif", image)
    run = tmp_path / "Models" / "2026-01-31_12-00-00"
    run.mkdir(parents=True)
    for name in ("Checkpoint_Lowest_Loss.keras", "model.keras"):
        (run / name).touch()

    def segment(network, when_failed="stop", dark_background=True):
        trained_with = {"dark_background": dark_background, "contrast_range": (0.5, 99.5)}
        (run / "options.json").write_text(json.dumps({"options": trained_with}))
        monkeypatch.setattr(segment_images, "make_predictor", lambda *path, **how: network)
        options = {"unet_model": None, "image_crop": None, "use_gpu_for_whole_image": False}
        options |= {"usual_contrast": True}
        options |= {"whole_image": True, "average_flips": False, "contrast_range": (0.5, 99.5)}
        options |= {"tile_height": 64, "tile_width": 64, "min_overlap": 2, "manage_overlap_mode": 2}
        options |= {"threshold": -1, "watershed_lines": True, "min_distance": 9}
        options |= {"magnification": 1.25}
        options |= {"unet_dir": tmp_path, "images_dir": tmp_path / "images"}
        options |= {"output_dir": tmp_path / "masks"}
        segment_images.segment_images(**options, when_failed=when_failed)
        return tmp_path / "masks"

    return segment


def test_step_6b_negates_micrographs_where_the_training_did(segment, tmp_path):
    shown = {}

    def network(image):
        shown.setdefault(dark_background, []).append(image)
        return image

    for dark_background in (True, False):
        masks = segment(network, when_failed="warn", dark_background=dark_background)
        for file in masks.glob("*.tif"):
            file.unlink()
    for bright, dark in zip(*shown.values(), strict=True):
        np.testing.assert_allclose(dark, 1 - bright, atol=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda image: image * 0 + 0.7, id="flat"),
        pytest.param(
            lambda image: np.concatenate([image, np.full_like(image, 0.2)], axis=-1),
            id="no inside of a particle",
        ),
    ],
)
def test_step_6b_stops_or_warns_if_the_unet_tells_nothing(segment, caplog, network):
    with pytest.raises(ValueError, match=r"The UNet has failed: .* any of 3 micrographs"):
        segment(network)
    folder = segment(network, "warn")
    assert "The UNet has failed" in caplog.text
    assert "no particle in sight, so an empty mask: a.tif" in caplog.text
    assert not read_image(folder / "a.tif").any()


def test_after_a_stop_step_6b_leaves_finished_files_alone(segment, tmp_path):
    calls = []

    def stopped_at_the_third(image):
        calls.append(image)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return image

    with pytest.raises(KeyboardInterrupt):
        segment(stopped_at_the_third)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").glob("*.tif")}
    assert {path.name for path in made} == {"a.tif", "a_raw.tif", "b.tif", "b_raw.tif"}
    segment(lambda image: image)
    assert (tmp_path / "masks" / "c.tif").exists()
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_step_3_stops_if_a_generator_gives_constant_images(tmp_path, monkeypatch):
    images = {"A": micrographs(masks()), "B": masks()}
    for folder in ("trainA", "testA", "trainB", "testB"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number, image in enumerate(images[folder[-1]]):
            write_image(tmp_path / "data" / folder / f"{number}.tif", image)

    def train_to_grey(model, *batches, **options):
        last = [layer for layer in model.gen_b.layers if layer.weights][-1]
        last.set_weights([np.zeros(weight.shape, np.float32) for weight in last.weights])

    monkeypatch.setattr(train_cyclegan, "train", train_to_grey)
    options = dict.fromkeys(("use_skip_connection", "use_resize_convolution"), False)
    options |= dict.fromkeys(("use_binary_crossentropy", "invert_images", "same_contrast"), False)
    options |= {"lambda_cycle": (10, 10), "lambda_identity": (0.5, 0.5), "pool_size": 0}
    options |= {"label_smoothing_factor": 0.0, "gaussian_noise_value": 0.0, "beta_1": 0.5}
    options |= {"learning_rate": 2e-4, "constant_learning_rate_share": 0.75, "seed": 1}
    options |= {"batch_size": 1, "epochs": 1, "filters": 1, "precision": "float32"}
    options |= {"checkpoint_minutes": 10}
    with pytest.raises(ValueError, match=r"The CycleGAN has failed: all of .* of one grey"):
        train_cyclegan.train_cyclegan(cyclegan_dir=tmp_path, **options, when_failed="stop")
    assert not list(tmp_path.glob("Models/*/*.keras"))


def test_step_1_stops_if_the_outlines_hold_no_particle(tmp_path, monkeypatch, caplog):
    (tmp_path / "masks").mkdir()
    for number, mask in enumerate(masks()):
        write_image(tmp_path / "masks" / f"{number}.png", mask[15:47, 5:53])
    monkeypatch.setattr(train_wgan, "train", lambda model, make_batch, **options: [])
    monkeypatch.setattr(
        train_wgan.wgan_gp,
        "sample_outlines",
        lambda generator, latent: np.zeros((len(latent), 32, 48), np.uint8),
    )
    options = {"masks_dir": tmp_path / "masks", "invert_masks": False, "wgan_dir": tmp_path}
    options |= {"micrograph_scale": 1.0}
    options |= {"batch_size": 4, "epochs": 1, "latent_size": 4, "critic_steps": 1, "seed": 1}
    options |= {"gradient_penalty_weight": 10.0, "learning_rate": 2e-4, "beta_1": 0.5}
    options |= {"beta_2": 0.9, "preview_every": 1, "checkpoint_minutes": 10}
    options |= {"precision": "float32"}
    with pytest.raises(ValueError, match=r"The WGAN has not learned to draw outlines: 256 of 256"):
        train_wgan.train_wgan(**options, when_failed="stop")
    assert not list(tmp_path.glob("Models/*/*.keras"))
    train_wgan.train_wgan(**options, when_failed="warn")
    assert "The WGAN has not learned to draw outlines" in caplog.text
    assert len(list(tmp_path.glob("Models/*/model.keras"))) == 1


def test_a_model_file_that_holds_code_is_refused(tmp_path):
    inputs = keras.Input((4,))
    outputs = keras.layers.Lambda(lambda x: x + 1)(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="it holds code, or layers that are unknown") as error:
        load_network(tmp_path / "model.keras", use_gpu=False)
    assert str(error.value).startswith(f"{tmp_path / 'model.keras'} is no network of this program")
    assert "Lambda" in str(error.value.__cause__)
    assert "safe" not in str(error.value)  # Keras tells how to run foreign code all the same

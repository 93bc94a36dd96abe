"""Step 4: what it makes of flat outputs, of a stop, and of a run folder that lost its options."""

import json
import logging
import shutil

import numpy as np
import pytest

from pipeline import translate_images as step
from pipeline.image_files import read_image, write_image
from pipeline.intensities import stretch_to_uint8
from pipeline.micrographs.resampling import at_scale
from pipeline.particle_masks import segment_particles
from pipeline.training_data.cyclegan_images import Coding

RUN = "2026-01-31_12-00-00"
OPTIONS = {"use_binary_crossentropy": False, "invert_images": False}
BOTH_WAYS = [(False, False), (False, True), (True, False), (True, True)]


@pytest.fixture
def translate(tmp_path, monkeypatch):
    """Return ``translate()``, the step with networks that only scale; and its folder."""
    data, run = tmp_path / "data" / "trainB", tmp_path / "Models" / RUN
    for folder in (data, run, tmp_path / "images"):
        folder.mkdir(parents=True)
    for name in ("image_to_mask.keras", "mask_to_image.keras"):
        (run / name).touch()
    (run / "options.json").write_text(json.dumps({"options": OPTIONS}))
    random = np.random.default_rng(0)
    for number in range(10):
        write_image(data / f"{number:05d}.tif", random.choice([0, 255], (20, 30)).astype(np.uint8))
    for name in "abc":
        write_image(
            tmp_path / "images" / f"{name}.png", random.integers(0, 256, (20, 30), np.uint8)
        )
    monkeypatch.setattr(step, "make_batch_predictor", lambda path: lambda x: 0.8 * x)
    monkeypatch.setattr(step, "make_predictor", lambda path, **how: lambda image: 0.8 * image)

    def translate(**changes):
        options = {
            "cyclegan_model": None,
            "whole_image": True,
            "use_gpu_for_whole_image": False,
            "image_crop": None,
            "micrograph_scale": 1.0,
            "tile_height": 64,
            "tile_width": 64,
            "min_overlap": 2,
            "manage_overlap_mode": 2,
        }
        step.translate_images(
            cyclegan_dir=tmp_path, images_dir=tmp_path / "images", **options | changes
        )
        return tmp_path / "generate_images"

    return translate


@pytest.fixture
def trained_with(tmp_path):
    def write(**options):
        path = tmp_path / "Models" / RUN / "options.json"
        path.write_text(json.dumps({"options": OPTIONS | options}))

    return write


def test_every_option_reaches_what_computes(translate, tmp_path, monkeypatch):
    older = tmp_path / "Models" / "2025-01-31_12-00-00"
    shutil.copytree(tmp_path / "Models" / RUN, older)
    seen = {}

    def make_predictor(path, **how):
        seen.update(how, path=path)
        return lambda image: 0.8 * image

    monkeypatch.setattr(step, "make_predictor", make_predictor)
    tiling = {"whole_image": False, "tile_height": 48, "tile_width": 56, "min_overlap": 5}
    tiling |= {"manage_overlap_mode": 1}
    folder = translate(
        cyclegan_model=older.name, use_gpu_for_whole_image="auto", image_crop=12, **tiling
    )
    assert seen == tiling | {"use_gpu": "auto", "path": older / "image_to_mask.keras"}
    assert read_image(folder / "B" / "a.tif").shape == (12, 30)


@pytest.mark.parametrize(("invert_images", "use_binary_crossentropy"), BOTH_WAYS)
def test_each_side_goes_through_its_network_coded_as_in_the_training(
    translate, trained_with, tmp_path, monkeypatch, invert_images, use_binary_crossentropy
):
    trained_with(invert_images=invert_images, use_binary_crossentropy=use_binary_crossentropy)
    seen = {"image_to_mask.keras": [], "mask_to_image.keras": []}

    def network(path, **how):
        def predict(x):
            seen[path.name].append(x)
            return 0.8 * x

        return predict

    monkeypatch.setattr(step, "make_batch_predictor", network)
    monkeypatch.setattr(step, "make_predictor", network)
    folder = translate()

    masks = [read_image(tmp_path / "data" / "trainB" / f"{n:05d}.tif") for n in range(10)]
    low = 0 if use_binary_crossentropy else -1
    encoded = np.where(np.array(masks) > 0, np.float32(1), np.float32(low))[..., None]
    np.testing.assert_array_equal(np.concatenate(seen["mask_to_image.keras"]), encoded)
    for number, mask in enumerate(masks):
        fake = read_image(folder / "A" / f"{number:05d}.tif")
        np.testing.assert_array_equal(fake, 255 - mask if invert_images else mask)

    sign = -1 if invert_images else 1
    assert len(seen["image_to_mask.keras"]) == 3
    for name, shown in zip("abc", seen["image_to_mask.keras"], strict=True):
        image = stretch_to_uint8(read_image(tmp_path / "images" / f"{name}.png"))
        np.testing.assert_allclose(shown[..., 0], sign * (image / 127.5 - 1), atol=1e-6)
        raw = read_image(folder / "B" / f"{name}.tif").astype(int)
        np.testing.assert_allclose(raw, 255 - image if invert_images else image, atol=1)


@pytest.mark.parametrize("use_binary_crossentropy", [False, True])
def test_whether_a_raw_mask_is_flat_goes_by_the_range_it_was_trained_in(
    translate, trained_with, tmp_path, monkeypatch, use_binary_crossentropy
):
    """Eight hundredths: of 0 to 1 that is enough to be seen, of -1 to 1 it is not."""
    ramp = np.tile(np.linspace(0, 255, 30), (20, 1)).astype(np.uint8)
    write_image(tmp_path / "images" / "a.png", ramp)
    write_image(tmp_path / "data" / "trainB" / "00000.tif", np.uint8(255) * (ramp > 99))
    trained_with(use_binary_crossentropy=use_binary_crossentropy)
    monkeypatch.setattr(step, "make_predictor", lambda path, **how: lambda image: 0.04 * image)
    monkeypatch.setattr(step, "make_batch_predictor", lambda path: lambda x: 0.08 * x)
    folder = translate()
    assert read_image(folder / "B" / "a.tif").any() == use_binary_crossentropy
    # Fake micrographs go from -1 to 1 in any case: of masks from 0 to 1 these go up to 0.08.
    assert read_image(folder / "A" / "00000.tif").any() != use_binary_crossentropy


def test_a_flat_output_is_black_and_not_stretched_noise(translate, monkeypatch, caplog):
    """Noise of 1e-4 around what the network says everywhere, as one gives that learned nothing."""
    noise = np.random.default_rng(1).normal(0, 1e-4, (20, 30, 1)).astype(np.float32)
    images = iter(range(3))
    monkeypatch.setattr(step, "make_batch_predictor", lambda path: lambda x: 0 * x + 0.3 + noise)
    monkeypatch.setattr(
        step,
        "make_predictor",
        lambda path, **how: lambda image: image if next(images) else noise - np.float32(0.999),
    )
    folder = translate()
    fakes = [read_image(path) for path in (folder / "A").glob("*.tif")]
    assert len(fakes) == 10 and not any(fake.any() for fake in fakes)
    raw = read_image(folder / "B" / "a.tif")
    assert not raw.any() and not segment_particles(raw, -1, True, 9).any()
    assert read_image(folder / "B" / "b.tif").max() == 255
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == "no particle in sight, so an empty raw mask: a.png"


def test_after_a_stop_finished_files_are_left_alone(translate, monkeypatch):
    """Stopped in the second batch of masks, then at the third micrograph."""
    folder = translate()
    whole = {path.name: path.read_bytes() for path in folder.rglob("*.tif")}
    shutil.rmtree(folder)
    calls = []

    def stop_at(number):
        def predict(x):
            calls.append(number)
            if len(calls) == number:
                raise KeyboardInterrupt
            return 0.8 * x

        return predict

    monkeypatch.setattr(step, "make_batch_predictor", lambda path: stop_at(2))
    with pytest.raises(KeyboardInterrupt):
        translate()
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")}
    assert len(made) == 8
    monkeypatch.setattr(step, "make_batch_predictor", lambda path: lambda x: 0.8 * x)
    calls.clear()
    monkeypatch.setattr(step, "make_predictor", lambda path, **how: stop_at(3))
    with pytest.raises(KeyboardInterrupt):
        translate()
    made |= {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif") if path not in made}
    assert len(made) == 12
    translate()
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert {path.name: path.read_bytes() for path in folder.rglob("*.tif")} == whole


def test_a_fake_corrected_by_hand_stays_when_its_neighbour_is_gone(translate):
    folder = translate() / "A"
    corrected, gone = folder / "00001.tif", folder / "00002.tif"
    before, image = gone.read_bytes(), 255 - read_image(corrected)
    write_image(corrected, image)
    gone.unlink()
    translate()
    np.testing.assert_array_equal(read_image(corrected), image)
    assert gone.read_bytes() == before


def test_a_hot_pixel_does_not_take_the_contrast(translate, tmp_path):
    image = np.random.default_rng(0).normal(2000, 30, (120, 100))
    image[40:80, 30:60] += 500
    image[10, 10] = 60000
    write_image(tmp_path / "images" / "a.tif", image.astype(np.uint16))
    (tmp_path / "images" / "a.png").unlink()
    raw = read_image(translate() / "B" / "a.tif")
    assert raw[40:80, 30:60].mean() > raw[90:].mean() + 100


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_lost_training_options_are_named_with_what_to_do(translate, tmp_path, content):
    path = tmp_path / "Models" / RUN / "options.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=r"options\.json is gone or damaged.*run step 3"):
        translate()


def test_a_run_without_one_of_its_networks_is_none(translate, tmp_path):
    (tmp_path / "Models" / RUN / "mask_to_image.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"run step 3 \(train_cyclegan\) first"):
        translate()


def test_a_cyclegan_of_another_scale_is_refused(translate, trained_with):
    trained_with(micrograph_scale=2.0)
    with pytest.raises(ValueError, match=r"The CycleGAN in .* learned at MICROGRAPH_SCALE = 2, bu"):
        translate()
    translate(micrograph_scale=2.0)


def test_micrographs_are_translated_at_the_scale_of_the_tiles(translate, tmp_path):
    folder = translate(micrograph_scale=2.0)
    micrograph = read_image(tmp_path / "images" / "a.png")
    assert read_image(folder / "B" / "a.tif").shape == (40, 60)
    coding = Coding(False, False)
    seen = coding.encode_micrograph(stretch_to_uint8(at_scale(micrograph, 2.0)))
    expected = coding.stretch_mask(0.8 * seen)
    np.testing.assert_array_equal(read_image(folder / "B" / "a.tif"), expected)
    translate(micrograph_scale=1.0)
    assert read_image(folder / "B" / "a.tif").shape == (20, 30)


def test_other_masks_give_other_fakes(translate, tmp_path):
    mask = tmp_path / "data" / "trainB" / "00003.tif"
    before = read_image(translate() / "A" / mask.name)
    write_image(mask, 255 - read_image(mask))
    after = read_image(translate() / "A" / mask.name)
    np.testing.assert_array_equal(after, 255 - before)


def test_micrographs_that_are_replaced_are_translated_anew(translate, tmp_path):
    micrograph = tmp_path / "images" / "a.png"
    before = read_image(translate() / "B" / "a.tif")
    write_image(micrograph, 255 - read_image(micrograph))
    after = read_image(translate() / "B" / "a.tif")
    np.testing.assert_allclose(after.astype(int), 255 - before.astype(int), atol=1)
    assert (after != before).any()


@pytest.mark.parametrize("network", ["mask_to_image", "image_to_mask"])
def test_another_network_translates_all_anew(translate, tmp_path, monkeypatch, network):
    """In a run of the same name: the weights count."""
    folder = translate()
    before = [read_image(folder / name) for name in ("A/00003.tif", "B/a.tif")]
    (tmp_path / "Models" / RUN / f"{network}.keras").write_bytes(b"trained anew")
    monkeypatch.setattr(step, "make_batch_predictor", lambda path: lambda x: -0.8 * x)
    monkeypatch.setattr(step, "make_predictor", lambda path, **how: lambda image: -0.8 * image)
    translate()
    after = [read_image(folder / name) for name in ("A/00003.tif", "B/a.tif")]
    assert [(a != b).any() for a, b in zip(after, before, strict=True)] == [True, True]

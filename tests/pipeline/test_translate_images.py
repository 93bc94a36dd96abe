"""Step 4: what it makes of flat outputs, of a stop, and of a run folder that lost its options."""

import json
import logging
import shutil

import numpy as np
import pytest

from pipeline import translate_images as step
from pipeline.image_files import read_image, write_image
from pipeline.particle_masks import segment_particles

RUN = "2026-01-31_12-00-00"
OPTIONS = {"use_binary_crossentropy": False, "invert_images": False}


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
    monkeypatch.setattr(step, "load_predictor", lambda path, use_gpu: lambda x: 0.8 * x)
    monkeypatch.setattr(step, "make_predictor", lambda path, **how: lambda image: 0.8 * image)

    def translate():
        tiling = {"tile_height": 64, "tile_width": 64, "min_overlap": 2, "manage_overlap_mode": 2}
        step.translate_images(
            cyclegan_dir=tmp_path,
            images_dir=tmp_path / "images",
            cyclegan_model=None,
            whole_image=True,
            use_gpu_for_whole_image=False,
            image_crop=None,
            **tiling,
        )
        return tmp_path / "generate_images"

    return translate


def test_a_flat_output_is_black_and_not_stretched_noise(translate, monkeypatch, caplog):
    """Noise of 1e-4 around what the network says everywhere, as one gives that learned nothing."""
    noise = np.random.default_rng(1).normal(0, 1e-4, (20, 30, 1)).astype(np.float32)
    images = iter(range(3))
    monkeypatch.setattr(step, "load_predictor", lambda path, use_gpu: lambda x: 0 * x + 0.3 + noise)
    monkeypatch.setattr(
        step,
        "make_predictor",
        lambda path, **how: lambda image: image if next(images) else noise - np.float32(0.999),
    )
    folder = translate()
    assert not any(read_image(path).any() for path in (folder / "A").glob("*.tif"))
    raw = read_image(folder / "B" / "a.tif")
    assert not raw.any() and not segment_particles(raw, -1, True, 9).any()
    assert read_image(folder / "B" / "b.tif").max() == 255
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == "no particle in sight, so an empty raw mask: a.png"


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_what_is_flat_is_a_share_of_what_an_output_could_be(span):
    ramp = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (20, 1))
    assert not step.stretch_output(0.04 * span * ramp - 0.5, span).any()
    stretched = step.stretch_output(0.06 * span * ramp - 0.5, span)
    assert stretched.min() == 0 and stretched.max() == 255


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

    monkeypatch.setattr(step, "load_predictor", lambda path, use_gpu: stop_at(2))
    with pytest.raises(KeyboardInterrupt):
        translate()
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")}
    assert len(made) == 8
    monkeypatch.setattr(step, "load_predictor", lambda path, use_gpu: lambda x: 0.8 * x)
    calls.clear()
    monkeypatch.setattr(step, "make_predictor", lambda path, **how: stop_at(3))
    with pytest.raises(KeyboardInterrupt):
        translate()
    made |= {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif") if path not in made}
    assert len(made) == 12
    translate()
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert {path.name: path.read_bytes() for path in folder.rglob("*.tif")} == whole


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
    with pytest.raises(ValueError, match=r"options\.json is gone or damaged.*StartProcess.py 3 4"):
        translate()


def test_a_run_without_one_of_its_networks_is_none(translate, tmp_path):
    (tmp_path / "Models" / RUN / "mask_to_image.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"run step 3 \(train_cyclegan\) first"):
        translate()

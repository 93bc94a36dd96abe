"""What one backend has made is made again with another, whose results differ a little."""

import json

import numpy as np
import pytest

from models import backend
from pipeline import segment_images, translate_images
from pipeline.image_files import read_image, write_image

TILING = {
    "whole_image": True,
    "tile_height": 64,
    "tile_width": 64,
    "min_overlap": 2,
    "manage_overlap_mode": 2,
    "use_gpu_for_whole_image": False,
    "image_crop": None,
}
UNET = {
    "unet_model": None,
    "average_flips": False,
    "magnification": 1.0,
    "contrast_range": (1, 99),
    "usual_contrast": True,
    "threshold": -1,
    "watershed_lines": True,
    "min_distance": 9,
    "when_failed": "warn",
}
RECORD = {
    "use_binary_crossentropy": False,
    "invert_images": False,
    "contrast_range": (1, 99),
    "dark_background": True,
}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return ``make(backend, sign)`` -> pictures by name; networks multiply by ``sign``."""
    run = tmp_path / "Models" / "2026-01-31_12-00-00"
    names = ("image_to_mask", "mask_to_image", "Checkpoint_Lowest_Loss", "model")
    for folder in (run, tmp_path / "data" / "trainB", tmp_path / "images"):
        folder.mkdir(parents=True)
    for name in names:
        (run / f"{name}.keras").touch()
    (run / "options.json").write_text(json.dumps({"options": RECORD}))
    picture = np.zeros((40, 40), np.uint8)
    picture[10:30, 5:25] = 255
    write_image(tmp_path / "data" / "trainB" / "00000.tif", picture)
    write_image(tmp_path / "images" / "a.png", picture)

    def make(name, sign):
        monkeypatch.setattr(backend, "BACKEND", name)
        for module in (translate_images, segment_images):
            for load in ("make_batch_predictor", "make_predictor"):
                monkeypatch.setattr(
                    module, load, lambda *how, **options: lambda x: sign * x, raising=False
                )
        made = {"cyclegan_dir": tmp_path, "images_dir": tmp_path / "images"}
        translate_images.translate_images(
            **made, **TILING, cyclegan_model=None, micrograph_scale=1.0
        )
        made = {"unet_dir": tmp_path, "images_dir": tmp_path / "images"}
        segment_images.segment_images(**made, **TILING, **UNET, output_dir=tmp_path / "masks")
        translated = tmp_path / "generate_images"
        files = (translated / "A/00000.tif", translated / "B/a.tif", tmp_path / "masks/a_raw.tif")
        return {path.name: read_image(path).astype(float) for path in files}

    return make


def test_fakes_raw_masks_and_masks_are_those_of_the_backend(make):
    first = make("tensorflow", 1)
    for name, again in make("tensorflow", -1).items():
        np.testing.assert_array_equal(again, first[name])
    for name, other in make("torch", -1).items():
        assert not np.array_equal(other, first[name]), name

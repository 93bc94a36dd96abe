"""What the contrast of a folder of micrographs is measured with, before they are segmented."""

import json

import numpy as np
import pytest

from pipeline import segment_images as step
from pipeline.image_files import write_image


class Enough(Exception):
    """Raised where the contrast would be measured."""


@pytest.mark.parametrize(("scale", "tile"), [(1, (64, 48)), (2, (32, 24)), (0.5, (128, 96))])
def test_contrast_is_measured_in_parts_of_a_tile_of_the_micrographs_own_pixels(
    tmp_path, monkeypatch, scale, tile
):
    run = tmp_path / "Models" / "2026-01-31_12-00-00"
    run.mkdir(parents=True)
    for name in ("Checkpoint_Lowest_Loss.keras", "model.keras"):
        (run / name).touch()
    trained = {"contrast_range": (1, 99), "dark_background": False, "micrograph_scale": scale}
    (run / "options.json").write_text(json.dumps({"options": trained}))
    micrograph = tmp_path / "images" / "a.png"
    micrograph.parent.mkdir()
    write_image(micrograph, np.zeros((130, 140), np.uint8))
    measured = []

    def contrast(*arguments):
        measured.append(arguments)
        raise Enough

    monkeypatch.setattr(step, "UsualContrast", contrast)
    monkeypatch.setattr(step, "make_predictor", lambda *how, **options: None)
    with pytest.raises(Enough):
        step.segment_images(
            unet_dir=tmp_path,
            images_dir=micrograph.parent,
            output_dir=tmp_path / "masks",
            unet_model=None,
            whole_image=True,
            tile_height=64,
            tile_width=48,
            min_overlap=2,
            manage_overlap_mode=1,
            use_gpu_for_whole_image=False,
            average_flips=True,
            magnification=1.0,
            contrast_range=(1, 99),
            threshold=-1,
            watershed_lines=True,
            min_distance=9,
            image_crop=100,
            when_failed="stop",
        )
    ((files, image_crop, contrast_range, dark_background, parts),) = measured
    assert list(files) == [micrograph]
    assert (image_crop, contrast_range, dark_background) == (100, (1, 99), False)
    assert parts == tile

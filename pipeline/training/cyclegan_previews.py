"""What a CycleGAN makes of the test tiles: sheets to look at, and fakes to check."""

import numpy as np

from models.lean_networks import predict
from pipeline.image_files import list_images, read_image
from pipeline.training.preview_sheets import contact_sheet, outline_overlay
from pipeline.training_data.gan_images import (
    decode_mask,
    decode_micrograph,
    encode_mask,
    encode_micrograph,
)


def preview_sheets(model, data_dir, invert_images, in_unit_range):
    """Yield ("A-B-A", sheet) and ("B-A-B", sheet) of the first two test tiles.

    A row: tile | translated | translated back | outline of the mask over the darkened micrograph.
    """
    for side, files in (
        ("A-B-A", list_images(data_dir / "testA")[:2]),
        ("B-A-B", list_images(data_dir / "testB")[:2]),
    ):
        pictures = []
        for file in files:
            tile = read_image(file)
            if side == "A-B-A":
                fake = predict(model.gen_a, encode_micrograph(tile, invert_images)[None])
                again = predict(model.gen_b, fake)
                mask = decode_mask(fake[0], in_unit_range)
                overlay = outline_overlay(tile, mask)
                row = (tile, mask, decode_micrograph(again[0], invert_images), overlay)
            else:
                fake = predict(model.gen_b, encode_mask(tile, in_unit_range)[None])
                again = predict(model.gen_a, fake)
                micrograph = decode_micrograph(fake[0], invert_images)
                overlay = outline_overlay(micrograph, tile)
                row = (tile, micrograph, decode_mask(again[0], in_unit_range), overlay)
            pictures.extend(row)
        yield side, contact_sheet(pictures, 4)


def translate_test_tiles(model, data_dir, invert_images, in_unit_range):
    """Return the fake masks of testA, the fake micrographs of testB, and testB: uint8 (n, h, w)."""
    micrographs = [read_image(file) for file in list_images(data_dir / "testA")]
    masks = [read_image(file) for file in list_images(data_dir / "testB")]
    fake_masks = [
        decode_mask(
            predict(model.gen_a, encode_micrograph(tile, invert_images)[None])[0],
            in_unit_range,
        )
        for tile in micrographs
    ]
    fake_micrographs = [
        decode_micrograph(
            predict(model.gen_b, encode_mask(tile, in_unit_range)[None])[0], invert_images
        )
        for tile in masks
    ]
    return np.array(fake_masks), np.array(fake_micrographs), np.array(masks)

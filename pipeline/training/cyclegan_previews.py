"""What a CycleGAN makes of the test tiles: sheets to look at, and fakes to check."""

import numpy as np

from models.fast.lean_networks import predict
from pipeline.image_files import list_images, read_image
from pipeline.running.cyclegan_folders import TEST_MASKS, TEST_TILES
from pipeline.training.preview_sheets import contact_sheet, outline_overlay


def preview_sheets(model, cyclegan_dir, coding):
    """Yield ("A-B-A", sheet) and ("B-A-B", sheet) of the first two test tiles.

    A row: tile | translated | translated back | outline of the mask over the darkened micrograph.
    Tiles are shown with the values that the networks see, particles as bright as they are.
    """
    to_mask, to_micrograph = _translators(model, coding)
    pictures = []
    for file in list_images(cyclegan_dir / TEST_TILES)[:2]:
        encoded = coding.encode_micrograph(read_image(file))
        tile = coding.decode_micrograph(encoded)
        mask, fake = to_mask(encoded)
        pictures += [tile, mask, to_micrograph(fake)[0], outline_overlay(tile, mask)]
    yield "A-B-A", contact_sheet(pictures, 4)
    pictures = []
    for file in list_images(cyclegan_dir / TEST_MASKS)[:2]:
        encoded = coding.encode_mask(read_image(file))
        tile = coding.decode_mask(encoded)
        micrograph, fake = to_micrograph(encoded)
        pictures += [tile, micrograph, to_mask(fake)[0], outline_overlay(micrograph, tile)]
    yield "B-A-B", contact_sheet(pictures, 4)


def translate_test_tiles(model, cyclegan_dir, coding):
    """Return the fake masks of testA, the fake micrographs of testB, and testB: uint8 (n, h, w)."""
    to_mask, to_micrograph = _translators(model, coding)
    micrographs = [read_image(file) for file in list_images(cyclegan_dir / TEST_TILES)]
    masks = [read_image(file) for file in list_images(cyclegan_dir / TEST_MASKS)]
    fake_masks = [to_mask(coding.encode_micrograph(tile))[0] for tile in micrographs]
    fake_micrographs = [to_micrograph(coding.encode_mask(tile))[0] for tile in masks]
    return np.array(fake_masks), np.array(fake_micrographs), np.array(masks)


def _translators(model, coding):
    """Return ``to_mask`` and ``to_micrograph``: encoded tile -> (picture, what the other takes)."""

    def to_mask(tile):
        fake = predict(model.gen_a, tile[None])[0]
        return coding.decode_mask(fake), fake

    def to_micrograph(tile):
        fake = predict(model.gen_b, tile[None])[0]
        return coding.decode_micrograph(fake), fake

    return to_mask, to_micrograph

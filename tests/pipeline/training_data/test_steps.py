"""What the training steps feed their networks: arrays with known answers."""

import numpy as np
import pytest

from pipeline import train_cyclegan, train_unet, train_wgan
from pipeline.image_files import images_made_by, write_image
from pipeline.particles.grow_particles import centrality
from pipeline.training_data import cyclegan_images, unet_batches, unet_pairs
from pipeline.training_data.outline_sources import load_outlines

MASK, CENTRALITY = unet_pairs.Targets(), unet_pairs.Targets(centrality=True)


def test_outlines_are_padded_with_background_and_flipped(tmp_path):
    small, large = np.zeros((6, 4), np.uint8), np.zeros((10, 20), np.uint8)
    small[0, 0] = large[0, 0] = 255
    for name, mask in (("a.png", small), ("b.png", large)):
        write_image(tmp_path / name, mask)
    outlines = train_wgan.encode_outlines(load_outlines(tmp_path))
    assert outlines.shape == (8, 16, 32, 1)
    assert set(np.unique(outlines)) == {-1.0, 1.0}
    # 6 x 4 centred in 16 x 32 begins at (5, 14); its flips mirror the whole frame.
    for version, place in enumerate([(5, 14), (5, 17), (10, 14), (10, 17)]):
        assert [tuple(p) for p in np.argwhere(outlines[2 * version, ..., 0] > 0)] == [place]


def test_micrographs_and_masks_round_trip():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for flag in (False, True):
        coding = cyclegan_images.Coding(flag, flag)
        encoded = coding.encode_micrograph(image)
        assert encoded.min() == -1 and encoded.max() == 1 and encoded.dtype == np.float32
        np.testing.assert_array_equal(coding.decode_micrograph(encoded), image)
        mask = np.where(image > 99, np.uint8(255), np.uint8(0))
        encoded = coding.encode_mask(mask)
        assert set(np.unique(encoded)) == {0 if flag else -1, 1}
        np.testing.assert_array_equal(coding.decode_mask(encoded), mask)
        for same in (mask // 255, mask > 0, np.uint16(mask) * 100):  # from another program
            np.testing.assert_array_equal(coding.encode_mask(same), encoded)
    plain, inverted = (cyclegan_images.Coding(flag, False) for flag in (False, True))
    wide = plain.encode_micrograph(np.uint16(image) * 257)
    np.testing.assert_array_equal(wide, plain.encode_micrograph(image))
    assert inverted.encode_micrograph(image)[0, 0, 0] == 1.0


def test_learning_rate_is_constant_then_linear():
    factors = [train_cyclegan.linear_decay(epoch, 8, 0.75) for epoch in range(8)]
    assert factors == [1, 1, 1, 1, 1, 1, 1.0, 0.5]
    # 50 * 0.58 is 28.999... The first epoch of the decay begins with 1, too.
    for epochs, share, constant in ((50, 0.58, 29), (100, 0.29, 29), (8, 0.8, 6)):
        factors = [train_cyclegan.linear_decay(epoch, epochs, share) for epoch in range(epochs)]
        assert factors.count(1.0) == constant + 1


def test_unet_schedules():
    steps = train_unet._schedule(1e-3, "STEP_DECAY", 30)
    assert [steps(epoch) for epoch in (0, 9, 10, 20)] == [1e-3, 1e-3, 5e-4, 2.5e-4]
    linear = train_unet._schedule(1e-3, "LINEAR_DECAY", 4)
    assert [linear(epoch) for epoch in range(4)] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert train_unet._schedule(1e-3, 1e-4, 4)(3) == 1e-3


def test_flips_move_image_and_mask_alike():
    image = np.arange(12.0).reshape(3, 4, 1)
    expected = (image, image[:, ::-1], image[::-1], image[::-1, ::-1])
    for version, result in enumerate(expected):
        for flipped in unet_batches.flip((image, image), version):
            np.testing.assert_array_equal(flipped, result)


def test_brightness_and_contrast_vary_each_image_within_bounds():
    images = np.full((3, 8, 8, 1), 0.5, np.float32)
    images[:, :4] = 0.3
    varied = unet_batches.vary_brightness_and_contrast(images, np.random.default_rng(0))
    assert varied.shape == images.shape and varied.dtype == np.float32
    assert varied.min() >= 0 and varied.max() <= 1
    contrast = varied[:, 7, 0, 0] - varied[:, 0, 0, 0]
    assert np.all((contrast > 0.2 * 0.79) & (contrast < 0.2 * 1.21))
    assert len(set(contrast.round(6))) == 3


def test_the_particle_weight_is_background_over_particles(tmp_path):
    mask = np.zeros((10, 10), np.uint8)
    mask[:5, :4] = 255
    write_image(tmp_path / "a.tif", mask)
    assert unet_pairs.background_to_particles([(None, tmp_path / "a.tif")], MASK) == 4.0
    write_image(tmp_path / "a.tif", mask * 0)
    with pytest.raises(ValueError, match="hold no particle"):
        unet_pairs.background_to_particles([(None, tmp_path / "a.tif")], MASK)
    write_image(tmp_path / "a.tif", mask * 0 + 255)
    with pytest.raises(ValueError, match="hold no background"):
        unet_pairs.background_to_particles([(None, tmp_path / "a.tif")], MASK)


def test_the_target_is_the_mask_or_the_mask_and_the_centrality(tmp_path):
    labels = np.zeros((24, 30), np.uint16)
    labels[3:10, 3:10], labels[12:21, 5:25] = 1, 2
    write_image(tmp_path / "image.tif", np.arange(24 * 30, dtype=np.float32).reshape(24, 30))
    write_image(tmp_path / "mask.tif", np.uint8(255) * (labels > 0))
    write_image(tmp_path / "labels.tif", labels)
    image, dark = (
        unet_pairs.read_fake(tmp_path / "image.tif", None, dark_background)
        for dark_background in (True, False)
    )
    np.testing.assert_allclose(dark, 1 - image, atol=1e-6)
    mask = unet_pairs.read_target(tmp_path / "mask.tif", MASK)
    both = unet_pairs.read_target(tmp_path / "labels.tif", CENTRALITY)
    assert image.shape == (24, 30, 1) and image.dtype == np.float32
    assert mask.shape == (24, 30, 1) and both.shape == (24, 30, 2) and both.dtype == np.float32
    np.testing.assert_array_equal(both[..., :1], mask)
    np.testing.assert_array_equal(both[..., 1], centrality(labels))
    assert unet_pairs.background_to_particles(
        [(None, tmp_path / "labels.tif")], CENTRALITY
    ) == unet_pairs.background_to_particles([(None, tmp_path / "mask.tif")], MASK)


def test_of_a_mask_what_is_above_half_is_particle(tmp_path):
    """As in all masks: not the soft edge an image editor leaves. In a label map all but 0 is."""
    grey = np.zeros((8, 10), np.uint8)
    grey[2:6, 2:6], grey[3:5, 3:5] = 100, 200
    write_image(tmp_path / "mask.tif", grey)
    files = None, tmp_path / "mask.tif"
    mask = unet_pairs.read_target(tmp_path / "mask.tif", MASK)
    labels = unet_pairs.read_target(tmp_path / "mask.tif", CENTRALITY)
    np.testing.assert_array_equal(mask[..., 0], grey == 200)
    np.testing.assert_array_equal(labels[..., 0], grey > 0)
    assert unet_pairs.background_to_particles([files], MASK) == 76 / 4
    assert unet_pairs.background_to_particles([files], CENTRALITY) == 64 / 16


def test_training_needs_the_earlier_steps(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run step 4 \(translate_images\) first"):
        unet_pairs.training_pairs(tmp_path, MASK)
    with pytest.raises(FileNotFoundError, match=r"run step 0 \(prepare_images\) first"):
        images_made_by("step 0 (prepare_images)", tmp_path / "trainA")


def test_brightness_and_contrast_vary_by_up_to_a_fifth_each_by_itself():
    images = np.full((400, 4, 4, 1), 0.5, np.float32)
    images[:, :2] = 0.4
    varied = unet_batches.vary_brightness_and_contrast(images, np.random.default_rng(0))[..., 0]
    brightness = varied.mean(axis=(1, 2)) - 0.45
    contrast = (varied[:, 3, 0] - varied[:, 0, 0]) / 0.1 - 1
    for change in (brightness, contrast):
        assert change.min() == pytest.approx(-0.2, abs=0.01)
        assert change.max() == pytest.approx(0.2, abs=0.01)
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.15


def test_of_one_pair_nothing_can_be_learned(tmp_path):
    for name in ("A", "Synthetic_Masks_Filtered"):
        folder = tmp_path / "generate_images" / name
        folder.mkdir(parents=True)
        write_image(folder / "0.tif", np.eye(8, dtype=np.uint8))
    with pytest.raises(ValueError, match="holds 1 image; at least 2 are needed"):
        unet_pairs.training_pairs(tmp_path, MASK)

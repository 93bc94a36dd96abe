"""Intensities: ranges with known answers, constant images, integers of 32 bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pipeline.intensities import (
    as_unet_sees,
    clip_contrast,
    clip_spikes,
    describe_unclipped,
    is_flat,
    normalise,
    stretch_to_uint8,
)

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)


def test_normalise_maps_minimum_and_maximum():
    image = np.array([[10, 20], [30, 50]], np.uint8)
    np.testing.assert_allclose(normalise(image), [[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(normalise(image, -1, 1), [[-1, -0.5], [0, 1]])
    assert normalise(image).dtype == np.float32
    assert image.tolist() == [[10, 20], [30, 50]]


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_image_gives_low(value):
    image = np.full((3, 4), value, np.uint8)
    np.testing.assert_array_equal(normalise(image, -1.0, 1.0), np.full((3, 4), -1.0))
    np.testing.assert_array_equal(stretch_to_uint8(image), 0)


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("contrast_range", [None, (0.5, 99.5)])
def test_a_constant_image_shows_no_particle(dark_background, contrast_range):
    seen = as_unet_sees(np.full((3, 4), 100, np.uint8), contrast_range, dark_background)
    np.testing.assert_array_equal(seen, np.zeros((3, 4), np.float32))


def test_32_bit_integers_keep_their_last_bits():
    # As float32 these four would be two.
    image = 2**31 + np.array([0, 1, 2, 3], np.uint32)
    np.testing.assert_allclose(normalise(image), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(
        clip_contrast(image, (0.5, 99.5)) - 2.0**31, [0.015, 1, 2, 2.985], atol=1e-6
    )


def test_signed_integers_do_not_wrap():
    np.testing.assert_allclose(normalise(np.array([-32768, 0, 32767], np.int16)), [0, 0.5, 1], 1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_floats_do_not_overflow(dtype):
    limits = np.finfo(dtype)
    np.testing.assert_allclose(normalise(np.array([limits.min, 0, limits.max])), [0, 0.5, 1])


@given(
    arrays(np.float32, array_shapes(max_dims=2), elements=FLOATS),
    st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]),
)
def test_normalised_values_stay_between_low_and_high(image, limits):
    normalised = normalise(image, *limits)
    assert normalised.min() == limits[0]
    assert normalised.max() == (limits[1] if np.ptp(image.astype(float)) > 0 else limits[0])


def test_contrast_is_clipped_to_the_percentiles():
    image = np.arange(101, dtype=np.uint8)  # percentile p is p
    np.testing.assert_array_equal(clip_contrast(image, (5, 90)), np.clip(np.arange(101), 5, 90))
    assert clip_contrast(image, (5, 90)).dtype == np.float32


@pytest.mark.parametrize("contrast_range", [None, (0, 100), (0, 90), (5, 100)])
def test_contrast_is_left_alone_unless_both_ends_are_inside(contrast_range):
    image = np.arange(101, dtype=np.uint16)
    np.testing.assert_array_equal(clip_contrast(image, contrast_range), image)


@pytest.mark.parametrize("contrast_range", [(90, 5), (50, 50), (-1, 50), (5, 101)])
def test_impossible_percentiles(contrast_range):
    with pytest.raises(ValueError, match="two percentiles in increasing order between 0 and 100"):
        clip_contrast(np.arange(10), contrast_range)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
def test_stretch_uses_all_of_8_bit(dtype):
    image = np.linspace(1, 101, 256).astype(dtype) if dtype == np.float32 else np.arange(90, 346)
    if dtype == np.uint8:
        image = np.arange(256)
    np.testing.assert_array_equal(stretch_to_uint8(image.astype(dtype)), np.arange(256))


def micrograph_of_a_camera(seed: int = 0) -> np.ndarray:
    """Background of 2000 with noise, a particle of 400 more; one pixel in 10,000 may be a spike."""
    image = np.random.default_rng(seed).normal(2000, 60, (200, 250))
    image[50:90, 60:110] += 400
    return np.rint(image)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("spike", [60000, -20000])
def test_a_spike_does_not_take_the_contrast(dtype, spike):
    if spike < 0 and dtype == np.uint16:
        spike = 0  # a dead pixel
    image = micrograph_of_a_camera()
    expected = stretch_to_uint8(image)
    image[120, 130:132] = 2000, spike
    image[199, 0] = spike  # in a corner, which the median's border repeats
    clipped = clip_spikes(image.astype(dtype))
    assert clipped.dtype == dtype
    # As dark or bright as the image is elsewhere; and all else as if there had been no spike.
    difference = np.abs(stretch_to_uint8(clipped).astype(int) - expected)
    assert np.count_nonzero(difference) <= 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_without_spikes_an_image_is_returned_as_it_is(dtype):
    random = np.random.default_rng(0)
    noise = (micrograph_of_a_camera() / 12).astype(dtype)  # up to 210
    dots = noise.copy()
    dots[10:13, 10:15] = 255  # as small as a particle gets
    salt = np.where(random.random(noise.shape) < 0.01, 255, 60).astype(
        dtype
    )  # no defects: too many
    for image in (noise, dots, salt, np.full_like(noise, 7)):
        assert clip_spikes(image) is image


@pytest.mark.parametrize("size", [4, 5, 12])
def test_what_is_larger_than_a_spike_is_none(size):
    """In an image of faint noise, of ``size`` x ``size`` pixels."""
    image = (micrograph_of_a_camera() / 10).astype(np.uint16)
    image[30 : 30 + size, 30 : 30 + size] = 60000
    assert clip_spikes(image) is image


@pytest.mark.parametrize("contrast_range", [None, (0, 100), (0, 99.5), (0.5, 100)])
@pytest.mark.parametrize("dark_background", [True, False])
def test_hot_pixels_leave_the_contrast_to_the_unet_where_no_range_does(
    contrast_range, dark_background
):
    image = micrograph_of_a_camera().astype(np.uint16)
    hot = image.copy()
    hot[30, 40] = 60000
    expected, found = (as_unet_sees(one, contrast_range, dark_background) for one in (image, hot))
    assert np.count_nonzero(expected != found) <= 1
    bounds = (0, 1) if dark_background else (1, 0)
    np.testing.assert_array_equal(expected, normalise(image, *bounds))


def test_a_contrast_range_that_clips_nothing_is_described():
    assert describe_unclipped((0.5, 99.5)) is None
    for contrast_range in ((0, 99.5), (0.5, 100), [0, 100]):
        words = describe_unclipped(contrast_range)
        assert f"the contrast range {tuple(contrast_range)} has no effect" in words
        assert "as one end is 0 or 100: choose both between them" in words
        image = np.arange(100).reshape(10, 10)
        assert clip_contrast(image, contrast_range) is image


RAMP = np.tile(np.linspace(1000, 2000, 100), (100, 1))  # 10,000 pixels


def with_pixels(value, number, dtype):
    image = RAMP.astype(dtype)
    image[10 : 10 + 9 * number : 9, 50] = value
    return image


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize(
    ("value", "clipped"), [(3000, False), (4900, False), (5100, True), (60000, True)]
)
def test_spikes_are_farther_out_than_three_times_the_range_of_the_others(value, clipped, dtype):
    image = with_pixels(value, 1, dtype)
    expected = 2000 if clipped else value
    assert clip_spikes(image).max() == expected
    assert (clip_spikes(image) is image) != clipped


@pytest.mark.parametrize(("value", "clipped"), [(-1900, False), (-2100, True)])
def test_dark_spikes_are_as_far_out_on_the_other_side(value, clipped):
    image = with_pixels(value, 1, np.int32)
    assert clip_spikes(image).min() == (1000 if clipped else value)


def test_more_than_one_in_ten_thousand_pixels_are_no_spikes():
    assert clip_spikes(with_pixels(60000, 1, np.uint16)).max() == 2000
    two = with_pixels(60000, 2, np.uint16)
    assert clip_spikes(two) is two
    for size in (99, 30):  # but one may always be
        assert clip_spikes(with_pixels(60000, 1, np.uint16)[:size, 20:]).max() <= 2000


def test_a_single_pixel_tells_nothing_and_a_small_particle_does():
    probability = np.full((40, 40), 0.4, np.float32)
    probability[5, 5] = 0.8
    assert is_flat(probability)
    probability[5:8, 5:8] = 0.8
    assert not is_flat(probability)

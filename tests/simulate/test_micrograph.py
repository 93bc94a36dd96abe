import numpy as np
import pytest

from simulate.micrograph import contact_shadow, expose, make_emission, make_substrate, smooth_noise

USUAL = {"background": 0.4, "texture": 1.0, "gradient": 0.2, "defocus": 0.8, "dose": 90.0}


def dome(radius=15, size=41):
    y, x = np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]
    return np.sqrt(np.clip(radius**2 - y**2 - x**2, 0, None))


def exposed(surface, emission, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return expose(rng, surface, emission, **(USUAL | changes))


def test_noise_has_the_mean_deviation_and_correlation_asked_for():
    noise = smooth_noise(np.random.default_rng(0), (200, 200), 5)
    assert noise.mean() == pytest.approx(0, abs=1e-9)
    assert noise.std() == pytest.approx(1)
    # Blurring white noise with sigma s correlates pixels d apart by exp(-d**2 / (4 s**2)).
    assert np.mean(noise[:, 5:] * noise[:, :-5]) == pytest.approx(np.exp(-0.25), abs=0.08)


def test_edges_of_a_particle_are_brighter_than_its_top():
    emission = make_emission(np.random.default_rng(0), dome(), edge_effect=1.0)
    plain = make_emission(np.random.default_rng(0), dome(), edge_effect=0.0)
    top = np.s_[17:24, 17:24]
    rim = (dome() > 0) & (dome() < 7)
    assert emission[rim].mean() > 1.3 * emission[top].mean()
    assert plain[rim].mean() == pytest.approx(plain[top].mean(), rel=0.1)


def test_the_side_towards_the_detector_is_brighter():
    emission = make_emission(np.random.default_rng(0), dome(), edge_effect=0.0)
    assert emission[10:16, 10:16].mean() > 1.15 * emission[25:31, 25:31].mean()


def test_substrate_is_flat_without_texture():
    assert (make_substrate(np.random.default_rng(0), (50, 60), 0.0) == 1).all()
    textured = make_substrate(np.random.default_rng(0), (300, 300), 1.0)
    assert textured.mean() == pytest.approx(1, abs=0.1)
    assert 0.08 < textured.std() < 0.4


def test_crevices_are_darker_than_open_ground():
    surface = np.zeros((120, 120))
    surface[:, :57] = surface[:, 62:] = 15.0  # two walls, a gap of five pixels
    emission = np.where(surface > 0, 1.0, 0.0)
    open_ground = np.zeros((120, 120))
    crevice = exposed(surface, emission)[20:100, 58:61].mean()
    assert crevice < 0.85 * exposed(open_ground, open_ground)[20:100, 58:61].mean()


def test_contact_shadow_fades_within_a_few_pixels():
    above = np.zeros((21, 21), bool)
    above[:, :5] = True
    shade = contact_shadow(above)[10]
    assert shade[5] == pytest.approx(0.4, abs=0.02)
    assert (np.diff(shade[5:]) > 0).all()
    assert shade[15] > 0.98


def test_noise_follows_the_dose_and_blur_the_defocus():
    flat = np.zeros((200, 200))
    still = {"texture": 0.0, "gradient": 0.0}
    noise = {dose: exposed(flat, flat, dose=dose, **still).std() for dose in (20.0, 80.0)}
    assert 1.6 < noise[20.0] / noise[80.0] < 2.1  # 2, less what the amplifier adds
    step = np.zeros((100, 100))
    step[:, 50:] = 1.0
    widths = []
    for defocus in (0.5, 3.0):
        profile = exposed(step * 0, step, dose=1e9, defocus=defocus, **still).mean(axis=0)
        scaled = (profile - profile[40]) / (profile[60] - profile[40])
        widths.append(np.count_nonzero((scaled[41:60] > 0.1) & (scaled[41:60] < 0.9)))
    assert widths[1] > widths[0] + 2


def test_brightness_changes_across_the_image_with_the_gradient():
    flat = np.zeros((200, 200))

    def range_of_corners(gradient):
        image = exposed(flat, flat, texture=0.0, gradient=gradient)
        corners = [image[rows, columns].mean() for rows in BOTH for columns in BOTH]
        return max(corners) - min(corners)

    BOTH = (slice(0, 40), slice(-40, None))
    assert range_of_corners(0.0) < 0.01
    assert range_of_corners(0.4) > 0.04
    assert exposed(flat, flat).min() >= 0 and exposed(flat, flat + 9.0).max() <= 1

"""Fidelity of a fake micrograph to its mask: what it is where the answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.files.csv_tables import write_table
from pipeline.training_data import pair_fidelity
from pipeline.training_data.pair_fidelity import describe_fidelity, faithful_pairs, measure_fidelity

SQUARE, OTHER = np.s_[10:30, 10:30], np.s_[10:30, 40:60]


def draw(*places, background=40, particle=180) -> np.ndarray:
    """Return a noisy fake micrograph with particles at some places, uint8."""
    image = np.random.default_rng(0).normal(background, 3, (50, 70))
    for place in places:
        image[place] += particle - background
    return np.clip(image, 0, 255).astype(np.uint8)


def label_map(*places) -> np.ndarray:
    labels = np.zeros((50, 70), np.uint16)
    for number, place in enumerate(places, start=1):
        labels[place] = number
    return labels


@pytest.mark.parametrize(
    ("wanted", "shown", "fidelity"),
    [
        ([SQUARE], [SQUARE], 1.0),
        ([SQUARE, OTHER], [SQUARE, OTHER], 1.0),
        ([SQUARE, OTHER], [SQUARE], 0.5),  # one is left out
        ([SQUARE], [SQUARE, OTHER], 0.5),  # one is invented
        ([SQUARE], [OTHER], 0.0),
    ],
)
def test_particles_that_fit_over_all_that_are_drawn_or_wanted(wanted, shown, fidelity):
    found = measure_fidelity(label_map(*wanted), draw(*shown), dark_background=True)
    assert found == pytest.approx(fidelity, abs=0.08)
    inverted = 255 - draw(*shown)
    assert measure_fidelity(label_map(*wanted), inverted, dark_background=False) == (
        pytest.approx(fidelity, abs=0.08)
    )


def test_inverted_contrast_is_unfaithful():
    inverted = 255 - draw(SQUARE)
    # All is shown then, as what looks like a hole is filled: 400 of 3500 pixels are wanted.
    assert measure_fidelity(label_map(SQUARE), inverted, dark_background=True) < 0.15


@pytest.mark.parametrize("dark_background", [True, False])
def test_a_single_particle_is_faithful_where_it_is_shown(dark_background):
    image = np.random.default_rng(0).normal(60, 8, (200, 200))
    labels = np.zeros(image.shape, np.uint16)
    labels[90:110, 90:110] = 1
    for shown, fidelity in ((labels > 0, 1.0), (np.zeros_like(labels, bool), 0.0)):
        fake = np.clip(np.rint(image + 80 * shown), 0, 255).astype(np.uint8)
        fake = fake if dark_background else 255 - fake
        found = measure_fidelity(labels, fake, dark_background)
        assert found == pytest.approx(fidelity, abs=0.08)


def test_a_fake_of_16_bit_is_measured_as_it_is_learned_from():
    fake = draw(SQUARE).astype(np.uint16) * 257
    assert measure_fidelity(label_map(SQUARE), fake, True) == pytest.approx(1, abs=0.08)


def test_the_gap_between_touching_particles_is_no_error():
    left, right = np.s_[10:30, 10:29], np.s_[10:30, 31:50]
    found = measure_fidelity(label_map(left, right), draw(np.s_[10:30, 10:50]), True)
    assert found == pytest.approx(1.0, abs=0.08)


def test_a_mask_without_a_particle_has_no_fidelity():
    assert math.isnan(measure_fidelity(label_map(), draw(), dark_background=True))


@pytest.mark.parametrize(("mean", "warned"), [(0.95, False), (0.5, False), (0.41, True)])
def test_unfaithful_pairs_are_put_into_words(mean, warned):
    problem = describe_fidelity(mean)
    assert (problem is not None) == warned
    if warned:
        assert "mean fidelity 0.41 of 1" in problem


def test_unfaithful_pairs_are_left_out_if_asked_for(tmp_path, caplog):
    pairs = [(Path(f"A/{name}.tif"), Path(f"Labels/{name}.tif")) for name in "abcd"]
    assert faithful_pairs(pairs, tmp_path, 0.0) == pairs
    with pytest.raises(FileNotFoundError, match=r"fidelity of a.tif.* run step 5 \(filter_masks\)"):
        faithful_pairs(pairs, tmp_path, 0.5)
    rows = [("a.tif", 0.4), ("b.tif", 0.5), ("c.tif", float("nan")), ("d.tif", 0.9)]
    (tmp_path / "generate_images").mkdir()
    write_table(tmp_path / "generate_images" / "pairs.csv", ["mask", "fidelity"], rows)
    caplog.set_level("INFO")
    assert faithful_pairs(pairs, tmp_path, 0.5) == pairs[1:]
    assert "3 of 4 pairs have a fidelity of 0.5" in caplog.text
    with pytest.raises(ValueError, match=r"^1 of 2 pairs .*at least 2 are needed.*MATCH_SCENES"):
        faithful_pairs([pairs[0], pairs[3]], tmp_path, 0.5)


def square(side):
    mask = np.zeros((60, 60), bool)
    start = 30 - side // 2
    mask[start : start + side, start : start + side] = True
    return mask


@pytest.mark.parametrize(
    ("shown", "fidelity"),
    [(20, 1), (18, 1), (22, 1), (16, 16**2 / 18**2), (24, 20**2 / (20**2 + 24**2 - 22**2))],
)
def test_edges_may_lie_a_pixel_further_in_or_out(monkeypatch, shown, fidelity):
    monkeypatch.setattr(
        pair_fidelity, "foreground_of_micrograph", lambda image, dark_background: image > 0
    )
    micrograph = square(shown).astype(np.uint8)
    assert measure_fidelity(square(20), micrograph, True) == pytest.approx(fidelity)


def test_a_hole_in_a_particle_is_no_particle():
    labels = np.zeros((60, 70), np.uint16)
    labels[10:40, 10:40] = 1
    labels[16:34, 16:34] = 0
    micrograph = np.random.default_rng(0).normal(40, 3, labels.shape) + 140 * (labels > 0)
    assert measure_fidelity(labels, micrograph.astype(np.uint8), True) == pytest.approx(1, abs=0.05)

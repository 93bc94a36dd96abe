"""What is said of simulated masks beside micrographs."""

import json

import numpy as np
import pytest

from pipeline.image_files import read_image, write_image
from pipeline.training_data import scene_comparison
from pipeline.training_data.scene_comparison import report_match
from pipeline.training_data.scenes import Scene, measure_labels
from pipeline.training_data.scenes_of_micrographs import Micrographs
from pipeline.training_data.single_particles import Singles, joined


def square(side):
    labels = np.zeros((64, 64), np.uint16)
    labels[10 : 10 + side, 10 : 10 + side] = 1
    return labels


def singles(*diameters):
    return Singles(np.array(diameters), *np.ones((2, len(diameters))))


def micrographs(scenes):
    return Micrographs(scenes, joined([scene.singles for scene in scenes]))


@pytest.fixture
def label_maps(tmp_path):
    paths = [tmp_path / f"{index}.tif" for index in range(8)]
    for index, path in enumerate(paths):
        write_image(path, square(20 + index))
    return paths


@pytest.mark.parametrize(("others", "warned"), [(0, False), (3, False), (4, True), (8, True)])
def test_masks_far_from_the_micrographs_are_warned_of(label_maps, tmp_path, caplog, others, warned):
    scenes = [measure_labels(read_image(path)) for path in label_maps]
    # Of so many of eight tiles three quarters are covered.
    scenes[:others] = [Scene(0.75, 60.0, singles(40.0))] * others
    report_match(tmp_path / "scenes", micrographs(scenes), label_maps, 1.0, False)
    assert ("the simulated masks do not look like the micrographs" in caplog.text) == warned
    assert (str(tmp_path / "scenes.png") in caplog.text) == warned
    found = json.loads((tmp_path / "scenes.json").read_text())
    assert found["coverage_ks_distance"] == pytest.approx(others / 8)


def test_sizes_of_micrographs_and_masks_are_told_apart(label_maps, tmp_path):
    scenes = [Scene(0.2, 50.0, singles(30.0, 40.0, 44.0))]
    report_match(tmp_path / "scenes", micrographs(scenes), label_maps, 1.0, False)
    found = json.loads((tmp_path / "scenes.json").read_text())
    assert found["d50_single_micrographs_px"] == 40
    # Larger ones count a little more, as the edge cuts more of them.
    assert found["d50_single_simulated_px"] == pytest.approx(23.8 * 2 / np.sqrt(np.pi), rel=0.01)
    assert (found["single_particles_micrographs"], found["single_particles_simulated"]) == (3, 8)
    assert found["chord_micrographs_px"] == 50
    assert found["coverage_micrographs"] == pytest.approx(0.2)


def test_sizes_are_those_in_the_micrographs_own_pixels(label_maps, tmp_path, caplog):
    caplog.set_level("INFO")
    found = {}
    for scale in (1.0, 0.5):
        scenes = [Scene(0.2, 50.0, singles(30.0, 40.0, 44.0))]
        report_match(tmp_path / "scenes", micrographs(scenes), label_maps, scale, False)
        found[scale] = json.loads((tmp_path / "scenes.json").read_text())
    assert "in pixels: 80.0 (of 3) and 53.9 (of 8)" in caplog.text
    for name, value in found[1.0].items():
        assert found[0.5][name] == pytest.approx(value * (2 if name.endswith("_px") else 1))


@pytest.mark.parametrize(
    ("wanted", "matched", "warned"), [(0.3, True, True), (0.3, False, False), (0.14, True, False)]
)
def test_masks_without_room_for_what_they_are_to_cover_are_warned_of(
    label_maps, tmp_path, caplog, wanted, matched, warned
):
    scenes = [Scene(wanted, 50.0, singles(30.0))] * 3  # the masks cover 0.10 to 0.18
    report_match(tmp_path / "scenes", micrographs(scenes), label_maps, 1.0, matched)
    words = "8 of 8 simulated masks cover less than the micrographs' tiles, since no more particles"
    assert (words in caplog.text) == warned


def test_of_few_large_particles_as_many_masks_cover_too_much_as_too_little(
    label_maps, tmp_path, caplog
):
    scenes = [Scene(share, 50.0, singles(30.0)) for share in (0.02, 0.26)]
    report_match(tmp_path / "scenes", micrographs(scenes), label_maps, 1.0, True)
    assert "find room" not in caplog.text


def test_of_very_many_masks_some_of_the_whole_series_are_compared(
    label_maps, tmp_path, monkeypatch
):
    monkeypatch.setattr(scene_comparison, "MOST_MASKS", 3)
    label_maps[1].unlink()
    scenes = [Scene(0.2, 50.0, singles(30.0))]
    report_match(tmp_path / "scenes", micrographs(scenes), label_maps, 1.0, True)
    found = json.loads((tmp_path / "scenes.json").read_text())
    assert found["single_particles_simulated"] == 3
    sides = np.array([20, 23, 27])
    assert found["coverage_simulated"] == pytest.approx(np.mean(sides**2) / 64**2)

"""Step 2 on a stand-in for the WGAN that draws ellipses."""

import json
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from skimage.draw import disk, ellipse

from models import wgan_gp
from pipeline import inference
from pipeline.files.records import write_json
from pipeline.image_files import list_images, read_image, write_image
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.worker_processes import ITEMS_AT_A_TIME, run_in_processes
from pipeline.simulate_masks import simulate_masks
from pipeline.training_data import mask_simulation
from pipeline.training_data.outline_doubts import warn_of_other_size
from pipeline.training_data.single_particles import Singles, write_singles
from simulate.mask_image import random_generator, simulate_label_map
from simulate.outlines import SCALING, prepare_library, prepare_particle

OPTIONS = {
    "invert_masks": False,
    "micrograph_scale": 1.0,
    "outline_source": "wgan",
    "wgan_model": None,
    "num_masks": 4,
    "tile_height": 64,
    "tile_width": 80,
    "grid_type": "HEXAGONAL",
    "grid_spacing_factor": 0.25,
    "grid_noise_factor": 0.05,
    "min_no_of_particles": 100,
    "max_no_of_particles": 150,
    "use_perlin_noise": True,
    "perlin_noise_threshold": 0.5,
    "perlin_noise_frequency": 4,
    "use_normal_distribution": True,
    "scaling_mu": 1.0,
    "scaling_sigma": 0.1,
    "min_scaling": 0.75,
    "max_scaling": 1.25,
    "use_random_rotation": "DISABLE",
    "smoothing": "SQUARE",
    "max_overlap": 0.5,
    "match_scenes": False,
    "dark_background": True,
    "seed": 3,
    "when_failed": "stop",
}


def draw_ellipses(_, latent):
    """Return an ellipse for each latent vector (a, b): uint8 (n, 32, 32)."""
    outlines = np.zeros((len(latent), 32, 32), np.uint8)
    for outline, (a, b) in zip(outlines, latent, strict=True):
        outline[ellipse(16, 16, 10 + 2 * np.tanh(a), 10 + 2 * np.tanh(b))] = 255
    return outlines


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the step in a folder with a stand-in for a trained WGAN."""
    model = tmp_path / "1_WGAN" / "Models" / "2026-01-31_12-00-00" / "model.keras"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"a model")
    generator = SimpleNamespace(input_shape=(None, 2))

    def load_network(path, use_gpu):
        assert not use_gpu  # of which another program may have taken the memory
        return generator

    monkeypatch.setattr(inference, "load_network", load_network)
    monkeypatch.setattr(wgan_gp, "sample_outlines", draw_ellipses)
    monkeypatch.setattr("simulate.outlines.LIBRARY_SIZE", 256)

    def run(**changes):
        options = OPTIONS | changes
        simulate_masks(
            wgan_dir=tmp_path / "1_WGAN",
            cyclegan_dir=tmp_path / "2_CycleGAN",
            masks_dir=tmp_path / "Input_Masks",
            **options,
        )
        return tmp_path / "2_CycleGAN" / "data"

    return run


def write_tile(folder, radius):
    """Write a tile of step 0 with one bright disk."""
    tiles = folder / "2_CycleGAN" / "data" / "trainA"
    tiles.mkdir(parents=True)
    tile = np.random.default_rng(0).normal(60, 4, (96, 128))
    tile[disk((40, 60), radius)] = 180
    write_image(tiles / "0.tif", tile.astype(np.uint8))


def names(folder):
    return [path.name for path in list_images(folder)]


def test_masks_label_maps_and_test_masks_are_written_and_agree(run):
    data = run(num_masks=7)
    expected = [f"{index:05d}.tif" for index in range(7)]
    assert names(data / "trainB") == names(data / "labelsB") == expected
    assert names(data / "testB") == expected[:5]
    covered = []
    for name in expected:
        mask, labels = read_image(data / "trainB" / name), read_image(data / "labelsB" / name)
        assert (mask.shape, mask.dtype) == ((64, 80), np.uint8)
        assert labels.dtype == np.uint16
        assert np.unique(labels).tolist() == list(range(labels.max() + 1))
        np.testing.assert_array_equal(mask, np.where(labels > 0, 255, 0))
        covered.append((labels > 0).mean())
    assert 0.05 < np.mean(covered) < 0.95
    np.testing.assert_array_equal(
        read_image(data / "testB" / expected[2]), read_image(data / "trainB" / expected[2])
    )


def test_there_are_as_many_as_real_tiles(run, tmp_path):
    tiles = tmp_path / "2_CycleGAN" / "data" / "trainA"
    tiles.mkdir(parents=True)
    for index in range(6):
        write_image(tiles / f"tile-{index}.png", np.zeros((8, 8), np.uint8))
    assert len(names(run() / "trainB")) == 6


def test_the_same_options_give_the_same_bytes_and_another_seed_others(run):
    data = run()
    files = sorted([*(data / "trainB").glob("*.tif"), *(data / "labelsB").glob("*.tif")])
    first = [path.read_bytes() for path in files]
    for change in ({"seed": 4}, {"perlin_noise_threshold": 0.3}):
        run(**change)
        assert [path.read_bytes() for path in files] != first
    run()
    assert [path.read_bytes() for path in files] == first


def test_masks_match_the_micrographs_where_they_are_to(run, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("pipeline.training_data.match_scenes.FREQUENCY_SAMPLE", 10)
    monkeypatch.setattr("pipeline.training_data.match_scenes.SCALE_SAMPLE", 40)
    tiles = tmp_path / "2_CycleGAN" / "data" / "trainA"
    tiles.mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(12):
        # Disks, some of them close together, on 3 to 30 % of the tile.
        tile = random.normal(60, 4, (96, 128))
        for _ in range(2 + 2 * index):
            tile[disk(random.uniform((8, 8), (88, 120)), 6.5, shape=tile.shape)] = 180
        write_image(tiles / f"{index}.tif", tile.astype(np.uint8))
    options = {"match_scenes": True, "num_masks": 30, "tile_height": 96, "tile_width": 128}
    with caplog.at_level("INFO"):
        data = run(**options)
    found = json.loads((data / "scenes.json").read_text())
    assert found["coverage_ks_distance"] < 0.2  # of 12 tiles and 30 masks
    ratio = found["d50_single_simulated_px"] / found["d50_single_micrographs_px"]
    assert 0.85 < ratio < 1.15
    assert "scaling_mu matched to the micrographs" in caplog.text
    assert (
        "so perlin_noise_threshold, min_no_of_particles and max_no_of_particles have no effect"
        in caplog.text
    )
    assert read_image(data / "scenes.png").size
    masks = {path.name: path.read_bytes() for path in (data / "trainB").glob("*.tif")}
    (data / "trainB" / "00003.tif").unlink()
    kept = data / "trainB" / "00004.tif"
    time = kept.stat().st_mtime_ns
    without_effect = {"perlin_noise_threshold": 0.3, "max_no_of_particles": 300}
    run(**options, **without_effect)
    assert kept.stat().st_mtime_ns == time
    assert {path.name: path.read_bytes() for path in (data / "trainB").glob("*.tif")} == masks
    # Once step 0 has noted single particles all over the micrographs, these count: larger ones.
    noted = Singles(np.full(30, 22.0), np.ones(30), np.full(30, 0.97))
    write_singles(data / "single_particles.csv", {"a.tif": noted})
    run(**options)
    larger = json.loads((data / "scenes.json").read_text())
    assert larger["d50_single_micrographs_px"] == 22
    assert 18 < larger["d50_single_simulated_px"] < 26
    assert larger["d50_single_simulated_px"] > 1.2 * found["d50_single_simulated_px"]


def test_nothing_to_match_is_an_error(run, tmp_path):
    tiles = tmp_path / "2_CycleGAN" / "data" / "trainA"
    tiles.mkdir(parents=True)
    for index in range(3):
        write_image(tiles / f"{index}.tif", np.full((96, 128), 60, np.uint8))
    with pytest.raises(ValueError, match=r"hold no particle. That is .* DARK_BACKGROUND is right"):
        run(match_scenes=True)
    assert names(tmp_path / "2_CycleGAN" / "data" / "trainB") == []


def test_matching_needs_tiles(run):
    with pytest.raises(FileNotFoundError, match=r"run step 0 .*MATCH_SCENES = False"):
        run(match_scenes=True)


def test_goes_on_where_it_was_stopped(run):
    data = run()
    kept, lost, halfway = (data / "trainB" / f"{index:05d}.tif" for index in (0, 1, 2))
    before = {path: path.read_bytes() for path in (kept, lost, halfway)}
    time = kept.stat().st_mtime_ns
    lost.unlink()
    (data / "labelsB" / halfway.name).unlink()
    run()
    assert {path: path.read_bytes() for path in before} == before
    assert kept.stat().st_mtime_ns == time
    assert names(data / "labelsB") == names(data / "trainB")


def test_a_mask_corrected_by_hand_stays_when_its_label_map_is_gone(run):
    data = run()
    corrected, labels = data / "trainB" / "00001.tif", data / "labelsB" / "00001.tif"
    before = labels.read_bytes()
    mask = 255 - read_image(corrected)
    write_image(corrected, mask)
    labels.unlink()
    run()
    np.testing.assert_array_equal(read_image(corrected), mask)
    assert labels.read_bytes() == before


def test_a_label_map_corrected_by_hand_stays_when_its_mask_is_gone(run):
    data = run()
    mask, corrected = data / "trainB" / "00001.tif", data / "labelsB" / "00001.tif"
    labels = np.where(read_image(corrected) == 1, 0, read_image(corrected))
    write_image(corrected, labels)
    mask.unlink()
    run()
    np.testing.assert_array_equal(read_image(corrected), labels)
    np.testing.assert_array_equal(read_image(mask) > 0, labels > 0)


def test_several_processes_give_the_same_as_one():
    scaling = {name: OPTIONS[name] for name in SCALING}
    outlines = draw_ellipses(None, np.zeros((2, 2)))
    rng = random_generator(0, mask_simulation.LIBRARY_STREAM)
    library = [prepare_library(rng, outlines, "DISABLE", **scaling)[0][:50]]
    simulate = partial(
        simulate_label_map,
        library,
        0,
        image_shape=(64, 64),
        outline_shape=(32, 32),
        largest_scale=1.3,
        **{name: OPTIONS[name] for name in mask_simulation.ARRANGEMENT},
    )
    indices = range(6 * ITEMS_AT_A_TIME + 2)  # more than are worked on ahead
    for one, two in zip(
        run_in_processes(simulate, indices, 1), run_in_processes(simulate, indices, 2), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_missing_model_names_the_step_that_makes_it(run):
    with pytest.raises(FileNotFoundError, match="2020-01-01"):
        run(wgan_model="2020-01-01_00-00-00")


def test_missing_wgan_names_the_step_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"step 1 \(train_wgan\)"):
        simulate_masks(wgan_dir=tmp_path, cyclegan_dir=tmp_path, masks_dir=tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid_type": "SQUARE"}, ["grid_type is 'SQUARE'", '"CUBIC"', "allowed"]),
        ({"use_random_rotation": True}, ["use_random_rotation is True", '"PERLIN"', "allowed"]),
        ({"max_overlap": 1.5}, ["max_overlap is 1.5", "allowed"]),
        ({"perlin_noise_threshold": -0.1}, ["perlin_noise_threshold is -0.1", "allowed"]),
        ({"perlin_noise_frequency": 0}, ["perlin_noise_frequency is 0", "allowed"]),
        ({"grid_spacing_factor": 0}, ["grid_spacing_factor is 0", "allowed"]),
        ({"grid_noise_factor": -1}, ["grid_noise_factor is -1", "allowed"]),
        ({"min_no_of_particles": 200}, ["min_no_of_particles is 200", "max_no_of_particles"]),
        ({"min_scaling": 2}, ["min_scaling is 2", "max_scaling"]),
        ({"scaling_sigma": 0.4}, ["scaling_sigma is 0.4", "scaling_mu"]),
        ({"num_masks": 0}, ["num_masks is 0", "allowed"]),
    ],
)
def test_options_out_of_range_are_errors(run, changes, words):
    with pytest.raises(ValueError, match="simulate_masks") as error:
        run(**changes)
    assert all(word in str(error.value) for word in words)


def test_wgan_that_draws_no_particles_is_an_error(run, monkeypatch):
    monkeypatch.setattr(
        wgan_gp,
        "sample_outlines",
        lambda _, latent: np.zeros((len(latent), 32, 32), np.uint8),
    )
    with pytest.raises(ValueError, match=r"None of 512 outlines .*\(WGAN_EPOCHS\)") as error:
        run()
    assert "1_WGAN/Output_Images/2026-01-31_12-00-00" in error.value.args[0].replace("\\", "/")


def test_wgan_that_draws_few_particles_is_a_warning(run, monkeypatch, caplog):
    def mostly_nothing(_, latent):
        outlines = draw_ellipses(_, latent)
        outlines[np.arange(len(latent)) % 4 > 0] = 0
        return outlines

    monkeypatch.setattr(wgan_gp, "sample_outlines", mostly_nothing)
    run()
    assert "75 % of the outlines" in caplog.text


def test_empty_masks_are_an_error_before_any_is_written(run, tmp_path):
    with pytest.raises(ValueError, match=r"hold no particle. To .* lower .* \(it is 1.0;"):
        run(perlin_noise_threshold=1.0)
    assert names(tmp_path / "2_CycleGAN" / "data" / "trainB") == []


def test_empty_masks_are_made_all_the_same_where_that_is_wanted(run, caplog):
    data = run(perlin_noise_threshold=1.0, when_failed="warn")
    assert "The first 4 simulated masks hold no particle." in caplog.text
    assert len(names(data / "trainB")) == 4
    assert not any(read_image(path).any() for path in list_images(data / "labelsB"))
    run(perlin_noise_threshold=1.0)  # what is finished is not judged again


def test_full_masks_are_an_error(run, monkeypatch):
    # Particles of 252 x 252 pixels, 256 apart: with this seed one of them covers each tile.
    monkeypatch.setattr(
        wgan_gp,
        "sample_outlines",
        lambda _, latent: np.full((len(latent), 256, 256), 255, np.uint8),
    )
    with pytest.raises(ValueError, match=r"are full .*98% covered\). .*set use_perlin_noise"):
        run(
            use_perlin_noise=False,
            grid_type="CUBIC",
            grid_spacing_factor=1.0,
            grid_noise_factor=0.0,
            scaling_sigma=0.0,
            tile_width=64,
            num_masks=2,
            seed=1,
        )


def test_outlines_too_small_at_the_scale_of_the_micrographs_are_an_error(
    run, tmp_path, monkeypatch, caplog
):
    def far_too_small(scenes, make_simulator, core_diameter, options):
        assert core_diameter(1.0) == pytest.approx(16, abs=1)  # disks of 20 less 2 on either side
        assert core_diameter(0.3) == 0
        return options | {"scaling_mu": 0.3, "scaling_sigma": 0.03}

    monkeypatch.setattr(mask_simulation, "fit_options", far_too_small)
    write_tile(tmp_path, 4)
    with pytest.raises(ValueError, match=r"^No outline holds .* 9 px across; at least 10 px"):
        run(match_scenes=True)
    assert names(tmp_path / "2_CycleGAN" / "data" / "trainB") == []
    # Nearly 20 px across as traced; times 0.3, less 2 all round, as cores and real particles are.
    assert "single particles in the micrographs measure 0.09 times your outlines" in caplog.text


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.7, "the threshold finds only their cores, as of a bright core in a faint shell"),
        (1.4, "measure 1.40 times your outlines, .* the threshold finds more than them: then set"),
        (0.8, None),
        (1.25, None),
    ],
)
def test_particles_of_another_size_than_the_outlines_are_warned_of(ratio, words, caplog):
    warn_of_other_size(ratio)
    assert re.search(words, caplog.text) if words else not caplog.text
    assert ("scaling_mu = (d + 4) / d in step 2" in caplog.text) == bool(words)


@pytest.mark.parametrize(("traced", "shown", "warned"), [(16, 18, False), (25, 16, True)])
def test_outlines_are_compared_with_particles_as_large_as_they_were_traced(
    run, tmp_path, monkeypatch, caplog, traced, shown, warned
):
    def draw_disks(_, latent):
        outline = np.zeros((40, 40), np.uint8)
        outline[disk((20, 20), traced / 2)] = 255
        return np.stack([outline] * len(latent))

    def fit(scenes, make_simulator, core_diameter, options):
        return options | {"scaling_mu": (shown + 4) / traced}  # whose cores are as large

    monkeypatch.setattr(wgan_gp, "sample_outlines", draw_disks)
    monkeypatch.setattr(mask_simulation, "fit_options", fit)
    write_tile(tmp_path, 9)
    run(match_scenes=True)
    assert ("times your outlines" in caplog.text) == warned


@pytest.mark.parametrize("diameter", [16, 30, 60])
def test_the_scale_advised_without_fitted_ones_keeps_the_size_that_was_traced(diameter):
    outline = np.zeros((2 * diameter, 2 * diameter), np.uint8)
    outline[disk((diameter, diameter), diameter / 2)] = 255
    areas = [
        prepare_particle(outline, scale, 0.0, "DISK").area
        for scale in (1, (diameter + 4) / diameter)
    ]
    lost, kept = 2 * np.sqrt(np.array(areas) / np.pi) - 2 * np.sqrt((outline > 0).sum() / np.pi)
    assert lost == pytest.approx(-4, abs=0.8) and kept == pytest.approx(0, abs=0.8)


def test_augmented_outlines_need_no_wgan(run, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "load_network", None)
    with pytest.raises(FileNotFoundError, match="Input_Masks does not exist"):
        run(outline_source="augmented", wgan_model="2020-01-01_00-00-00")
    outline = np.full((40, 30), 255, np.uint8)
    outline[ellipse(20, 15, 14, 9)] = 0
    (tmp_path / "Input_Masks").mkdir()
    write_image(tmp_path / "Input_Masks" / "a.png", outline)
    data = run(outline_source="augmented", invert_masks=True, max_overlap=0.0)
    labels = read_image(data / "labelsB" / "00000.tif")
    areas = np.bincount(labels.ravel())[1:]
    # What is left of an ellipse of 28 x 18 pixels less two at each side, where it is whole.
    assert areas.max() == pytest.approx(np.pi * 12 * 7, rel=0.35)


def test_augmented_outlines_are_enlarged_with_the_micrographs(run, tmp_path):
    outline = np.zeros((40, 30), np.uint8)
    outline[ellipse(20, 15, 14, 9)] = 255
    (tmp_path / "Input_Masks").mkdir()
    write_image(tmp_path / "Input_Masks" / "a.png", outline)
    options = {"outline_source": "augmented", "max_overlap": 0.0, "tile_height": 160}
    options |= {"tile_width": 160, "micrograph_scale": 2.0}
    areas = np.bincount(read_image(run(**options) / "labelsB" / "00000.tif").ravel())[1:]
    assert areas.max() == pytest.approx(np.pi * 26 * 16, rel=0.35)


@pytest.mark.parametrize("source", ["wgan", "augmented"])
def test_tiles_of_another_scale_are_refused(run, tmp_path, source):
    tiles = tmp_path / "2_CycleGAN" / "data" / "trainA"
    tiles.mkdir(parents=True, exist_ok=True)
    write_json(tiles / MADE_WITH, {"micrograph_scale": 2.0})
    with pytest.raises(ValueError, match=r"cut at MICROGRAPH_SCALE = 2, but it is 1 now.*step 0"):
        run(outline_source=source)


def test_a_wgan_of_another_scale_is_refused(run, tmp_path):
    record = tmp_path / "1_WGAN" / "Models" / "2026-01-31_12-00-00" / "options.json"
    record.write_text('{"options": {"seed": 1}}')  # of before there was a scale
    run()
    record.write_text('{"options": {"micrograph_scale": 2.0}}')
    with pytest.raises(ValueError, match=r"at MICROGRAPH_SCALE = 2, but it is 1 now.*step 1"):
        run()
    run(micrograph_scale=2.0)

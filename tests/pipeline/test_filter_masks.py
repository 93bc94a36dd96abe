"""Step 5: what is kept, where it is written, what follows from blur and reruns, every error."""

import json
import logging
import re
import shutil

import cv2
import numpy as np
import pytest

from pipeline.files.csv_tables import read_table
from pipeline.filter_masks import filter_masks
from pipeline.image_files import list_images, read_image, write_image
from pipeline.micrographs.resampling import at_scale
from pipeline.particle_masks import label_particles
from pipeline.training_data import unet_pairs
from pipeline.training_data.filtered_pairs import fake_micrographs_folder, mean_of_known
from tests.pipeline.several_processes import in_processes, sizes_worked_on

STEMS = ("00000", "00001", "00002")
VISIBLE, HIDDEN = (8, 8), (8, 30)  # upper left pixels of two squares, in rows and columns
SIZE = 12


def two_squares() -> np.ndarray:
    """Return a label map with the particles 3 (with a hole) and 8."""
    labels = np.zeros((40, 60), np.uint16)
    for number, (row, column) in ((3, VISIBLE), (8, HIDDEN)):
        labels[row : row + SIZE, column : column + SIZE] = number
    labels[12:14, 12:14] = 0
    return labels


def square(position) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[position[0] : position[0] + SIZE, position[1] : position[1] + SIZE] = True
    return mask


def micrograph(seed: int, background=60, particle=200) -> np.ndarray:
    """A micrograph that shows the first of the two squares only, uint8."""
    image = np.random.default_rng(seed).normal(background, 4, (40, 60))
    image[square(VISIBLE)] += particle - background
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path):
    """The folders as steps 2 and 4 leave them."""
    cyclegan, images = tmp_path / "2_CycleGAN", tmp_path / "Input_Images"
    translated, data = cyclegan / "generate_images", cyclegan / "data"
    for folder in (images, data / "trainB", data / "labelsB", translated / "A", translated / "B"):
        folder.mkdir(parents=True)
    for seed, stem in enumerate(STEMS):
        write_image(data / "labelsB" / f"{stem}.tif", two_squares())
        write_image(data / "trainB" / f"{stem}.tif", np.uint8(255) * (two_squares() > 0))
        write_image(translated / "A" / f"{stem}.tif", micrograph(seed))
    for seed, name in enumerate(("a 1.PNG", "ü.tif")):
        write_image(images / name, micrograph(seed).astype(np.uint16) * 250)
        raw = cv2.GaussianBlur(np.uint8(220) * (two_squares() > 0), (0, 0), 1)
        write_image(translated / "B" / f"{name.rsplit('.', 1)[0]}.tif", raw)
    return tmp_path


def run(folders, **options) -> None:
    defaults = {
        "cyclegan_dir": folders / "2_CycleGAN",
        "images_dir": folders / "Input_Images",
        "output_dir": folders / "Output_Masks_CycleGAN",
        "dark_background": True,
        "gaussian_blur_amount": 0.0,
        "threshold": -1,
        "watershed_lines": True,
        "min_distance": 9,
        "image_crop": None,
        "micrograph_scale": 1.0,
        "when_failed": "stop",
    }
    filter_masks(**(defaults | options))


def generated(folders, name):
    return folders / "2_CycleGAN" / "generate_images" / name


def contents(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}


@pytest.mark.parametrize("name", ["A", "B"])
def test_files_of_another_generation_are_not_paired(folders, name):
    record = json.dumps({"inputs": "of before"})
    (generated(folders, name) / "made_with.json").write_text(record)
    with pytest.raises(ValueError, match=rf"{name} was made from other files .* run step 4"):
        run(folders)
    assert not (folders / "Output_Masks_CycleGAN").exists()


def test_the_unet_is_not_trained_on_masks_filtered_by_other_fakes(folders):
    cyclegan = folders / "2_CycleGAN"
    for sigma in (0.0, 1.0):
        run(folders, gaussian_blur_amount=sigma)
        unet_pairs.training_pairs(cyclegan, unet_pairs.Targets(centrality=True))
        write_image(generated(folders, "A") / "00001.tif", micrograph(int(sigma) + 9))
        with pytest.raises(ValueError, match=r"other files .* run step 5 \(filter_masks\)"):
            unet_pairs.training_pairs(cyclegan, unet_pairs.Targets(centrality=True))


def test_visible_particles_are_kept_and_filled(folders):
    inputs = contents(folders)
    run(folders)
    for stem in STEMS:
        mask = read_image(generated(folders, "Synthetic_Masks_Filtered") / f"{stem}.tif")
        labels = read_image(generated(folders, "Synthetic_Labels_Filtered") / f"{stem}.tif")
        assert mask.dtype == np.uint8 and np.array_equal(mask, 255 * square(VISIBLE))
        assert labels.dtype == np.uint16 and np.array_equal(labels, 3 * square(VISIBLE))
    masks = list_images(folders / "Output_Masks_CycleGAN")
    assert [path.name for path in masks] == ["a 1.tif", "ü.tif"]
    for path in masks:
        mask = read_image(path)
        assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
        # The raw mask is blurred and Otsu's threshold near its half: as wide, corners rounded.
        assert np.mean((mask > 0) != square(VISIBLE)) < 0.01
        assert label_particles(mask).max() == 1
    assert inputs.items() <= contents(folders).items()


def test_parts_of_one_particle_are_judged_by_themselves(folders):
    """Particle 3 is cut in two, of which the micrograph shows one: its other part goes."""
    for stem in STEMS:
        labels = np.where(square(VISIBLE) | square(HIDDEN), 3, 0).astype(np.uint16)
        write_image(folders / "2_CycleGAN" / "data" / "labelsB" / f"{stem}.tif", labels)
        mask = np.uint8(255) * (labels > 0)
        write_image(folders / "2_CycleGAN" / "data" / "trainB" / f"{stem}.tif", mask)
    run(folders)
    for stem in STEMS:
        labels = read_image(generated(folders, "Synthetic_Labels_Filtered") / f"{stem}.tif")
        assert np.array_equal(labels, 3 * square(VISIBLE))


def test_more_particles_than_a_label_map_can_number_are_an_error(folders):
    for path in list_images(folders / "2_CycleGAN" / "data" / "labelsB"):
        path.unlink()
    dots = np.zeros((512, 516), np.uint8)
    dots[::2, ::2] = 255  # 256 x 258, each by itself

    def run_with_dots():
        write_image(folders / "2_CycleGAN" / "data" / "trainB" / "00000.tif", dots)
        write_image(generated(folders, "A") / "00000.tif", dots)
        run(folders)

    with pytest.raises(ValueError, match=r"00000.tif \(512 x 516\) holds 66048 .* number 65535"):
        run_with_dots()
    dots[:, 512:] = dots[0, 0] = 0
    run_with_dots()
    labels = read_image(generated(folders, "Synthetic_Labels_Filtered") / "00000.tif")
    assert labels.max() == 65535
    np.testing.assert_array_equal(labels > 0, dots > 0)


def test_rerun_gives_the_same_files(folders):
    run(folders, gaussian_blur_amount=1.5)
    first = contents(folders)
    run(folders, gaussian_blur_amount=1.5)
    assert contents(folders) == first


def test_several_processes_give_the_same_files(folders, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    found = []
    for number in (1, 2):
        shutil.rmtree(folders / "Output_Masks_CycleGAN", ignore_errors=True)
        begun = in_processes(monkeypatch, number)
        run(folders)
        assert begun == [number]
        found.append(contents(folders / "Output_Masks_CycleGAN"))
    assert found[0] == found[1] and len(found[0]) == 3
    assert caplog.text.count("2 of 4 particles found by the CycleGAN show") == 2


def test_a_mask_corrected_by_hand_stays(folders):
    run(folders)
    masks = [
        folders / "Output_Masks_CycleGAN" / "ü.tif",
        generated(folders, "Synthetic_Masks_Filtered") / "00001.tif",
        generated(folders, "Synthetic_Labels_Filtered") / "00002.tif",
    ]
    corrected = [255 * (read_image(path) == 0).astype(np.uint8) for path in masks]
    for path, mask in zip(masks, corrected, strict=True):
        write_image(path, mask)
    run(folders)
    for path, mask in zip(masks, corrected, strict=True):
        np.testing.assert_array_equal(read_image(path), mask)


def test_without_label_maps_particles_are_the_connected_regions(folders):
    for path in list_images(folders / "2_CycleGAN" / "data" / "labelsB"):
        path.unlink()
    run(folders)
    written = list_images(generated(folders, "Synthetic_Labels_Filtered"))
    assert [path.stem for path in written] == list(STEMS)
    assert all(np.array_equal(read_image(path), square(VISIBLE)) for path in written)


def test_a_white_mask_without_label_map_is_one_particle(folders):
    for path in list_images(folders / "2_CycleGAN" / "data" / "labelsB"):
        path.unlink()
    path = folders / "2_CycleGAN" / "data" / "trainB" / "00001.tif"
    write_image(path, np.full((40, 60), 255, np.uint8))
    write_image(generated(folders, "A") / path.name, micrograph(1, background=200, particle=60))
    run(folders)
    assert read_image(generated(folders, "Synthetic_Masks_Filtered") / path.name).all()


def test_bright_background_keeps_dark_particles(folders):
    for seed, path in enumerate(list_images(generated(folders, "A"))):
        write_image(path, micrograph(seed, 200, 60))
    for seed, path in enumerate(list_images(folders / "Input_Images")):
        write_image(path, micrograph(seed, 200, 60))
    run(folders, dark_background=False)
    mask = read_image(generated(folders, "Synthetic_Masks_Filtered") / "00000.tif")
    assert np.array_equal(mask, 255 * square(VISIBLE))
    assert read_image(folders / "Output_Masks_CycleGAN" / "ü.tif").any()


@pytest.mark.parametrize("dark_background", [True, False])
def test_a_single_bad_pixel_takes_no_pale_particle_away(folders, dark_background):
    """Li's threshold counts from the darkest pixel on, and so would rise by a dead one."""
    labels = np.zeros((160, 160), np.uint8)
    for number, (row, column) in enumerate(np.ndindex(5, 5), start=1):
        labels[10 + 30 * row : 26 + 30 * row, 10 + 30 * column : 26 + 30 * column] = number
    brightness = np.concatenate([[0], np.linspace(1500, 6000, 25)])[labels]
    noise = np.random.default_rng(0).normal(0, 150, labels.shape)
    image = 20_000 + (brightness if dark_background else -brightness) + noise
    kept = {}
    for bad_pixel in (None, 0 if dark_background else 60_000):
        if bad_pixel is not None:
            image[-1, -1] = bad_pixel
        for path in list_images(folders / "Input_Images"):
            write_image(path, np.rint(image).astype(np.uint16))
            raw = np.uint8(220) * (labels > 0)
            write_image(generated(folders, "B") / f"{path.stem}.tif", raw)
        if not dark_background:
            for seed, path in enumerate(list_images(generated(folders, "A"))):
                write_image(path, micrograph(seed, 200, 60))
        run(folders, dark_background=dark_background)
        kept[bad_pixel] = read_image(folders / "Output_Masks_CycleGAN" / "ü.tif")
    with_all, with_one_bad = kept.values()
    assert with_all.any() and not with_all.all()
    np.testing.assert_array_equal(with_one_bad, with_all)


def test_info_bar_is_cropped_from_the_micrographs(folders):
    bar = np.zeros((10, 60), np.uint16)
    for path in list_images(folders / "Input_Images"):
        write_image(path, np.vstack([read_image(path), bar]))
    run(folders, image_crop=40)
    assert read_image(folders / "Output_Masks_CycleGAN" / "ü.tif").shape == (40, 60)


def test_blur_is_made_from_the_original_and_removed_again(folders):
    cyclegan = folders / "2_CycleGAN"
    assert fake_micrographs_folder(cyclegan) == generated(folders, "A")
    run(folders, gaussian_blur_amount=1.0)
    run(folders, gaussian_blur_amount=2.0)
    blurred = generated(folders, "A_blurred")
    assert fake_micrographs_folder(cyclegan) == blurred
    originals = list_images(generated(folders, "A"))
    assert len(originals) == len(STEMS)
    for path in originals:
        expected = cv2.GaussianBlur(read_image(path), (0, 0), 2.0)
        assert np.array_equal(read_image(blurred / path.name), expected)
    run(folders)
    assert not blurred.exists()
    assert fake_micrographs_folder(cyclegan) == generated(folders, "A")
    blurred.mkdir()
    write_image(blurred / "mine.tif", micrograph(0))
    run(folders)
    assert not blurred.exists()
    assert len(list((blurred.parent / "Earlier_Results").glob("A_blurred_*/mine.tif"))) == 1


@pytest.mark.parametrize(
    ("options", "number", "area"),
    [
        ({}, 2, 2 * 12**2 + 24),  # Otsu's threshold lies between the halo and the particles
        ({"threshold": 50, "watershed_lines": False}, 1, 20 * 34),
        ({"threshold": 255}, 0, 0),
        ({"watershed_lines": False}, 1, 2 * 12**2 + 24),
        ({"min_distance": 25}, 1, 2 * 12**2 + 24),
    ],
)
def test_raw_masks_are_segmented_as_the_options_say(folders, options, number, area):
    """Two squares joined by a bridge, in a halo of a third of their grey."""
    raw = np.zeros((40, 60), np.uint8)
    raw[6:26, 6:40] = 80
    for left in (8, 26):
        raw[10:22, left : left + 12] = 240
    raw[14:18, 20:26] = 240
    for path in list_images(generated(folders, "B")):
        write_image(path, raw)
    for path in list_images(folders / "Input_Images"):
        write_image(path, np.where(raw > 0, 200, 60).astype(np.uint8))
    run(folders, **options)
    masks = [read_image(path) for path in list_images(folders / "Output_Masks_CycleGAN")]
    assert [label_particles(mask).max() for mask in masks] == [number] * 2
    assert np.count_nonzero(masks) == pytest.approx(2 * area, rel=0.1)


def test_results_of_other_options_are_kept(folders):
    run(folders)
    run(folders, min_distance=5)
    (earlier,) = (folders / "Earlier_Results").iterdir()
    assert [path.name for path in list_images(earlier)] == ["a 1.tif", "ü.tif"]


def test_counts_and_contrast_are_logged(folders, caplog):
    with caplog.at_level(logging.INFO):
        run(folders)
    assert "3 of 6 parts of simulated particles show in the fake micrographs" in caplog.text
    assert "2 of 4 particles found by the CycleGAN show in the micrographs" in caplog.text
    assert "correlation of the fake micrographs with their masks: +0." in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_fidelity_is_told_of_each_pair_and_warned_of_in_the_mean(folders, caplog):
    labels = two_squares()
    labels[square(HIDDEN)] = 0
    shown_only = generated(folders, "A").parents[1] / "data"
    write_image(shown_only / "labelsB" / "00000.tif", labels)
    write_image(shown_only / "trainB" / "00000.tif", np.uint8(255) * (labels > 0))
    caplog.set_level(logging.INFO)
    run(folders)
    first, second, third = read_table(generated(folders, "pairs.csv"))
    assert (first["mask"], first["parts"], first["kept"]) == ("00000.tif", "1", "1")
    assert (second["parts"], second["kept"]) == ("2", "1")
    assert float(first["fidelity"]) > 0.95
    assert float(second["fidelity"]) == pytest.approx(0.55, abs=0.1)  # one square of two
    mean = np.mean([float(row["fidelity"]) for row in (first, second, third)])
    assert f"fidelity of the fake micrographs to their masks: {mean:.2f} of 1" in caplog.text
    assert "do not show what their masks do" not in caplog.text

    for seed, path in enumerate(list_images(generated(folders, "A"))):
        small = micrograph(seed)
        small[VISIBLE[0] + 5 :] = 60  # the upper part of the square is left
        write_image(path, small)
    run(folders)
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "do not show what their masks do (mean fidelity 0." in (warning.getMessage())
    assert "MATCH_SCENES = True" in warning.getMessage()


def test_a_constant_fake_micrograph_keeps_no_particle_and_lowers_the_mean(folders, caplog):
    caplog.set_level(logging.INFO)
    run(folders)
    before = mean_correlation(caplog)
    first = list_images(generated(folders, "A"))[0]
    write_image(first, np.full((40, 60), 128, np.uint8))
    run(folders)
    assert not read_image(generated(folders, "Synthetic_Masks_Filtered") / first.name).any()
    assert not read_image(generated(folders, "Synthetic_Labels_Filtered") / first.name).any()
    assert "2 of 6 parts of simulated particles show in the fake micrographs" in caplog.text
    assert mean_correlation(caplog) == pytest.approx(before * 2 / 3, abs=0.01)


def mean_correlation(caplog) -> float:
    """Return the mean correlation of fakes and masks that was logged last."""
    (*_, said) = (text for text in caplog.messages if text.startswith("correlation of the fake"))
    return float(said.split()[8])


def test_no_particle_left_stops_the_step_or_is_a_warning(folders, caplog):
    for seed, path in enumerate(list_images(generated(folders, "A"))):
        write_image(path, 255 - np.where(square(HIDDEN), 200, micrograph(seed)).astype(np.uint8))
    what = r"None of 6 .*brighter than Li.*DARK_BACKGROUND \(True\)"
    with pytest.raises(ValueError, match=f"{what}.*WHEN_A_NETWORK_FAILS"):
        run(folders)
    run(folders, when_failed="warn")
    assert re.search(what, caplog.text)
    assert list_images(folders / "Output_Masks_CycleGAN")


def test_inverted_contrast_stops_the_step_or_is_a_warning(folders, caplog):
    first = list_images(generated(folders, "A"))[0]
    for seed, path in enumerate(list_images(generated(folders, "A"))):
        write_image(path, 255 - micrograph(seed))
    write_image(first, micrograph(0))
    with pytest.raises(ValueError, match=r"The contrast is inverted.*WHEN_A_NETWORK_FAILS"):
        run(folders)
    run(folders, when_failed="warn")
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "The contrast is inverted" in warning.getMessage()


@pytest.mark.parametrize(
    ("folder", "step"),
    [
        ("2_CycleGAN/data/trainB", "step 2 .simulate_masks."),
        ("2_CycleGAN/generate_images/A", "step 4 .translate_images."),
        ("2_CycleGAN/generate_images/B", "step 4 .translate_images."),
        ("Input_Images", "put (the micrographs there|images in)"),
    ],
)
def test_missing_input_names_the_step_that_makes_it(folders, folder, step):
    for path in list_images(folders / folder):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=f"(holds no images: |does not exist. ).*{step}"):
        run(folders)
    (folders / folder).rename(folders / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"(holds no images: |does not exist. ).*{step}"):
        run(folders)


def test_files_without_partner_are_named(folders):
    (generated(folders, "A") / "00001.tif").unlink()
    with pytest.raises(ValueError, match=r"00001\.tif.*Or run step 4 \(translate_images\) again"):
        run(folders)


@pytest.mark.parametrize("how", ["mask edited", "map of another", "map of another size", "floats"])
def test_where_mask_and_label_map_differ_the_mask_is_used_as_it_is(folders, how, caplog):
    data = folders / "2_CycleGAN" / "data"
    mask, labels = np.uint8(255) * (two_squares() > 0), two_squares()
    if how == "mask edited":  # a third particle, of no number, which the micrograph shows
        mask[30:38, 8:20] = 255
        image = micrograph(1)
        image[30:38, 8:20] = 200
        write_image(generated(folders, "A") / "00001.tif", image)
        write_image(data / "trainB" / "00001.tif", mask)
    others = {"map of another": np.roll(labels, 1), "map of another size": labels[:-1]}
    others["floats"] = labels.astype(np.float32)
    write_image(data / "labelsB" / "00001.tif", others.get(how, labels))
    run(folders)
    expected = square(VISIBLE).astype(np.uint16)
    if how == "mask edited":
        expected[30:38, 8:20] = 3  # the hidden particle is the second
    filtered = read_image(generated(folders, "Synthetic_Labels_Filtered") / "00001.tif")
    np.testing.assert_array_equal(filtered, expected)
    shown = read_image(generated(folders, "Synthetic_Masks_Filtered") / "00001.tif")
    np.testing.assert_array_equal(shown, np.uint8(255) * (expected > 0))
    assert "1 of 3 simulated masks (00001.tif) do not fit their label maps" in caplog.text


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_a_label_map_corrected_by_hand_is_used_as_it_is(folders, kind, caplog):
    labels = two_squares()
    labels[8:20, 14:20][labels[8:20, 14:20] == 3] = 5  # one particle becomes two that touch
    write_image(folders / "2_CycleGAN" / "data" / "labelsB" / "00001.tif", labels.astype(kind))
    run(folders)
    filtered = read_image(generated(folders, "Synthetic_Labels_Filtered") / "00001.tif")
    assert np.unique(filtered).tolist() == [0, 3, 5]
    assert "label maps" not in caplog.text


def test_label_maps_that_fit_are_not_told_of(folders, caplog):
    run(folders)
    assert "label maps" not in caplog.text


@pytest.mark.parametrize(
    ("folder", "what_to_do"),
    [
        ("A", r"Run step 4 \(translate_images\) again\.$"),
        ("B", r"\(after IMAGE_CROP and .* again, with the same IMAGE_CROP and MICROGRAPH_SCALE\.$"),
    ],
)
def test_sizes_that_differ_are_named(folders, folder, what_to_do):
    path = list_images(generated(folders, folder))[0]
    write_image(path, np.zeros((30, 60), np.uint8))
    with pytest.raises(ValueError, match=rf"(40|30) x 60, but .* (30|40) x 60.*{what_to_do}"):
        run(folders)


def test_masks_of_enlarged_micrographs_come_out_in_their_own_size(folders, monkeypatch):
    sizes = sizes_worked_on(monkeypatch, "filter_masks")
    for path in list_images(generated(folders, "B")):
        write_image(path, at_scale(read_image(path), 2.0))
    run(folders, micrograph_scale=2.0)
    assert sizes == [(80, 120)] * 2
    mask = read_image(folders / "Output_Masks_CycleGAN" / "ü.tif")
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
    assert np.mean((mask > 0) != square(VISIBLE)) < 0.01
    with pytest.raises(ValueError, match=r"80 x 120.*40 x 60.*with the same IMAGE_CROP and MICROG"):
        run(folders, micrograph_scale=1.0)


def test_a_mask_without_particles_has_no_part_in_the_mean_fidelity():
    assert mean_of_known([float("nan"), 0.8]) == 0.8
    assert mean_of_known([float("nan")]) == 0


def test_holes_of_raw_masks_are_filled(folders):
    raw = np.uint8(220) * square(VISIBLE)
    raw[11:17, 11:17] = 0
    for path in list_images(generated(folders, "B")):
        write_image(path, raw)
    run(folders, watershed_lines=False)
    for path in list_images(folders / "Output_Masks_CycleGAN"):
        np.testing.assert_array_equal(read_image(path) > 0, square(VISIBLE))


def test_raw_masks_of_another_network_are_segmented_anew(folders):
    run(folders)
    before = read_image(folders / "Output_Masks_CycleGAN" / "ü.tif")
    assert before.any()
    raw = generated(folders, "B") / "ü.tif"
    write_image(raw, np.roll(read_image(raw), 3, axis=0))
    run(folders)
    after = read_image(folders / "Output_Masks_CycleGAN" / "ü.tif")
    np.testing.assert_array_equal(after, np.roll(before, 3, axis=0))
    (earlier,) = (folders / "Earlier_Results").iterdir()
    np.testing.assert_array_equal(read_image(earlier / "ü.tif"), before)

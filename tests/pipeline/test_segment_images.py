"""Step 6b: masks of known disks by both kinds of network, and what reaches the network."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from pipeline import segment_images as step
from pipeline.files.mask_origin import AS_SEGMENTED, CHANGED, origin_of
from pipeline.files.records import read_json, write_json
from pipeline.image_files import read_image, write_image
from pipeline.intensities import as_unet_sees
from pipeline.micrographs.resampling import at_scale, resize
from pipeline.particle_masks import label_particles
from tests.pipeline.disks_output import ALONE, RADIUS, SHAPE, TOUCHING, alike, disks, network_output

RUN = "2026-01-31_12-00-00"


def step_options(root):
    options = {"unet_dir": root, "images_dir": root / "images", "output_dir": root / "masks"}
    options |= {"unet_model": None, "whole_image": True, "average_flips": False}
    options |= {"magnification": 1.25}
    options |= {"tile_height": 64, "tile_width": 48, "min_overlap": 2, "manage_overlap_mode": 1}
    options |= {"use_gpu_for_whole_image": False, "contrast_range": (0.5, 99.5)}
    options |= {"usual_contrast": True}
    options |= {"threshold": -1, "watershed_lines": True, "min_distance": 9}
    return options | {"image_crop": None, "when_failed": "stop"}


@pytest.fixture
def segment(tmp_path, monkeypatch):
    """Return ``segment(**options)``: the step's masks by name, and what its network was shown.

    The network says of each micrograph, stretched, that it is the probability.
    """
    run, images = tmp_path / "Models" / RUN, tmp_path / "images"
    for folder in (run, images):
        folder.mkdir(parents=True)
    best = run / "Checkpoint_Lowest_Loss.keras"
    for path in (best, run / "model.keras"):
        path.touch()
    random = np.random.default_rng(0)
    image = 100 * network_output()[..., 0] + random.normal(0, 2, SHAPE)
    for name, brightness in (("a", 60), ("b", 50)):  # of equal contrast
        write_image(images / f"{name}.png", (image + brightness).astype(np.uint8))

    def segment(trained_with=None, record=None, **changes):
        shown, made = [], {}
        options = {"contrast_range": (0.5, 99.5), "dark_background": True} | (trained_with or {})
        (run / "options.json").write_text(record or json.dumps({"options": options}))

        def make_predictor(path, **how):
            assert path == best
            made.update(how)
            return lambda image: shown.append(image) or image

        monkeypatch.setattr(step, "make_predictor", make_predictor)
        step.segment_images(**(step_options(tmp_path) | changes))
        paths = sorted((tmp_path / "masks").glob("*.tif"))
        return {path.stem: read_image(path) for path in paths}, shown, made

    return segment


@pytest.mark.parametrize("contrast_range", [(0.5, 99.5), (20, 70), None])
def test_the_network_sees_micrographs_clipped_as_the_option_says(
    segment, tmp_path, caplog, contrast_range
):
    trained_with = {"contrast_range": contrast_range, "dark_background": True}
    how = {"contrast_range": contrast_range, "usual_contrast": False}
    masks, shown, _ = segment(trained_with, **how)
    for name, image in zip("ab", shown, strict=True):
        micrograph = read_image(tmp_path / "images" / f"{name}.png")
        expected = as_unet_sees(micrograph, contrast_range, True)
        np.testing.assert_array_equal(image[..., 0], expected)
        np.testing.assert_array_equal(masks[f"{name}_raw"], expected)
    if contrast_range == (20, 70):
        assert np.mean(shown[0] == 0) >= 0.2 and np.mean(shown[0] == 1) >= 0.29
    assert not caplog.records


@pytest.mark.parametrize(
    ("trained_with", "now", "warned"),
    [
        ([0.5, 99.5], (0.5, 99.5), False),
        ([2, 98], (0.5, 99.5), True),
        (None, (0.5, 99.5), True),
        ([2, 98], None, True),
        (None, None, False),
    ],
)
def test_another_contrast_range_than_in_the_training_is_warned_of(
    segment, caplog, trained_with, now, warned
):
    segment({"contrast_range": trained_with}, contrast_range=now)
    words = f"the contrast range is {now}, but the UNet was trained with {trained_with}"
    assert (words in caplog.text) == warned
    assert ("UNET_CONTRAST_OPTIMIZATION_RANGE" in caplog.text) == warned


@pytest.mark.parametrize("record", ["no JSON", "{}", "null"])
def test_a_network_without_a_record_of_its_training_is_refused(segment, tmp_path, record):
    """Nobody knows then whether it wants to see bright particles."""
    with pytest.raises(ValueError, match=r"options\.json is gone or damaged.*run step 6a"):
        segment(record=record)


def test_masks_of_a_network_stay_where_it_is_used_again_as_a_copy(segment, tmp_path):
    """Its run is begun as a copy where other options were tried in between."""
    segment()
    corrected = np.zeros(SHAPE, np.uint8)
    write_image(tmp_path / "masks" / "a.tif", corrected)
    copy = shutil.copytree(tmp_path / "Models" / RUN, tmp_path / "Models" / "2026-02-01_12-00-00")
    step.segment_images(**step_options(tmp_path))
    assert not (tmp_path / "Earlier_Results").exists()
    assert read_json(tmp_path / "masks" / "made_with.json")["unet_model"][0] == RUN
    np.testing.assert_array_equal(read_image(tmp_path / "masks" / "a.tif"), corrected)
    (copy / "Checkpoint_Lowest_Loss.keras").write_bytes(b"another network")
    with pytest.raises(AssertionError):  # of the stand-in, which is asked for another network
        step.segment_images(**step_options(tmp_path))
    assert (tmp_path / "Earlier_Results").exists()


@pytest.mark.parametrize("lost", ["a", "a_raw"])
def test_what_was_lost_is_made_again_and_no_mask_that_is_there(segment, tmp_path, lost):
    made, *_ = segment()
    (tmp_path / "masks" / f"{lost}.tif").unlink()
    other = tmp_path / "masks" / f"{'a_raw' if lost == 'a' else 'a'}.tif"
    write_image(other, np.zeros_like(made[other.stem]))  # such as a mask corrected by hand
    again, shown, _ = segment()
    assert len(shown) == 1
    np.testing.assert_array_equal(again[lost], made[lost])
    origin = origin_of(tmp_path / "masks" / "a.tif", tmp_path / "images" / "a.png")
    if lost == "a_raw":
        assert not again["a"].any() and origin == CHANGED
    else:  # probabilities that a new mask may not be of, by its last digits
        np.testing.assert_array_equal(again["a_raw"], made["a_raw"])
        assert origin == AS_SEGMENTED


def test_masks_are_known_as_those_of_the_step(segment, tmp_path):
    segment()
    names = [
        (tmp_path / "masks" / f"{name}.tif", tmp_path / "images" / f"{name}.png") for name in "ab"
    ]
    assert {origin_of(*paths) for paths in names} == {AS_SEGMENTED}


def test_a_corrected_mask_may_have_another_ending(segment, tmp_path):
    made, *_ = segment()
    (tmp_path / "masks" / "a.tif").unlink()
    write_image(tmp_path / "masks" / "a.png", 255 - made["a"])
    for name in ("overview.png", "overview.jpg", "b.jpg"):  # no masks of the step's
        write_image(tmp_path / "masks" / name, made["a"])
    _, shown, _ = segment()
    assert len(shown) == 0
    assert not (tmp_path / "masks" / "a.tif").exists()
    assert origin_of(tmp_path / "masks" / "a.png", tmp_path / "images" / "a.png") == CHANGED


def test_a_corrected_mask_is_known_by_a_name_that_macos_has_composed(segment, tmp_path):
    composed, taken_apart = "\u00e4", "a\u0308"
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / f"{composed}.png")
    made, *_ = segment()
    (tmp_path / "masks" / f"{composed}.tif").unlink()
    write_image(tmp_path / "masks" / f"{taken_apart}.png", made[composed])
    _, shown, _ = segment()
    assert len(shown) == 0
    assert len(list((tmp_path / "masks").glob("*.tif"))) == 3


def test_the_options_of_the_segmentation_and_of_the_tiles_count(segment):
    def count(**options):
        masks, _, made = segment(**options)
        return label_particles(masks["a"]).max(), np.count_nonzero(masks["a"]), made

    number, area, made = count()
    assert number == 3
    assert count(watershed_lines=False)[0] == 2
    assert count(min_distance=27)[0] == 2
    assert count(threshold=50)[1] > 1.2 * area > 0
    assert made == {
        "whole_image": True,
        "tile_height": 64,
        "tile_width": 48,
        "min_overlap": 2,
        "manage_overlap_mode": 1,
        "use_gpu": False,
        "average_flips": False,
        "magnification": 1.25,
    }
    *_, made = count(whole_image=False, average_flips=True)
    assert (made["whole_image"], made["average_flips"]) == (False, True)


@pytest.mark.parametrize(("target", "again"), [("instances", False), ("mask", True)])
def test_options_of_splitting_make_nothing_anew_where_particles_are_grown(
    segment, caplog, target, again
):
    caplog.set_level("INFO")
    assert segment({"target": target})[1]
    words = 'UNET_TARGET = "instances": watershed_lines and min_distance have no effect'
    assert (words in caplog.text) == (not again)
    for changes in ({"watershed_lines": False}, {"min_distance": 5}):
        assert bool(segment({"target": target}, **changes)[1]) == again
    assert segment({"target": target}, threshold=50)[1]


@pytest.mark.parametrize(
    ("contrast_range", "said"), [((0, 99.5), True), ((0.5, 99.5), False), (None, False)]
)
def test_a_contrast_range_that_clips_nothing_is_said(segment, caplog, contrast_range, said):
    caplog.set_level("INFO")
    segment({"contrast_range": contrast_range}, contrast_range=contrast_range)
    assert ("the contrast range (0, 99.5) has no effect" in caplog.text) == said


@pytest.mark.parametrize("dark_background", [True, False])
def test_noise_beside_particles_is_not_stretched(segment, tmp_path, caplog, dark_background):
    """A micrograph without a particle, among others, is shown as dark as their background."""
    caplog.set_level("INFO")
    images, random = tmp_path / "images", np.random.default_rng(1)
    for file in [*images.iterdir()]:
        if not dark_background:
            write_image(file, 255 - read_image(file))
    noise = random.normal(60 if dark_background else 195, 2, SHAPE)
    write_image(images / "blank.png", noise.astype(np.uint8))
    trained_with = {"contrast_range": (0.5, 99.5), "dark_background": dark_background}
    masks, shown, _ = segment(trained_with)
    assert all(image.max() == 1 for image in shown[:2]) and 0 < shown[2].max() < 0.25
    assert masks["a"].any() and not masks["blank"].any()
    assert "less than half of the usual contrast everywhere, as where" in caplog.text
    assert "no further than the other micrographs: blank.png. If they" in caplog.text
    caplog.clear()
    _, shown, _ = segment(trained_with)  # for the report of those masks, too
    assert len(shown) == 0 and "micrographs: blank.png. If they" in caplog.text


@pytest.mark.parametrize(("now", "said"), [(2.0, False), (2.3, False), (6.0, True), (0.7, True)])
def test_another_magnification_than_in_the_training_is_warned_of(
    segment, tmp_path, caplog, now, said
):
    for file in [*(tmp_path / "images").iterdir()]:
        image = read_image(file)
        file.unlink()
        calibrated = {"imagej": True, "metadata": {"unit": "nm"}, "resolution": (1 / now,) * 2}
        tifffile.imwrite(file.with_suffix(".tif"), image, **calibrated)
    segment()
    (run_folder,) = (tmp_path / "Models").iterdir()
    for trained_with in (None, 2.0):
        write_json(run_folder / "micrographs.json", {"pixel_size_nm": trained_with})
        caplog.clear()
        segment()
        words = f"The pixel size is {now:.3g} nm, but 2 nm in the micrographs that the UNet was"
        assert (words in caplog.text) == (said and trained_with is not None)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_network_sees_micrographs_at_the_scale_of_its_training(segment, tmp_path, scale):
    """Masks and probabilities are in the pixels of the micrograph all the same."""
    masks, shown, _ = segment({"micrograph_scale": scale})
    micrograph = read_image(tmp_path / "images" / "a.png")
    expected = at_scale(as_unet_sees(micrograph, (0.5, 99.5), True), scale)
    np.testing.assert_array_equal(shown[0][..., 0], expected)
    assert {image.shape for image in masks.values()} == {SHAPE}
    assert masks["a"].dtype == np.uint8 and masks["a_raw"].dtype == np.float32
    assert label_particles(masks["a"]).max() == 3
    particles = disks((TOUCHING[0], RADIUS), (TOUCHING[1], RADIUS), (ALONE, 8))
    assert alike(masks["a"], particles) > 0.9
    assert masks["a_raw"][particles].mean() > 2 * masks["a_raw"][~particles].mean()


def test_at_the_scale_of_its_training_masks_are_split(segment):
    """The centres of the two that touch are 26 pixels apart, 13 in reduced micrographs."""
    assert label_particles(segment({"micrograph_scale": 0.5})[0]["a"]).max() == 3
    masks, *_ = segment({"micrograph_scale": 0.5}, min_distance=14)
    assert label_particles(masks["a"]).max() == 2


@pytest.mark.parametrize(("channels", "number"), [(1, 4), (2, 3)])
def test_specks_that_are_grown_are_left_out_at_every_scale(
    segment, tmp_path, monkeypatch, channels, number
):
    """Masks that are split, as published, keep them."""
    output = network_output()
    output[4:6, 80:83] = 0.7  # six pixels

    def make_predictor(path, **how):
        def predict(image):
            size = image.shape[:2]
            return np.stack([resize(output[..., c], size) for c in range(channels)], -1)

        return predict

    for scale, kept in ((1.0, False), (1.2, False), (2.0, True)):  # as 24 pixels
        segment({"micrograph_scale": scale}, record=None)  # writes the record of the training
        monkeypatch.setattr(step, "make_predictor", make_predictor)
        shutil.rmtree(tmp_path / "masks")
        options = step_options(tmp_path)
        step.segment_images(**options)
        mask = read_image(tmp_path / "masks" / "a.tif")
        assert label_particles(mask).max() == (4 if kept else number)


def test_only_with_usual_contrast_other_micrographs_decide_what_is_shown(segment, tmp_path):
    image = read_image(tmp_path / "images" / "a.png")
    pale = (image.astype(float) / 4 + 30).astype(np.uint8)
    write_image(tmp_path / "images" / "b.png", pale)
    write_image(tmp_path / "images" / "c.png", image + 1)
    own = as_unet_sees(pale, (0.5, 99.5), True)
    for usual_contrast in (True, False):
        shutil.rmtree(tmp_path / "masks", ignore_errors=True)
        _, shown, _ = segment(usual_contrast=usual_contrast)
        assert np.array_equal(shown[1][..., 0], own) != usual_contrast


class Enough(Exception):
    """Raised where the contrast would be measured."""


@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_contrast_is_measured_in_parts_of_a_tile_as_the_network_learned(
    tmp_path, monkeypatch, scale
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
            usual_contrast=True,
            threshold=-1,
            watershed_lines=True,
            min_distance=9,
            image_crop=100,
            when_failed="stop",
        )
    ((files, image_crop, contrast_range, dark_background, *parts),) = measured
    assert list(files) == [micrograph]
    assert (image_crop, contrast_range, dark_background) == (100, (1, 99), False)
    assert parts == [(64, 48), scale]


@pytest.mark.parametrize("others, calls", [((), 0), ((0.9,), 0), ((0.9, 0.8), 1)])
def test_kernels_are_not_kept_for_many_sizes(segment, tmp_path, monkeypatch, others, calls):
    made = []
    monkeypatch.setattr(step, "keep_no_kernels", lambda: made.append(1))
    image = read_image(tmp_path / "images" / "a.png")
    for scale in others:
        smaller = image[: round(scale * len(image))]
        write_image(tmp_path / "images" / f"{scale}.png", smaller)
    segment()
    segment()  # all are there
    assert len(made) == calls


def test_corrected_masks_that_are_made_anew_are_told_of(segment, tmp_path, caplog):
    made, *_ = segment()
    write_image(tmp_path / "masks" / "a.tif", np.zeros_like(made["a"]))
    write_image(tmp_path / "images" / "new.png", read_image(tmp_path / "images" / "a.png"))
    caplog.clear()
    segment()
    (message,) = [one for one in caplog.messages if "corrected by hand" in one]
    (aside,) = (tmp_path / "Earlier_Results").iterdir()
    assert f"corrected by hand (a.tif), which are in {aside} now" in message
    # None was since.
    (tmp_path / "images" / "new.png").unlink()
    caplog.clear()
    segment()
    assert len(list((tmp_path / "Earlier_Results").iterdir())) == 2
    assert "corrected by hand" not in caplog.text


@pytest.mark.parametrize(("columns", "stays"), [(2, True), (1, False)])
def test_at_twice_the_scale_four_pixels_stay_and_two_do_not(
    segment, tmp_path, monkeypatch, columns, stays
):
    """The limit is nine pixels as the network sees them: 2.25."""
    output = network_output()
    output[4:6, 80 : 80 + columns] = 0.7
    segment({"micrograph_scale": 2.0})  # writes the record of the training
    monkeypatch.setattr(
        step,
        "make_predictor",
        lambda path, **how: (
            lambda image: np.stack([resize(output[..., c], image.shape[:2]) for c in range(2)], -1)
        ),
    )
    shutil.rmtree(tmp_path / "masks")
    step.segment_images(**step_options(tmp_path))
    mask = read_image(tmp_path / "masks" / "a.tif")
    assert mask[3:7, 79:83].any() == stays

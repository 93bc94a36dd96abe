"""Step 6a without its training: what the network is built with, shown and saved as."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from pipeline import train_unet
from pipeline.files.records import fingerprint, read_json, write_json
from pipeline.image_files import read_image, write_image
from pipeline.intensities import as_unet_sees
from pipeline.micrographs.resampling import at_scale
from pipeline.running.output_folders import MADE_WITH
from pipeline.training.batches import IMAGING, random_numbers
from pipeline.training_data import imaging_variations, real_backgrounds, unet_batches
from pipeline.training_data.narrow_gaps import closeness_of_particles

MASKS, LABELS = "Synthetic_Masks_Filtered", "Synthetic_Labels_Filtered"
PAIRS, SIZE = 10, 16
OPTIONS = {
    "batch_size": 4,
    "epochs": 3,
    "most_steps": None,
    "filters": 4,
    "target": "mask",
    "contrast_range": (10, 90),
    "dark_background": True,
    "image_crop": 40,
    "micrograph_scale": 1.0,
    "use_dataloader": True,
    "use_brightness_and_contrast_augmentation": False,
    "vary_imaging": False,
    "gap_weight": 0.0,
    "least_fidelity": 0.0,
    "validation_share": 0.2,
    "learning_rate": 1e-3,
    "learning_rate_schedule": "STEP_DECAY",
    "batch_norm_momentum": 0.9,
    "largest_particle_weight": None,
    "checkpoint_minutes": 10,
    "precision": "float32",
    "seed": 5,
}


# A background that is brighter to the right, and what is cut off at the bottom.
MICROGRAPH = np.tile(np.arange(100, 196, 2, dtype=np.uint8), (45, 1))
MICROGRAPH[40:] = 255


def micrograph(number):
    return np.random.default_rng(number).integers(0, 256, (SIZE, SIZE), np.uint8)


def label_map(number):
    """Return two particles, of a size that no other pair has."""
    labels = np.zeros((SIZE, SIZE), np.uint16)
    labels[1:4, 1 : 3 + number], labels[8:12, 2 : 4 + number] = 1, 2
    return labels


@pytest.fixture
def folder(tmp_path):
    generated = tmp_path / "generate_images"
    for name in ("A", LABELS, MASKS):
        (generated / name).mkdir(parents=True)
    for number in range(PAIRS):
        name = f"{number:05d}.tif"
        write_image(generated / "A" / name, micrograph(number))
        write_image(generated / LABELS / name, label_map(number))
        mask = np.uint8(255) * (label_map(number) > 0)
        write_image(generated / MASKS / name, mask)
    (tmp_path / "Input_Images").mkdir()
    write_image(tmp_path / "Input_Images" / "real.tif", MICROGRAPH)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch):
    """Return ``run(**options)``, the step with stand-ins for the network and for its training.

    It returns what the training was given, with all ``batches`` of the first epoch,
    ``later_batches`` of the second and all ``validation_batches``; what the network was ``built``
    with; and the ``run_folder``, where a saved network says how many epochs it has behind it.
    """

    def run(val_losses=(3.0, 1.0, 2.0), in_training=lambda: None, **changes):
        seen = SimpleNamespace(validation_batches=[], built=None)

        def build_unet(filters, particle_weight, seed, momentum, with_centrality, gap_weight):
            seen.built = (filters, particle_weight, seed, momentum, with_centrality)
            seen.gap_weight = gap_weight
            network = SimpleNamespace(epochs=0)
            network.save = lambda path: path.write_text(str(network.epochs))

            def validation_step(batch):
                seen.validation_batches.append(batch)
                return {"val_loss": np.float32(len(seen.validation_batches))}

            return SimpleNamespace(
                network=network,
                validation_step=validation_step,
                set_up=lambda *arguments: setattr(seen, "set_up", arguments),
                adam="its optimizer",
            )

        def train(model, make_batch, **how):
            seen.__dict__.update(how)
            in_training()
            seen.batches, seen.later_batches = (
                [make_batch(epoch, step) for step in range(how["steps_per_epoch"])]
                for epoch in range(2)
            )
            seen.validated = how["validate"]()
            rows = []
            for epoch, loss in enumerate(val_losses):
                model.network.epochs += 1
                rows.append({"epoch": epoch + 1, "loss": -epoch, "val_loss": loss})
                how["after_epoch"](epoch, rows)

        monkeypatch.setattr(train_unet, "build_unet", build_unet)
        monkeypatch.setattr(train_unet, "train", train)
        monkeypatch.setattr(train_unet.compiled_steps, "compile_step", lambda step: step)
        monkeypatch.setattr(train_unet.backend, "to_device", lambda batch: batch)
        options = OPTIONS | changes
        train_unet.train_unet(
            cyclegan_dir=folder,
            images_dir=folder / "Input_Images",
            unet_dir=folder / "unet",
            resume=False,
            **options,
        )
        return seen

    return run


def shown(batches):
    """Return the images and the targets of some batches, one after the other."""
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def flip(image, version):
    return image[:: -1 if version & 2 else 1, :: -1 if version & 1 else 1]


def which(images, contrast_range=(10, 90), dark_background=True):
    """Return of each image the number of its pair and its flip; it is one of these, exactly."""
    known = {}
    for number in range(PAIRS):
        image = as_unet_sees(micrograph(number), contrast_range, dark_background)
        flips = (image, image[:, ::-1], image[::-1], image[::-1, ::-1])
        known |= {flipped.tobytes(): (number, version) for version, flipped in enumerate(flips)}
    return [known[image[..., 0].tobytes()] for image in images]


@pytest.mark.parametrize(
    ("losses", "best"), [((3.0, 1.0, 2.0), 2), ((1.0, 2.0, 3.0), 1), ((2.0, 1.0, 1.0), 3)]
)
def test_the_best_epoch_is_that_of_the_lowest_validation_loss(run, losses, best):
    """Of equal ones the last. The loss of the training, which always falls, does not count."""
    run_folder = run(losses).run_folder
    assert (run_folder / "Checkpoint_Lowest_Loss.keras").read_text() == str(best)
    assert (run_folder / "model.keras").read_text() == "3"


def test_pairs_to_validate_by_are_not_trained_on_and_every_flip_is_shown(run):
    seen = run()
    trained = which(shown(seen.batches)[0])
    validated = which(shown(seen.validation_batches)[0])
    assert len(trained) == seen.steps_per_epoch * 4 == 8 * 4
    assert len(validated) == 2 * 4
    everything = {(number, version) for number in range(PAIRS) for version in range(4)}
    assert set(trained) | set(validated) == everything
    assert len(set(trained)) == 32 and len(set(validated)) == 8
    later = which(shown(seen.later_batches)[0])
    assert set(later) == set(trained) and later != trained
    assert seen.validated == {"val_loss": 1.5}  # the mean of 1 and 2
    assert set(which(shown(run(seed=6).validation_batches)[0])) != set(validated)


def test_a_mask_that_was_changed_without_its_label_map_is_refused(folder, run):
    mask = folder / "generate_images" / MASKS / "00001.tif"
    changed = np.uint8(255) * (label_map(2) > 0)
    write_image(mask, changed)
    with pytest.raises(ValueError, match="the two was changed") as error:
        run(target="instances")
    assert str(error.value).startswith(f"{mask} shows other particles than {folder}")
    run(target="mask", gap_weight=0)


def test_a_pair_of_another_size_is_named_before_a_run_begins(folder, run):
    mask = folder / "generate_images" / MASKS / "00002.tif"
    write_image(mask, read_image(mask)[:-7])
    with pytest.raises(ValueError, match="all must be of one size") as error:
        run(target="mask", gap_weight=0)
    assert str(error.value).startswith(f"{mask} has ")
    assert not (folder / "Models").exists()


@pytest.mark.parametrize("target", ["mask", "instances"])
def test_every_image_is_shown_with_its_own_target(run, target):
    seen = run(target=target)
    for batches in (seen.batches, seen.validation_batches):
        images, targets = shown(batches)
        for (number, version), found in zip(which(images), targets, strict=True):
            np.testing.assert_array_equal(found[..., 0], flip(label_map(number) > 0, version))
    assert targets.shape[-1] == (2 if target == "instances" else 1)
    assert seen.built[-1] == (target == "instances") and seen.gap_weight == 0


@pytest.mark.parametrize("target", ["mask", "instances"])
def test_gaps_are_weighed_by_the_label_maps_where_asked_for(run, folder, target):
    for path in (folder / "generate_images" / MASKS).iterdir():
        path.unlink()  # label maps alone tell where one particle ends and the next begins
    seen = run(target=target, gap_weight=7.5)
    assert seen.gap_weight == 7.5
    for batches in (seen.batches, seen.validation_batches):
        images, targets = shown(batches)
        assert targets.shape[-1] == (3 if target == "instances" else 2)
        for (number, version), found in zip(which(images), targets, strict=True):
            labels = label_map(number)
            expected = [labels > 0, closeness_of_particles(labels)]
            flipped = flip(np.stack(expected, -1).astype(np.float32), version)
            np.testing.assert_array_equal(found[..., [0, -1]], flipped)
            assert np.any(found[..., -1] > 0.5)


def test_the_particle_weight_is_that_of_the_pairs_trained_on(run):
    seen = run()
    _, masks = shown(seen.batches)  # all pairs equally often
    filters, particle_weight, *others = seen.built
    assert particle_weight == pytest.approx((1 - masks.mean()) / masks.mean())
    assert (filters, others) == (4, [5, 0.9, False])


@pytest.mark.parametrize("largest", [0.5, 1e3])
def test_a_particle_weight_may_have_a_limit(run, largest):
    weight = run().built[1]
    assert 0.5 < weight < 1e3
    assert run(largest_particle_weight=largest).built[1] == min(weight, largest)


def test_a_contrast_range_that_clips_nothing_is_said(run, caplog):
    caplog.set_level("INFO")
    run(contrast_range=(10, 90))
    assert "contrast range" not in caplog.text
    run(contrast_range=(10, 100))
    assert "the contrast range (10, 100) has no effect, as one end is 0 or 100" in caplog.text


@pytest.mark.parametrize("contrast_range", [None, (0.5, 99.5), (25, 75)])
@pytest.mark.parametrize("dark_background", [True, False])
def test_images_are_shown_as_the_options_say(run, contrast_range, dark_background):
    seen = run(contrast_range=contrast_range, dark_background=dark_background)
    for batches in (seen.batches, seen.validation_batches):
        images, _ = shown(batches)
        assert which(images, contrast_range, dark_background)
    if contrast_range == (25, 75):
        assert np.mean(images == 0) == pytest.approx(0.25, abs=0.02)
        assert np.mean(images == 1) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("learned", [{}, {"target": "instances"}, {"gap_weight": 5.0}])
def test_without_the_dataloader_the_batches_are_the_same_and_read_beforehand(run, folder, learned):
    def remove_all():
        for path in folder.glob("generate_images/*/*.tif"):
            path.unlink()

    before, after = run(**learned), run(use_dataloader=False, in_training=remove_all, **learned)
    for name in ("batches", "validation_batches"):
        for own, other in zip(getattr(before, name), getattr(after, name), strict=True):
            np.testing.assert_array_equal(own[0], other[0])
            np.testing.assert_array_equal(own[1], other[1])


@pytest.mark.parametrize("dark_background", [True, False])
def test_images_are_varied_where_asked_for_each_time_otherwise_and_masks_are_not(
    run, dark_background
):
    plain = run(dark_background=dark_background)
    varied = run(dark_background=dark_background, vary_imaging=True)
    (images, masks), (varied_images, varied_masks) = shown(plain.batches), shown(varied.batches)
    np.testing.assert_array_equal(masks, varied_masks)
    real = as_unet_sees(MICROGRAPH[:40], (10, 90), dark_background)
    places = real_backgrounds.measure_backgrounds(real, SIZE, SIZE, dark_background)
    later, varied_later = shown(plain.later_batches)[0], shown(varied.later_batches)[0]
    for epoch, (own, other) in enumerate(((images, varied_images), (later, varied_later))):
        for step in range(8):
            batch = slice(4 * step, 4 * step + 4)
            random = random_numbers(5, epoch, step, stream=IMAGING)
            expected = imaging_variations.vary_imaging(own[batch], places, random)
            np.testing.assert_array_equal(other[batch], expected)
            assert not np.array_equal(expected, own[batch])
    # Images to validate by stay as they are, so that epochs can be compared.
    for own, other in zip(plain.validation_batches, varied.validation_batches, strict=True):
        np.testing.assert_array_equal(own[0], other[0])


def test_brightness_and_contrast_are_varied_where_asked_for(run):
    plain, varied = run(), run(use_brightness_and_contrast_augmentation=True)
    images, varied_images = (shown(seen.batches)[0] for seen in (plain, varied))
    steps = [np.abs(own - other).max() for own, other in zip(images, varied_images, strict=True)]
    assert min(steps) > 0.001 and max(steps) < 0.35
    assert which(shown(varied.validation_batches)[0])


def test_the_schedule_the_decay_and_the_optimizer_reach_the_training(run):
    seen = run(learning_rate_schedule="LINEAR_DECAY")
    rates = [seen.learning_rate(epoch) for epoch in range(3)]
    assert rates == pytest.approx([1e-3, 1e-3 * 2 / 3, 1e-3 / 3])
    assert seen.set_up == (1e-3, None) and seen.optimizers == ["its optimizer"]
    assert seen.epochs == 3
    assert run(learning_rate_schedule=1e-4).set_up == (1e-3, 1e-4)


@pytest.mark.parametrize("most_steps, steps", [(1, 1), (15, 5), (16, 6), (24, 8), (1000, 8)])
def test_of_many_pairs_an_epoch_goes_through_some(run, caplog, most_steps, steps):
    caplog.set_level(logging.INFO)
    seen = run(most_steps=most_steps, learning_rate_schedule="LINEAR_DECAY")
    assert (seen.steps_per_epoch, seen.epochs) == (steps, 3)
    assert seen.learning_rate(2) == pytest.approx(1e-3 / 3)  # falls to none by then
    assert (f"epochs of {steps} instead of 8 steps" in caplog.text) == (steps < 8)


@pytest.mark.parametrize("most_steps, steps, epochs", [(40, 2, 20), (39, 3, 19), (5, 2, 4)])
def test_epochs_are_not_shorter_than_their_validation(run, most_steps, steps, epochs):
    seen = run(most_steps=most_steps, epochs=100)
    assert len(seen.validation_batches) == 2
    assert (seen.steps_per_epoch, seen.epochs) == (steps, epochs)


def test_pairs_of_too_little_fidelity_are_left_out(run, folder):
    rows = ["mask,parts,kept,fidelity"]
    rows += [f"{number:05d}.tif,2,2,{number / 10}" for number in range(PAIRS)]
    (folder / "generate_images" / "pairs.csv").write_text("\n".join(rows) + "\n")
    seen = run(least_fidelity=0.35)
    images, _ = shown(seen.batches + seen.validation_batches)
    assert {number for number, _ in which(images)} == set(range(4, PAIRS))
    # By all pairs the report finds the CycleGAN that made them.
    record = json.loads((seen.run_folder / "options.json").read_text())["options"]
    fakes = sorted((folder / "generate_images" / "A").glob("*.tif"))
    assert record["inputs"][0] == fingerprint(fakes)
    # And by those that are left, whether another table leaves others.
    assert record["inputs"][-1] == fingerprint(fakes[4:])


def test_without_micrographs_their_backgrounds_are_asked_for(run, folder):
    (folder / "Input_Images" / "real.tif").unlink()
    run(vary_imaging=False)
    with pytest.raises(FileNotFoundError, match="Input_Images holds no images: put the microg"):
        run(vary_imaging=True)


def test_what_was_asked_for_is_recorded(run):
    record = json.loads((run().run_folder / "options.json").read_text())["options"]
    assert record.pop("inputs")
    assert record == json.loads(json.dumps(OPTIONS))


def test_fakes_of_another_scale_than_the_tiles_are_refused(run, folder):
    tiles = folder / "data" / "trainA"
    tiles.mkdir(parents=True)
    write_json(tiles / MADE_WITH, {"micrograph_scale": 2.0})
    with pytest.raises(ValueError, match=r"cut at MICROGRAPH_SCALE = 2, but it is 1 now.*step 0"):
        run()


def test_backgrounds_are_those_of_the_micrographs_at_their_scale(run, monkeypatch):
    seen, measure = [], real_backgrounds.measure_backgrounds

    def measure_backgrounds(image, *how):
        seen.append(image)
        return measure(image, *how)

    monkeypatch.setattr(real_backgrounds, "measure_backgrounds", measure_backgrounds)
    run(vary_imaging=True, micrograph_scale=1.5)
    expected = at_scale(as_unet_sees(MICROGRAPH[:40], (10, 90), True), 1.5)
    (image,) = seen
    np.testing.assert_array_equal(image, expected)


def test_their_pixel_size_is_noted_for_those_that_are_segmented(run, folder):
    (real,) = (folder / "Input_Images").glob("*.tif")
    for calibrated in ({}, {"imagej": True, "resolution": (0.4, 0.4), "metadata": {"unit": "nm"}}):
        tifffile.imwrite(real, MICROGRAPH, **calibrated)
        for vary_imaging in (True, False):
            run_folder = run(vary_imaging=vary_imaging).run_folder
            noted = read_json(run_folder / "micrographs.json")
            assert noted == {"pixel_size_nm": pytest.approx(2.5) if calibrated else None}


def test_the_micrographs_that_backgrounds_are_taken_from_decide_the_run(run, folder):
    """With others the training begins anew; without them they have no part in it."""

    def inputs(**changes):
        record = json.loads((run(**changes).run_folder / "options.json").read_text())
        return record["options"]["inputs"]

    of_micrographs = fingerprint([folder / "Input_Images" / "real.tif"])
    assert inputs(vary_imaging=True) == [*inputs(), of_micrographs]


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_contrast_is_measured_in_parts_of_a_tile_at_the_scale_of_the_network(
    run, monkeypatch, scale
):
    measured, contrast = [], real_backgrounds.UsualContrast

    def usual_contrast(*arguments):
        measured.append(arguments)
        return contrast(*arguments)

    monkeypatch.setattr(real_backgrounds, "UsualContrast", usual_contrast)
    run(vary_imaging=True, micrograph_scale=scale)
    ((_, *how),) = measured
    assert how == [40, (10, 90), True, (SIZE, SIZE), scale]


@pytest.mark.parametrize("learned", [{"target": "instances"}, {"gap_weight": 5.0}])
def test_of_label_maps_every_number_counts_in_the_particle_weight(run, learned):
    seen = run(**learned)
    masks = shown(seen.batches)[1][..., 0]
    assert seen.built[1] == pytest.approx((1 - masks.mean()) / masks.mean())


def test_of_many_micrographs_backgrounds_are_those_of_some_from_all_over(run, folder, monkeypatch):
    for name in "abcd":
        write_image(folder / "Input_Images" / f"{name}.tif", MICROGRAPH)
    measured, contrast = [], real_backgrounds.UsualContrast

    def usual_contrast(files, *arguments):
        measured.extend(file.name for file in files)
        return contrast(files, *arguments)

    monkeypatch.setattr(real_backgrounds, "MICROGRAPHS_MEASURED", 2)
    monkeypatch.setattr(real_backgrounds, "UsualContrast", usual_contrast)
    run(vary_imaging=True)
    assert measured == ["a.tif", "d.tif"]


def test_brightness_and_contrast_vary_anew_in_each_step_of_each_epoch(run):
    plain, varied = run(), run(use_brightness_and_contrast_augmentation=True)
    epochs = (plain.batches, varied.batches), (plain.later_batches, varied.later_batches)
    for epoch, (batches, varied_batches) in enumerate(epochs):
        for step, ((own, _), (other, _)) in enumerate(zip(batches, varied_batches, strict=True)):
            random = random_numbers(5, epoch, step)
            expected = unet_batches.vary_brightness_and_contrast(own, random)
            np.testing.assert_array_equal(other, expected)


def test_of_many_pairs_no_more_validate_than_an_epoch_trains_on(run, caplog):
    caplog.set_level(logging.INFO)
    # Four flips of three pairs, in batches of four: three steps; an epoch has one.
    seen = run(most_steps=4, validation_share=0.3)
    assert (seen.steps_per_epoch, len(seen.validation_batches)) == (2, 2)
    assert "2 pairs to validate (most_steps)" in caplog.text
    seen = run(most_steps=1, validation_share=0.3)
    assert (seen.steps_per_epoch, len(seen.validation_batches)) == (1, 1)
    assert len(run(validation_share=0.3).validation_batches) == 3

"""Step 6a: a MultiRes UNet learns to segment, from fake micrographs and their masks."""

import logging
from pathlib import Path

import keras

from models import backend
from models.fast import compiled_steps
from models.multires_unet import build_unet
from models.precision import computing_in
from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.calibration import typical_pixel_size
from pipeline.files.records import fingerprint, write_json
from pipeline.image_files import (
    check_equal_sizes,
    list_images,
    list_micrographs,
    read_image,
)
from pipeline.intensities import describe_unclipped
from pipeline.running.recorded_scales import check_scale_of_tiles
from pipeline.running.step_table import MICROGRAPHS_RECORD, NETWORKS, RUNS
from pipeline.training.batches import Prefetcher
from pipeline.training.training_loop import train
from pipeline.training.training_runs import begin_run, options_to_record, save_model
from pipeline.training_data.pair_fidelity import faithful_pairs
from pipeline.training_data.real_backgrounds import backgrounds_of
from pipeline.training_data.unet_batches import (
    NUMBER_OF_FLIPS,
    all_flips,
    batch_maker,
    split_pairs,
)
from pipeline.training_data.unet_pairs import (
    Targets,
    background_to_particles,
    pair_reader,
    training_pairs,
)
from pipeline.wording import counted

logger = logging.getLogger(__name__)

BEST, LAST = NETWORKS["unet"].files
FEWEST_EPOCHS = 4  # where `most_steps` makes them fewer, too


@refuses_wrong_options
def train_unet(
    *,
    cyclegan_dir,
    images_dir,
    unet_dir,
    batch_size,
    epochs,
    most_steps,
    filters,
    target,
    contrast_range,
    dark_background,
    image_crop,
    micrograph_scale,
    use_dataloader,
    use_brightness_and_contrast_augmentation,
    vary_imaging,
    gap_weight,
    largest_particle_weight,
    least_fidelity,
    validation_share,
    learning_rate,
    learning_rate_schedule,
    batch_norm_momentum,
    checkpoint_minutes,
    precision,
    seed,
    resume=True,
):
    """Train on the fake micrographs and their filtered masks, pairs by name.

    Writes ``unet_dir/Models/<run>/model.keras`` (after the last epoch) and
    ``Checkpoint_Lowest_Loss.keras`` (lowest validation loss; the one that is used).

    Parameters
    ----------
    cyclegan_dir : folder of the pairs, all of one size.
    unet_dir : where runs go. With ``resume`` one of the same options and pairs is gone on with.
    most_steps : where the epochs would be more steps than this, each goes through a part of the
        pairs only, drawn anew; None is no limit.
    target : "mask", as published, or "instances": the network then learns each pixel's centrality
        in its particle too (see ``grow_particles.py``), from the filtered label maps.
    least_fidelity : pairs of less (see ``pair_fidelity.py``) are left out.
    gap_weight : in the loss pixels count up to 1 + ``gap_weight`` times where particles are close
        to each other (see ``narrow_gaps.py``).
    largest_particle_weight : in the loss a pixel of a particle counts as many times as there are
        more of the background in the masks, but no more than this; None is no limit.
    vary_imaging : each fake is seen imaged otherwise every time, before backgrounds as those of the
        micrographs in ``images_dir`` (see ``imaging_variations.py``), of which ``image_crop`` rows
        are kept, and which are resized by ``micrograph_scale``, as for step 0.
    batch_size, epochs, ... : as in StartProcess.py, and after its source in
        `models.multires_unet`.

    Raises
    ------
    FileNotFoundError
        If there are no pairs, or no micrographs where they are needed.
    ValueError
        If pairs are not of one size or a file lacks its partner, an option is wrong, or a loss is
        not finite.
    """
    options = options_to_record(locals())
    check_scale_of_tiles(cyclegan_dir, micrograph_scale)
    targets = Targets(centrality=target == "instances", closeness=gap_weight > 0)
    pairs = training_pairs(Path(cyclegan_dir), targets)
    options["inputs"] = [fingerprint(column) for column in zip(*pairs, strict=True)]
    pairs = faithful_pairs(pairs, Path(cyclegan_dir), least_fidelity)
    if least_fidelity:
        options["inputs"].append(fingerprint(fake for fake, _ in pairs))
    if vary_imaging:
        micrographs = list_micrographs(images_dir)
        options["inputs"].append(fingerprint(micrographs))
    check_equal_sizes([file for pair in pairs for file in pair], "steps 4 and 5")
    run_folder, finished = begin_run(Path(unet_dir) / RUNS, options, resume, best=BEST)
    if finished:
        return
    if Path(images_dir).is_dir():
        known = {"pixel_size_nm": typical_pixel_size(list_images(images_dir))}
        write_json(run_folder / MICROGRAPHS_RECORD, known)

    if words := describe_unclipped(contrast_range):
        logger.info("%s", words)
    training, validation = split_pairs(pairs, validation_share, seed)
    particle_weight = background_to_particles(training, targets)
    if largest_particle_weight is not None:
        particle_weight = min(particle_weight, largest_particle_weight)
    samples = len(training) * NUMBER_OF_FLIPS
    batch_size = min(batch_size, samples)
    logger.info(
        "%s to train on, %d to validate, each in %d flips; a particle pixel weighs %.2f",
        counted(len(training), "pair"),
        len(validation),
        NUMBER_OF_FLIPS,
        particle_weight,
    )
    steps = -(-samples // batch_size)
    if most_steps and steps * epochs > most_steps:
        # So few that validation takes no longer than them, or some of it, where the rate would
        # hardly fall then.
        of_validation = -(-len(validation) * NUMBER_OF_FLIPS // batch_size)
        epochs = min(epochs, max(most_steps // of_validation, FEWEST_EPOCHS))
    if most_steps and (fewer := -(-most_steps // epochs)) < steps:
        validation = validation[: max(1, fewer * batch_size // NUMBER_OF_FLIPS)]
        logger.info(
            "%d epochs of %d instead of %d steps, each of some of the pairs, drawn anew, and %s to "
            "validate (most_steps)",
            *(epochs, fewer, steps, counted(len(validation), "pair")),
        )
        steps = fewer
    with computing_in(precision):
        model = build_unet(
            filters,
            particle_weight,
            seed,
            batch_norm_momentum,
            with_centrality=targets.centrality,
            gap_weight=gap_weight,
        )
    weight_decay = None if isinstance(learning_rate_schedule, str) else learning_rate_schedule
    model.set_up(learning_rate, weight_decay)
    keep_in = run_folder if use_dataloader else None
    read, read_validation = (
        pair_reader(some, contrast_range, dark_background, targets, keep_in)
        for some in (training, validation)
    )
    backgrounds = None
    if vary_imaging:
        tile_shape = read_image(pairs[0][0]).shape
        backgrounds = backgrounds_of(
            micrographs, tile_shape, contrast_range, dark_background, image_crop, micrograph_scale
        )

    def after_epoch(epoch, rows):
        losses = [row["val_loss"] for row in rows]
        if losses[-1] <= min(losses):
            save_model(model.network, run_folder / BEST)

    train(
        model,
        batch_maker(
            read, samples, batch_size, seed, use_brightness_and_contrast_augmentation, backgrounds
        ),
        steps_per_epoch=steps,
        epochs=epochs,
        run_folder=run_folder,
        learning_rate=_schedule(learning_rate, learning_rate_schedule, epochs),
        optimizers=[model.adam],
        validate=_validation(model, len(validation), read_validation),
        after_epoch=after_epoch,
        checkpoint_minutes=checkpoint_minutes,
        description="UNet",
    )
    save_model(model.network, run_folder / LAST)


def _schedule(learning_rate, schedule, epochs):
    if schedule == "STEP_DECAY":
        return lambda epoch: learning_rate * 0.5 ** (epoch // 10)
    if schedule == "LINEAR_DECAY":
        return lambda epoch: learning_rate * (1.0 - epoch / epochs)
    return lambda epoch: learning_rate


def _validation(model, number, read):
    """Return a function that gives the mean losses over all flips of ``number`` pairs."""
    run_step = compiled_steps.compile_step(model.validation_step)

    def validate():
        with Prefetcher(lambda index: all_flips(read(index)), zip(range(number))) as batches:
            losses = [run_step(backend.to_device(batches.next())) for _ in range(number)]
        return {
            name: sum(float(keras.ops.convert_to_numpy(row[name])) for row in losses) / number
            for name in losses[0]
        }

    return validate

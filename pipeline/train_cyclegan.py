"""Step 3: a CycleGAN learns to translate between micrographs and masks, from unpaired tiles."""

import logging
from pathlib import Path

import numpy as np

from models.cyclegan import build_cyclegan
from models.image_pool import draw_pool_choices
from models.initial_weights import align_contrast
from models.precision import computing_in
from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.records import fingerprint
from pipeline.image_files import (
    check_equal_sizes,
    image_size,
    images_made_by,
    read_image,
    write_image,
)
from pipeline.network_failures import act_on_failure, describe_translations
from pipeline.running.cyclegan_folders import SHEETS, SIMULATED_MASKS, TEST_MASKS, TEST_TILES, TILES
from pipeline.running.recorded_scales import scale_of_tiles
from pipeline.running.step_table import NETWORKS, RUNS, named
from pipeline.training.batches import random_numbers, shuffled_indices
from pipeline.training.cyclegan_previews import preview_sheets, translate_test_tiles
from pipeline.training.training_loop import train
from pipeline.training.training_runs import begin_run, options_to_record, save_model
from pipeline.training_data.cyclegan_images import Coding
from pipeline.wording import counted

logger = logging.getLogger(__name__)

STEP_0, STEP_2 = named("0"), named("2")
NETWORK_FILES = NETWORKS["cyclegan"].files
TILES_LOOKED_AT = 16  # of each domain, for the contrast to start with
SHOWN_LOSSES = ("d_a", "d_b", "g_adv_a", "g_adv_b", "g_cyc_a", "g_cyc_b")


@refuses_wrong_options
def train_cyclegan(
    *,
    cyclegan_dir,
    batch_size,
    epochs,
    filters,
    use_skip_connection,
    use_resize_convolution,
    use_binary_crossentropy,
    invert_images,
    same_contrast,
    lambda_cycle,
    lambda_identity,
    label_smoothing_factor,
    gaussian_noise_value,
    pool_size,
    learning_rate,
    beta_1,
    constant_learning_rate_share,
    checkpoint_minutes,
    precision,
    seed,
    when_failed,
    resume=True,
):
    """Train on ``cyclegan_dir/data/trainA`` (micrograph tiles) and ``trainB`` (masks).

    Writes ``cyclegan_dir/Models/<run>/image_to_mask.keras`` and ``mask_to_image.keras``, and after
    every epoch two sheets of the test tiles in ``cyclegan_dir/images/<run>/``.

    Parameters
    ----------
    cyclegan_dir : folder of the tiles, all of one size, and of the runs. With ``resume`` one of the
        same options and tiles is gone on with.
    batch_size ... seed : as in StartProcess.py, and after its source in `models.cyclegan`.
    when_failed : "stop" or "warn", where the fakes are of one grey, or do not follow their masks.

    Raises
    ------
    FileNotFoundError
        If there are no tiles or masks; names the step that makes them.
    ValueError
        If these are not of one size, an option is wrong, a loss is not finite, or the fakes are of
        no use and ``when_failed`` is "stop".
    """
    options = options_to_record(locals())
    cyclegan_dir = Path(cyclegan_dir)
    options["micrograph_scale"] = scale_of_tiles(cyclegan_dir)  # for step 4 to compare
    files_a, files_b = _training_files(cyclegan_dir)
    options["inputs"] = [fingerprint(files_a), fingerprint(files_b)]
    sheets_dir = cyclegan_dir / SHEETS
    run_folder, finished = begin_run(
        cyclegan_dir / RUNS, options, resume, models=NETWORK_FILES, sheets_dir=sheets_dir
    )
    if finished:
        return
    sheets_folder = sheets_dir / run_folder.name
    sheets_folder.mkdir(parents=True, exist_ok=True)

    image_shape = (*image_size(files_a[0]), 1)
    batch_size = min(batch_size, max(len(files_a), len(files_b)))
    logger.info(
        "%s, %s, %d x %d pixels, batches of %d",
        counted(len(files_a), "micrograph tile"),
        counted(len(files_b), "mask"),
        *image_shape[:2],
        batch_size,
    )
    with computing_in(precision):
        model = build_cyclegan(
            filters,
            image_shape,
            seed=seed,
            use_skip_connection=use_skip_connection,
            use_resize_convolution=use_resize_convolution,
            use_binary_crossentropy=use_binary_crossentropy,
            gaussian_noise_value=gaussian_noise_value,
            pool_size=pool_size,
            lambda_cycle=lambda_cycle,
            lambda_identity=lambda_identity,
            label_smoothing_factor=label_smoothing_factor,
        )
    coding = Coding(invert_images, use_binary_crossentropy)
    if same_contrast:
        sides = _sides(files_a, files_b, coding)
        for generator, side in zip((model.gen_a, model.gen_b), sides, strict=True):
            align_contrast(generator, _some_tiles(*side))
    model.set_up(learning_rate, beta_1)

    def rate(epoch):
        return learning_rate * linear_decay(epoch, epochs, constant_learning_rate_share)

    def after_epoch(epoch, rows):
        for name, sheet in preview_sheets(model, cyclegan_dir, coding):
            write_image(sheets_folder / f"{name}_Epoch_{epoch + 1:05d}.png", sheet)

    train(
        model,
        _batch_maker(files_a, files_b, coding, batch_size, pool_size, seed),
        steps_per_epoch=_steps_per_epoch(files_a, files_b, batch_size),
        epochs=epochs,
        run_folder=run_folder,
        learning_rate=rate,
        optimizers=model.optimizers(),
        after_epoch=after_epoch,
        checkpoint_minutes=checkpoint_minutes,
        description="CycleGAN",
        shown=SHOWN_LOSSES,
    )
    fakes = translate_test_tiles(model, cyclegan_dir, coding)
    act_on_failure(describe_translations(*fakes), when_failed)
    for network, name in zip((model.gen_b, model.gen_a), NETWORK_FILES, strict=True):
        save_model(network, run_folder / name)


def _training_files(cyclegan_dir):
    """Return the micrograph tiles and the masks to train on, all of one size.

    The test tiles are for the sheets after each epoch: that they are there is looked at, too.
    """
    files_a, files_b, _, _ = (
        images_made_by(made_by, cyclegan_dir / name)
        for made_by, name in (
            (STEP_0, TILES),
            (STEP_2, SIMULATED_MASKS),
            (STEP_0, TEST_TILES),
            (STEP_2, TEST_MASKS),
        )
    )
    check_equal_sizes(files_a, STEP_0)
    check_equal_sizes(files_b, STEP_2)
    tile, mask = (image_size(files[0]) for files in (files_a, files_b))
    if tile != mask:
        raise ValueError(
            f"{files_a[0]} has {tile[0]} x {tile[1]} pixels, but {files_b[0]} has {mask[0]} x "
            f"{mask[1]}: micrograph tiles and masks must be of one size. Run {STEP_2} again, with "
            f"the tile size of {STEP_0}."
        )
    return files_a, files_b


def _steps_per_epoch(files_a, files_b, batch_size):
    return -(-max(len(files_a), len(files_b)) // batch_size)


def _sides(files_a, files_b, coding):
    """Return of each domain the files, and the function that encodes what they hold."""
    return (files_a, coding.encode_micrograph), (files_b, coding.encode_mask)


def _some_tiles(files, encode):
    """Return a few of a domain's tiles, from all over it, as the networks see them."""
    chosen = np.linspace(0, len(files) - 1, min(len(files), TILES_LOOKED_AT), dtype=int)
    return np.stack([encode(read_image(files[index])) for index in chosen])


def _batch_maker(files_a, files_b, coding, batch_size, pool_size, seed):
    """Return ``make_batch(epoch, step)``, the batches that ``CycleGan.train_step`` takes.

    An epoch goes through all of the longer list; the shorter one begins again, in a new order.
    """
    sides = _sides(files_a, files_b, coding)
    steps_per_epoch = _steps_per_epoch(files_a, files_b, batch_size)

    def make_batch(epoch, step):
        tiles = []
        for side, (files, encode) in enumerate(sides):
            indices = shuffled_indices(len(files), batch_size, seed, epoch, step, side)
            tiles.append(np.stack([encode(read_image(files[index])) for index in indices]))
        images_seen = (epoch * steps_per_epoch + step) * batch_size
        random = random_numbers(seed, epoch, step)
        pool_choices = draw_pool_choices(random, pool_size, batch_size, images_seen)
        return (*tiles, *pool_choices)

    return make_batch


def linear_decay(epoch, epochs, constant_share):
    """Return the learning rate's factor: 1 for a share of the epochs, then linear towards 0.

    Each epoch has the value of its start, so that the first of the decay has 1, too.
    """
    constant = int(round(epochs * constant_share, 6))  # 0.58 of 50 are 29, not 28.999...
    return 1.0 if epoch < constant else (epochs - epoch) / max(epochs - constant, 1)

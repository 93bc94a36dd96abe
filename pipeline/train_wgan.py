"""Step 1: a WGAN-GP learns to draw particle outlines from those in Input_Masks."""

import logging
from pathlib import Path

import numpy as np

from models import wgan_gp
from models.precision import computing_in
from pipeline.checks.step_options import refuses_wrong_options
from pipeline.files.records import fingerprint, write_json
from pipeline.image_files import list_images, write_image
from pipeline.network_failures import act_on_failure, describe_outlines
from pipeline.running.step_table import NETWORKS, OUTLINE_SHEETS, RUNS
from pipeline.training.batches import COMPARISON, SHEET, random_numbers, shuffled_indices
from pipeline.training.preview_sheets import contact_sheet
from pipeline.training.training_loop import train
from pipeline.training.training_runs import begin_run, options_to_record, save_model
from pipeline.training_data.outline_sources import compare_outlines, load_outlines, say_how_alike

logger = logging.getLogger(__name__)

OUTLINES_CHECKED = 256


@refuses_wrong_options
def train_wgan(
    *,
    masks_dir,
    invert_masks,
    micrograph_scale,
    wgan_dir,
    batch_size,
    epochs,
    latent_size,
    critic_steps,
    gradient_penalty_weight,
    learning_rate,
    beta_1,
    beta_2,
    preview_every,
    checkpoint_minutes,
    precision,
    seed,
    when_failed,
    resume=True,
):
    """Train on the outlines in ``masks_dir``; the generator becomes ``model.keras``.

    Writes ``wgan_dir/Models/<run>/`` and, every ``preview_every`` epochs, a sheet of 3 x 3
    samples ``wgan_dir/Output_Images/<run>/Epoch_00020.png``. ``outlines.json`` in the run's
    folder tells how alike they are to those in ``masks_dir``.

    Parameters
    ----------
    masks_dir, invert_masks, micrograph_scale : the outlines, one particle each; whether they are
        black on white; the factor they are resized by.
    wgan_dir : where runs go. With ``resume`` one of the same options and outlines is gone on with.
    batch_size ... seed : as in StartProcess.py, and after its source in `models.wgan_gp`.
    when_failed : "stop" or "warn", where the samples show no outlines in the end.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no outline, or one cannot be read, an option is wrong, a loss is not finite, or
        the samples show no outlines and ``when_failed`` is "stop". That each is a single particle
        is for `pipeline.check_inputs` to see.
    """
    options = options_to_record(locals())
    given = load_outlines(masks_dir, invert_masks, micrograph_scale)
    options["inputs"] = fingerprint(list_images(masks_dir))
    sheets_dir = Path(wgan_dir) / OUTLINE_SHEETS
    run_folder, finished = begin_run(Path(wgan_dir) / RUNS, options, resume, sheets_dir=sheets_dir)
    if finished:
        return
    sheets_folder = sheets_dir / run_folder.name
    sheets_folder.mkdir(parents=True, exist_ok=True)

    outlines = encode_outlines(given)
    batch_size = min(batch_size, len(outlines))
    logger.info(
        "%d outlines with their flips, %d x %d pixels, batches of %d",
        *outlines.shape[:3],
        batch_size,
    )
    with computing_in(precision):
        model = wgan_gp.build_wgan(
            outlines.shape[1:],
            latent_size,
            seed,
            gradient_penalty_weight=gradient_penalty_weight,
        )
    model.set_up(learning_rate, beta_1, beta_2)

    def make_batch(epoch, step):
        random = random_numbers(seed, epoch, step)
        indices = shuffled_indices(len(outlines), batch_size, seed, epoch, step)
        latent = wgan_gp.draw_latent(random, critic_steps + 1, batch_size, latent_size)
        alpha = random.random((critic_steps, batch_size, 1, 1, 1), dtype=np.float32)
        return outlines[indices], latent, alpha

    sheet_latent = wgan_gp.draw_latent(random_numbers(seed, 0, stream=SHEET), 9, latent_size)

    def after_epoch(epoch, rows):
        if (epoch + 1) % preview_every == 0 or epoch + 1 == epochs:
            samples = wgan_gp.sample_outlines(model.generator, sheet_latent)
            write_image(sheets_folder / f"Epoch_{epoch + 1:05d}.png", contact_sheet(samples, 3))

    train(
        model,
        make_batch,
        steps_per_epoch=-(-len(outlines) // batch_size),
        epochs=epochs,
        run_folder=run_folder,
        after_epoch=after_epoch,
        checkpoint_minutes=checkpoint_minutes,
        description="WGAN",
    )
    latent = wgan_gp.draw_latent(
        random_numbers(seed, 0, stream=COMPARISON), OUTLINES_CHECKED, latent_size
    )
    drawn = wgan_gp.sample_outlines(model.generator, latent)
    act_on_failure(describe_outlines(drawn), when_failed)
    comparison = compare_outlines(given, drawn, seed)
    say_how_alike(comparison, micrograph_scale)
    write_json(run_folder / "outlines.json", comparison)
    save_model(model.generator, run_folder / NETWORKS["wgan"].files[-1])


def encode_outlines(outlines):
    """Return uint8 (n, h, w) and its three flips as the networks see them.

    That is float32 (4 n, h, w, 1), -1 outside and 1 inside.
    """
    encoded = np.where(outlines[..., None] > 127, np.float32(1), np.float32(-1))
    flips = (encoded[:, :, ::-1], encoded[:, ::-1], encoded[:, ::-1, ::-1])
    return np.concatenate((encoded, *flips))

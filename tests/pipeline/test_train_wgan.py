"""Step 1 without its training: when a sheet of samples is written, and what it shows."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import train_wgan
from pipeline.files.records import read_json
from pipeline.image_files import read_image, write_image
from pipeline.training.preview_sheets import contact_sheet

OPTIONS = {
    "invert_masks": False,
    "micrograph_scale": 1.0,
    "batch_size": 4,
    "latent_size": 4,
    "critic_steps": 2,
    "gradient_penalty_weight": 10.0,
    "learning_rate": 2e-4,
    "beta_1": 0.5,
    "beta_2": 0.9,
    "checkpoint_minutes": 10,
    "precision": "float32",
    "seed": 1,
    "when_failed": "warn",
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return ``run(**options)``, the step with stand-ins for the network and for its training.

    A sample's grey tells its number and how many epochs the generator has behind it.
    """
    (tmp_path / "masks").mkdir()
    for number in range(3):
        mask = np.zeros((32, 32), np.uint8)
        mask[8 : 20 + number, 6:22] = 255
        write_image(tmp_path / "masks" / f"{number}.png", mask)
    generator = SimpleNamespace(epochs=0, save=lambda path: path.write_text("a network"))
    seen = SimpleNamespace(folder=tmp_path)

    def build_wgan(shape, latent_size, seed, gradient_penalty_weight):
        seen.built = (*shape, latent_size, seed, gradient_penalty_weight)
        return SimpleNamespace(generator=generator, set_up=lambda *how: setattr(seen, "how", how))

    def sample_outlines(generator, latent):
        return np.array([sample(number, generator.epochs) for number in range(len(latent))])

    def train(model, make_batch, **how):
        seen.steps_per_epoch = how["steps_per_epoch"]
        seen.batch, seen.make_batch = make_batch(0, 0), make_batch
        for epoch in range(how["epochs"]):
            generator.epochs += 1
            how["after_epoch"](epoch, [])

    monkeypatch.setattr(train_wgan.wgan_gp, "build_wgan", build_wgan)
    monkeypatch.setattr(train_wgan.wgan_gp, "sample_outlines", sample_outlines)
    monkeypatch.setattr(train_wgan, "train", train)
    monkeypatch.setattr(train_wgan, "OUTLINES_CHECKED", 12)

    def run(**changes):
        folders = {"masks_dir": tmp_path / "masks", "wgan_dir": tmp_path}
        train_wgan.train_wgan(**folders, **(OPTIONS | changes))
        return seen

    return run


def sample(number, epochs):
    image = np.zeros((32, 32), np.uint8)
    image[8:24, 8:24] = 130 + number % 100
    image[0, :] = epochs
    return image


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(45, 20, (20, 40, 45)), (40, 20, (20, 40)), (5, 20, (5,)), (3, 1, (1, 2, 3))],
)
def test_a_sheet_every_so_many_epochs_and_after_the_last(run, epochs, every, expected):
    folder = run(epochs=epochs, preview_every=every).folder
    sheets = sorted(folder.glob("Output_Images/*/*.png"))
    assert [path.name for path in sheets] == [f"Epoch_{epoch:05d}.png" for epoch in expected]
    for path, epoch in zip(sheets, expected, strict=True):
        samples = [sample(number, epoch) for number in range(9)]
        np.testing.assert_array_equal(read_image(path), contact_sheet(samples, 3)[..., 0])
    (run_folder,) = folder.glob("Models/*")
    assert sheets[0].parent.name == run_folder.name
    assert (run_folder / "model.keras").is_file()


def test_what_was_asked_for_reaches_the_network(run):
    seen = run(epochs=1, preview_every=20)
    assert seen.built == (32, 32, 1, 4, 1, 10.0)
    assert seen.how == (2e-4, 0.5, 0.9)
    outlines, latent, alpha = seen.batch
    assert outlines.shape == (4, 32, 32, 1)
    assert latent.shape == (3, 4, 4)  # two steps of the critic, one of the generator
    assert alpha.shape == (2, 4, 1, 1, 1)
    # Between a real and a fake outline, all the way: uniform from 0 to 1.
    assert 0 <= alpha.min() < alpha.max() < 1


def test_every_step_of_every_epoch_has_its_own_order_and_random_numbers(run):
    make_batch = run(epochs=1, preview_every=20).make_batch
    batches = [make_batch(epoch, step) for epoch, step in ((0, 0), (0, 1), (1, 0))]
    for arrays in zip(*batches, strict=True):  # outlines, latent, alpha
        for number, one in enumerate(arrays):
            assert not any(np.array_equal(one, other) for other in arrays[:number])
    for own, again in zip(batches[2], make_batch(1, 0), strict=True):
        np.testing.assert_array_equal(own, again)


def test_it_is_noted_which_outlines_are_the_given_ones_and_which_are_drawn(run):
    folder = run(epochs=1, preview_every=20).folder
    (path,) = folder.glob("Models/*/outlines.json")
    medians = read_json(path)["diameter in pixels"]["medians"]
    # Rectangles of 13 x 16 pixels are given, squares of 16 x 16 drawn, less 3 at each corner.
    assert medians["given"] == pytest.approx(2 * np.sqrt((13 * 16 - 12) / np.pi), rel=1e-6)
    assert medians["drawn"] == pytest.approx(2 * np.sqrt((16 * 16 - 12) / np.pi), rel=1e-6)


def test_the_network_learns_enlarged_outlines(run):
    assert run(epochs=1, preview_every=20, micrograph_scale=2.0).built[:2] == (64, 64)


@pytest.mark.parametrize(("batch_size", "steps"), [(5, 3), (4, 3), (12, 1), (100, 1)])
def test_an_epoch_goes_through_all_outlines_in_four_flips(run, batch_size, steps):
    """Twelve of three."""
    assert run(epochs=1, preview_every=1, batch_size=batch_size).steps_per_epoch == steps

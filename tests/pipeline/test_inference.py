"""Whole images and tiles through a network whose answer is known."""

import errno
import tracemalloc
import zipfile

import cv2
import keras
import numpy as np
import pytest

from models import backend, layers, precision
from models.cyclegan import build_generator
from models.precision import computing_in
from pipeline import inference
from pipeline.inference import load_network, make_predictor

TILING = {"tile_height": 24, "tile_width": 16, "min_overlap": 2}


@pytest.fixture(scope="module")
def halving_network(tmp_path_factory):
    """Return the path of a saved network that halves every pixel."""
    image = keras.Input((None, None, 1))
    halved = keras.layers.Rescaling(0.5)(image)
    path = tmp_path_factory.mktemp("network") / "model.keras"
    keras.Model(image, halved).save(path)
    return path


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("whole_image", [True, False])
def test_every_way_gives_the_same_image(halving_network, whole_image, mode):
    image = np.random.default_rng(0).random((50, 41, 1), dtype=np.float32)
    predict = make_predictor(
        halving_network, whole_image=whole_image, manage_overlap_mode=mode, **TILING
    )
    np.testing.assert_allclose(predict(image), image / 2, rtol=1e-6)


@pytest.mark.parametrize("whole_image", [True, False])
def test_the_network_is_shown_the_image_enlarged(halving_network, monkeypatch, whole_image):
    load, sizes = inference.load_predictor, []

    def load_and_watch(path, use_gpu):
        predict = load(path, use_gpu)

        def watched(batch):
            sizes.append(batch.shape[1:3])
            assert batch.min() >= 0 and batch.max() <= 1
            return predict(batch).repeat(2, axis=-1)

        return watched

    monkeypatch.setattr(inference, "load_predictor", load_and_watch)
    predict = make_predictor(
        halving_network,
        whole_image=whole_image,
        manage_overlap_mode=2,
        average_flips="rotations",
        magnification=1.5,
        **TILING,
    )
    image = np.zeros((51, 41, 1), np.float32)
    cv2.circle(image, (25, 20), 11, 1, -1)  # in the centre of no axis
    image = cv2.GaussianBlur(image, (0, 0), 2.0)[..., None]
    image[:5, 10:] = 1  # a sharp edge, from 0 to 1
    output = predict(image)
    assert set(sizes) == ({(76, 62), (62, 76)} if whole_image else {(36, 24), (24, 36)})
    assert output.shape == (51, 41, 2) and output.dtype == np.float32
    away = np.s_[8:]  # from that edge, whose pixels are mixed
    np.testing.assert_allclose(output[away], (image / 2).repeat(2, axis=-1)[away], atol=0.01)


@pytest.mark.parametrize("whole_image", [True, False])
@pytest.mark.parametrize("rotations", [False, True])
def test_flips_are_averaged_in_the_image_s_own_orientation(tmp_path, rotations, whole_image):
    # A network that moves the image by one pixel down and by two to the right.
    image = keras.Input((None, None, 1))
    kernel = np.zeros((5, 5, 1, 1), np.float32)
    kernel[1, 0] = 1
    layer = keras.layers.Conv2D(1, 5, padding="same", use_bias=False)
    network = keras.Model(image, layer(image))
    layer.set_weights([kernel])
    network.save(tmp_path / "model.keras")
    predict = make_predictor(
        tmp_path / "model.keras",
        whole_image=whole_image,
        manage_overlap_mode=2,
        average_flips="rotations" if rotations else True,
        tile_height=9,
        tile_width=12,
        min_overlap=2,
    )
    dot = np.zeros((9, 12, 1), np.float32)
    dot[4, 5] = 1
    moved = np.argwhere(predict(dot)[..., 0] == (0.125 if rotations else 0.25)).tolist()
    of_flips = [[4 + down, 5 + right] for down in (-1, 1) for right in (-2, 2)]
    of_turns = [[4 + down, 5 + right] for down in (-2, 2) for right in (-1, 1)]
    assert moved == sorted(of_flips + of_turns if rotations else of_flips)


def test_of_the_flips_outputs_one_is_held_besides_their_sum(halving_network, monkeypatch):
    image, channels = np.ones((400, 500, 1), np.float32), 4
    monkeypatch.setattr(
        inference, "load_predictor", lambda path, use_gpu: lambda x: np.repeat(x, channels, -1)
    )
    predict = make_predictor(
        halving_network, whole_image=True, manage_overlap_mode=2, average_flips=True, **TILING
    )
    tracemalloc.start()
    try:
        output = predict(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert output.shape == (400, 500, channels) and (output == 1).all()
    # The sum, one output, and the image flipped.
    assert peak < (2 * channels + 1.5) * image.nbytes


def test_only_an_image_of_many_tiles_has_a_progress_of_its_own(
    halving_network, monkeypatch, caplog
):
    caplog.set_level("INFO")
    monkeypatch.setattr(inference, "MANY_TILES", 9)
    predict = make_predictor(halving_network, whole_image=False, manage_overlap_mode=2, **TILING)
    caplog.clear()
    predict(np.ones((50, 28, 1), np.float32))  # 3 x 2 tiles
    assert not caplog.messages
    image = np.random.default_rng(0).random((50, 41, 1), dtype=np.float32)  # 3 x 3
    np.testing.assert_allclose(predict(image), image / 2, rtol=1e-6)
    assert caplog.messages[-1].startswith("tiles of an image of 50 x 41 pixels: 9 in ")


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "a bit", "no weights"])
def test_a_damaged_network_is_named_with_what_to_do(halving_network, tmp_path, damage):
    path, content = tmp_path / "model.keras", halving_network.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "noise": b"x" * 900,
            "empty": b"",
            "a bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        }.get(damage, b"")
    )
    if damage == "no weights":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
    with pytest.raises(ValueError) as error:
        load_network(path, use_gpu=False)
    assert str(error.value).startswith(f"{path} is damaged (")
    assert "Delete it, and run the step that made it (1, 3 or 6a) by its number" in str(error.value)


def test_a_network_trained_in_bfloat16_computes_in_float32_where_that_is_slow(
    tmp_path, monkeypatch
):
    with computing_in("mixed_bfloat16"):
        network = build_generator(1, residual_blocks=1)
    network.save(tmp_path / "model.keras")
    for multiplies, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "processor_multiplies_bfloat16", lambda m=multiplies: m)
        loaded = load_network(tmp_path / "model.keras", use_gpu=False)
        kernels = [layer for layer in loaded.layers if isinstance(layer, layers.Conv2D)]
        assert len(kernels) > 3
        assert {layer.compute_dtype for layer in kernels[:-1]} == {expected}


def test_a_network_that_cannot_be_got_at_is_not_called_damaged(halving_network, monkeypatch):
    """Whoever deleted it, as one of a damaged one is told, would lose it."""

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(inference.zipfile, "ZipFile", refuse)
    with pytest.raises(PermissionError):
        load_network(halving_network, use_gpu=False)


def test_a_network_for_which_memory_is_short_is_not_called_another_s(halving_network, monkeypatch):
    """Keras makes an error of its own of what goes wrong with a weight."""

    def fail(path, compile):
        raise ValueError("A total of 1 objects could not be loaded. ... CUDA out of memory. Tried")

    monkeypatch.setattr(inference.keras.models, "load_model", fail)
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        load_network(halving_network, use_gpu=False)


def test_a_network_that_is_not_there_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        load_network(tmp_path / "none.keras", use_gpu=False)


def test_out_of_gpu_memory_falls_back_to_the_cpu_and_says_so(halving_network, monkeypatch, caplog):
    """Played on a machine without a GPU: the first try fails as a full GPU does."""
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    real, tries, used = inference.load_predictor, [], []

    class FullError(Exception):
        pass

    def full_at_first(path, use_gpu):
        predict = real(path, use_gpu=False)

        def predict_or_fail(batch):
            tries.append(batch.shape)
            used.append(use_gpu is not False)
            if len(tries) == 1:
                raise FullError
            return predict(batch)

        return predict_or_fail

    monkeypatch.setattr(inference, "load_predictor", full_at_first)
    monkeypatch.setattr(backend, "is_out_of_memory", lambda error: isinstance(error, FullError))
    predict = make_predictor(
        halving_network, whole_image=True, manage_overlap_mode=2, use_gpu="auto", **TILING
    )
    caplog.set_level("INFO")
    image = np.ones((20, 30, 1), np.float32)
    np.testing.assert_allclose(predict(image), image / 2)
    assert "20 x 30 pixels do not fit into the GPU's memory" in caplog.text
    predict(image)
    assert len(tries) == 3  # not on the GPU once more
    smaller = image[:10]
    np.testing.assert_allclose(predict(smaller), smaller / 2)
    assert used == [True, False, False, True]

    tries.clear()
    used.clear()
    batches = inference.make_batch_predictor(halving_network)
    for batch in (np.ones((4, 20, 30, 1), np.float32), np.ones((2, 20, 30, 1), np.float32)):
        np.testing.assert_allclose(batches(batch), batch / 2)
    assert used == [True, False, True]  # of the second there are fewer

    tries.clear()
    strict = make_predictor(
        halving_network, whole_image=True, manage_overlap_mode=2, use_gpu=True, **TILING
    )
    with pytest.raises(FullError):
        strict(image)


def test_a_gpu_that_others_fill_is_not_used(halving_network, monkeypatch, caplog):
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    real, asked = inference.load_predictor, []

    def full(path, use_gpu):
        asked.append(use_gpu)
        if use_gpu is not False:
            raise MemoryError
        return real(path, use_gpu=False)

    monkeypatch.setattr(inference, "load_predictor", full)
    monkeypatch.setattr(backend, "is_out_of_memory", lambda error: isinstance(error, MemoryError))
    caplog.set_level("INFO")
    how = {"whole_image": True, "manage_overlap_mode": 2, **TILING}
    predict = make_predictor(halving_network, use_gpu="auto", **how)
    assert "the GPU's memory is full: images on the CPU" in caplog.text
    image = np.ones((20, 30, 1), np.float32)
    np.testing.assert_allclose(predict(image), image / 2)
    assert asked == ["auto", False]
    with pytest.raises(MemoryError):
        make_predictor(halving_network, use_gpu=True, **how)


@pytest.mark.parametrize("size", [(75, 27), (87, 75)])
def test_of_what_is_shown_enlarged_no_probability_is_above_1(size):
    """Where they are reduced again, means of ones were 1.0000001."""
    predict = inference._magnified(np.ones_like, 1.25)
    np.testing.assert_array_equal(predict(np.zeros((1, *size, 1), np.float32)), 1)

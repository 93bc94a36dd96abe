"""Run a network over micrographs of any size: whole, or by tiles; on the GPU where it fits."""

import contextlib
import functools
import logging
import math
import zipfile
from itertools import islice
from pathlib import Path

import cv2
import keras
import numpy as np

from models import backend
from models.fast.inference import prepare
from models.precision import fit_to_processor
from pipeline.files.whole_files import is_of_access
from pipeline.progress import progress
from pipeline.tiles import iterate_tiles, stitch_tiles, tile_positions

logger = logging.getLogger(__name__)

TILES_AT_A_TIME = 4
FLIPS = (np.s_[:, ::-1], np.s_[::-1], np.s_[::-1, ::-1])
MANY_TILES = 100  # from which on an image has a progress of its own
# What Keras writes into a ``.keras`` file.
NETWORK_PARTS = {"config.json", "metadata.json", "model.weights.h5"}


def load_network(path, use_gpu):
    """Return the network saved at ``path``, on the GPU where there is one and it is wanted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or of another program; names the file, and says how to get it again.
    """
    _check_whole(Path(path))
    with _device(use_gpu):
        try:
            network = keras.models.load_model(path, compile=False)
        except (TypeError, ValueError) as error:
            if backend.says_out_of_memory(str(error)):
                raise MemoryError(str(error)) from error
            # Its own words are of classes, and of how to run foreign code all the same.
            raise ValueError(
                f"{path} is no network of this program: it holds code, or layers that are unknown "
                f"here (Keras {keras.__version__}), and is not loaded. Delete its folder and train "
                "again, or bring back the file that was there."
            ) from error
        fit_to_processor(network)
    return network


def load_predictor(path, use_gpu):
    """Return ``predict(batch (b, h, w, 1))`` of the network saved at ``path``, made fast.

    NumPy in and out, float32. Devices and errors are those of ``load_network``.
    """
    if not backend.has_gpu():
        _say_once("no GPU in use: computing on the CPU")
    network = load_network(path, use_gpu)
    with _device(use_gpu):
        return prepare(network)


@functools.cache
def _say_once(words):
    logger.info(words)


def _device(use_gpu):
    on_gpu = use_gpu and backend.has_gpu()
    return contextlib.nullcontext() if on_gpu else backend.on_cpu()


def _check_whole(path):
    """Raise a ValueError unless a ``.keras`` file, which is a zip archive, is as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            missing = NETWORK_PARTS - set(archive.namelist())
    except Exception as error:  # whatever the archive's reader runs into in a damaged file
        if isinstance(error, FileNotFoundError) or is_of_access(error):
            raise
        found = str(error) or type(error).__name__
    else:
        if not damaged and not missing:
            return
        found = f"wrong checksum of {damaged}" if damaged else f"no {min(missing)} in it"
    raise ValueError(
        f"{path} is damaged ({found}). Delete it, and run the step that made it (1, 3 or 6a) "
        "by its number: it makes it again, from its last checkpoint where that holds it."
    )


def make_batch_predictor(path):
    """Return ``predict(batch (b, h, w, 1))`` of the network saved at ``path``.

    On the GPU; on the CPU where there is none, or batches do not fit into its memory. NumPy in and
    out, float32; errors are those of ``load_network``.
    """
    return _fitting_predictor(lambda use_gpu: load_predictor(path, use_gpu), "auto")


def make_predictor(
    path,
    *,
    whole_image,
    tile_height,
    tile_width,
    min_overlap,
    manage_overlap_mode,
    use_gpu="auto",
    average_flips=False,
    magnification=1.0,
):
    """Return ``predict(image (h, w, 1) float32) -> (h, w, c) float32`` for the network at ``path``.

    ``use_gpu`` counts for whole images only: True, False, or "auto" (the GPU where the image fits
    into its memory, else the CPU, said once). ``average_flips`` True averages over the image and
    its three flips, "rotations" over all its eight orientations, for four and eight times the work.
    The network is shown the image, or each tile, enlarged by ``magnification``, from 1, for its
    square of the work and memory; above 1 images and what the network puts out must be in [0, 1].
    Tiles, if not ``whole_image``, are of ``tile_height`` x ``tile_width`` pixels; for the other two
    see `pipeline.tiles`.

    Raises
    ------
    ValueError
        If the file holds no such network, as `load_network`; by ``predict``, if an image is smaller
        than a tile.
    """

    def load(use_gpu):
        return _magnified(load_predictor(path, use_gpu=use_gpu), magnification)

    if whole_image:
        predict_batch = _fitting_predictor(load, use_gpu)

        def predict(image):
            return predict_batch(image[None])[0]

        predict_turned = predict
    else:
        by_tiles = functools.partial(
            _predict_by_tiles,
            _fitting_predictor(load, "auto"),
            min_overlap=min_overlap,
            manage_overlap_mode=manage_overlap_mode,
        )
        predict, predict_turned = (
            functools.partial(by_tiles, tile_height=height, tile_width=width)
            for height, width in ((tile_height, tile_width), (tile_width, tile_height))
        )
    if not average_flips:
        return predict
    return _averaging_predictor(predict, predict_turned if average_flips == "rotations" else None)


def _averaging_predictor(predict, predict_turned):
    """Return ``predict`` averaged over flips, and, by ``predict_turned`` if any, right angles."""

    def predict_average(image):
        # Added up in place: large images leave no room for more than one output and one in work.
        total = np.array(predict(image))
        for flip in FLIPS:
            total += predict(np.ascontiguousarray(image[flip]))[flip]
        if predict_turned:
            turned, turned_total = image.swapaxes(0, 1), total.swapaxes(0, 1)
            for flip in (np.s_[:], *FLIPS):
                turned_total += predict_turned(np.ascontiguousarray(turned[flip]))[flip]
        total /= np.float32(8 if predict_turned else 4)
        return total

    return predict_average


def _fitting_predictor(load, use_gpu):
    """Return ``predict(batch)`` of the network that ``load(use_gpu)`` gives.

    ``use_gpu`` "auto": images that do not fit into the GPU's memory, on the CPU.
    """
    uses_gpu = use_gpu and backend.has_gpu()
    too_many = math.inf if uses_gpu else 0  # pixels of a batch
    predict_on_cpu = None

    def must_raise(error):
        is_full = isinstance(error, MemoryError) or backend.is_out_of_memory(error)
        return not uses_gpu or use_gpu != "auto" or not is_full

    try:
        predict_batch = load(use_gpu)
        predict_on_cpu = None if uses_gpu else predict_batch
    except Exception as error:
        if must_raise(error):
            raise
        logger.warning("the GPU's memory is full: images on the CPU")
        too_many, predict_on_cpu = 0, load(False)

    def predict(batch):
        nonlocal predict_on_cpu, too_many
        if batch.size < too_many:
            try:
                return predict_batch(batch)
            except Exception as error:
                if must_raise(error):
                    raise
                number, height, width, _ = batch.shape
                logger.warning(
                    "%s%d x %d pixels do not fit into the GPU's memory: such images on the CPU",
                    *(f"{number} times " if number > 1 else "", height, width),
                )
                too_many = batch.size
                predict_on_cpu = predict_on_cpu or load(False)
        with backend.on_cpu():
            return predict_on_cpu(batch)

    return predict


def _magnified(predict_batch, magnification):
    """Return ``predict(images (b, h, w, 1)) -> (b, h, w, c)``, which shows them enlarged.

    Images and what is shown are in [0, 1].
    """
    if magnification == 1:
        return predict_batch

    def predict(batch):
        height, width = batch.shape[1:3]
        larger = round(width * magnification), round(height * magnification)
        enlarged = _resize(batch, larger, cv2.INTER_CUBIC)
        np.clip(enlarged, 0, 1, out=enlarged)  # at edges it overshoots
        outputs = predict_batch(enlarged)
        # Means of ones can be a little more than 1.
        return np.clip(_resize(outputs, (width, height), cv2.INTER_AREA), 0, 1)

    return predict


def _resize(images, size, interpolation):
    """Return images (b, h, w, c) at another size, which OpenCV wants as (width, height)."""
    resized = [cv2.resize(image, size, interpolation=interpolation) for image in images]
    width, height = size
    return np.stack(resized).reshape(len(images), height, width, images.shape[-1])


def _predict_by_tiles(
    predict_batch, image, *, tile_height, tile_width, min_overlap, manage_overlap_mode
):
    """Predict some tiles at a time, so that memory does not grow with their number."""
    size = image.shape[:2]
    number = len(tile_positions(*size, tile_height, tile_width, min_overlap))
    tiles = iterate_tiles(image, tile_height, tile_width, min_overlap)
    outputs = (
        output
        for batch in _batched(tiles, TILES_AT_A_TIME)
        for output in predict_batch(np.stack(batch))
    )
    if number >= MANY_TILES:
        outputs = progress(outputs, f"tiles of an image of {size[0]} x {size[1]} pixels", number)
    return stitch_tiles(outputs, *size, min_overlap, manage_overlap_mode)


def _batched(items, size):
    """Yield lists of ``size`` items, the last one of what is left."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch

"""Run a network over micrographs of any size: whole, or by tiles; on the GPU where it fits."""

import logging
from itertools import islice

import keras
import numpy as np

from models import backend
from pipeline.tiles import iterate_tiles, stitch_tiles

logger = logging.getLogger(__name__)

TILES_AT_A_TIME = 4


def load_network(path, use_gpu):
    """Return the network saved at ``path``, on the GPU where there is one and it is wanted."""
    import models.layers  # noqa: F401  the networks are made of these

    if use_gpu and backend.has_gpu():
        return keras.models.load_model(path, compile=False)
    with backend.on_cpu():
        return keras.models.load_model(path, compile=False)


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
):
    """Return ``predict(image (h, w, 1) float32) -> (h, w, 1) float32`` for the network at ``path``.

    ``use_gpu`` counts for whole images only: True, False, or "auto" (the GPU where the image fits
    into its memory, else the CPU, said once). ``average_flips`` averages over the four flips of
    the image, for four times the work.
    """
    predict = _make_single_predictor(
        path, whole_image, tile_height, tile_width, min_overlap, manage_overlap_mode, use_gpu
    )
    if not average_flips:
        return predict

    def predict_average(image):
        flips = [np.s_[::rows, ::columns] for rows in (1, -1) for columns in (1, -1)]
        outputs = (predict(np.ascontiguousarray(image[flip]))[flip] for flip in flips)
        return sum(outputs) / np.float32(len(flips))

    return predict_average


def _make_single_predictor(
    path, whole_image, tile_height, tile_width, min_overlap, manage_overlap_mode, use_gpu
):
    if not backend.has_gpu():
        logger.info("no GPU in use: computing on the CPU")
    network = load_network(path, use_gpu=not whole_image or use_gpu)
    if not whole_image:
        return lambda image: _predict_by_tiles(
            network, image, tile_height, tile_width, min_overlap, manage_overlap_mode
        )
    on_cpu = None if use_gpu and backend.has_gpu() else network

    def predict(image):
        nonlocal on_cpu
        if on_cpu is None:
            try:
                return backend.predict(network, image[None])[0]
            except Exception as error:
                if use_gpu != "auto" or not backend.is_out_of_memory(error):
                    raise
                height, width = image.shape[:2]
                logger.info(
                    "%d x %d pixels do not fit into the GPU's memory: on the CPU from here on",
                    height,
                    width,
                )
                on_cpu = load_network(path, use_gpu=False)
        with backend.on_cpu():
            return backend.predict(on_cpu, image[None])[0]

    return predict


def _predict_by_tiles(network, image, tile_height, tile_width, min_overlap, manage_overlap_mode):
    """Predict some tiles at a time, so that memory does not grow with their number."""
    tiles = iterate_tiles(image, tile_height, tile_width, min_overlap)
    outputs = (
        output
        for batch in _batched(tiles, TILES_AT_A_TIME)
        for output in backend.predict(network, np.stack(batch))
    )
    return stitch_tiles(outputs, *image.shape[:2], min_overlap, manage_overlap_mode)


def _batched(items, size):
    """Yield lists of ``size`` items, the last one of what is left."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch

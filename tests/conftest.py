"""Settings for all tests, made before any library is imported."""

import functools
import os
import sys

import pytest
from hypothesis import settings

# With one thread torch repeats itself to the last bit, which tests of resuming ask for; with more,
# sums may differ in their last bits from run to run.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Keras would take Apple's GPU by itself, which no step does.
if sys.platform == "darwin":
    os.environ.setdefault("KERAS_TORCH_DEVICE", "cpu")
# TensorFlow's kernels are those that training steps run on, on every processor.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# No example has a time limit, which a busy machine would not keep, and all runs try the same ones.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture
def short_networks(monkeypatch):
    """Build generators with one residual block instead of nine, and UNets of two levels, not four.

    The others are alike, and TensorFlow traces the training steps of all for half a minute. Nor
    does it optimise the graphs meanwhile, which takes as long and pays after hundreds of steps.
    """
    from models import backend, cyclegan, multires_unet

    for module, name, size in (
        (cyclegan, "build_generator", {"residual_blocks": 1}),
        (multires_unet, "build_multires_unet", {"levels": 2}),
    ):
        monkeypatch.setattr(module, name, functools.partial(getattr(module, name), **size))
    if backend.BACKEND == "torch":
        yield
        return
    options = backend.tf.config.optimizer
    options.set_experimental_options({"disable_meta_optimizer": True})
    yield
    options.set_experimental_options({"disable_meta_optimizer": False})

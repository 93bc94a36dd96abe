"""Settings for all tests, made before any library is imported."""

import functools
import os

import pytest
from hypothesis import settings

# With one thread torch repeats itself to the last bit, which tests of resuming ask for; with more,
# sums may differ in their last bits from run to run.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# TensorFlow's kernels are those that training steps run on, on every processor.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# No example has a time limit, which a busy machine would not keep, and all runs try the same ones.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture
def short_generators(monkeypatch):
    """Build the CycleGAN's generators with one residual block instead of nine, which are alike.

    TensorFlow traces the training step of nine for half a minute.
    """
    from models import cyclegan  # which imports the backend

    short = functools.partial(cyclegan.build_generator, residual_blocks=1)
    monkeypatch.setattr(cyclegan, "build_generator", short)

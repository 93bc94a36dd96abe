"""From equal weights, both backends give equal outputs, and equal losses over training steps."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("compute_for_backend.py")
PROJECT = SCRIPT.parents[2]

# It takes minutes, and is the same whichever backend runs the tests.
pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") != "torch",
    reason="both backends are compared where the tests run with torch",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backends")
    found = {}
    for backend in ("tensorflow", "torch"):
        file = folder / f"{backend}.npz"
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(PROJECT),
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        process = subprocess.run(
            [sys.executable, SCRIPT, file], env=environment, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        with np.load(file) as content:
            found[backend] = {name: content[name] for name in content.files}
    return found


def test_outputs_from_equal_weights_are_equal(results):
    tensorflow, torch = results["tensorflow"], results["torch"]
    names = [name for name in tensorflow if not name.startswith("loss")]
    assert len(names) == 9
    for name in names:
        assert tensorflow[name].std() > 0, f"{name} is constant, which compares nothing"
        np.testing.assert_allclose(tensorflow[name], torch[name], atol=1e-4, err_msg=name)


def test_losses_over_three_training_steps_are_equal(results):
    """At smaller learning rates than the defaults: see compute_for_backend.py."""
    tensorflow, torch = results["tensorflow"], results["torch"]
    names = [name for name in tensorflow if name.startswith("loss")]
    assert len(names) == 5 + 14 + 2 + 2
    for name in names:
        # Equal weights, and then ones that training has rounded differently.
        np.testing.assert_allclose(tensorflow[name][0], torch[name][0], rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(tensorflow[name], torch[name], rtol=1e-3, err_msg=name)
        for losses in (tensorflow[name], torch[name]):
            assert np.all(np.diff(losses)), f"{name} stays as it is: nothing was trained"

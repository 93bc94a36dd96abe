"""Networks compute in bfloat16 where the processor multiplies it, and nowhere else on their own."""

import keras
import numpy as np
import pytest

from models import backend, precision
from models import processor as module
from models.fast import lean_networks
from models.multires_unet import build_multires_unet
from models.precision import choose_precision, computing_in, fit_to_processor

FLAGS = "flags\t\t: fpu vme avx512f avx512_bf16 avx512_vpopcntdq\n"


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Return a function that makes up what Linux says of the processor; None: there is no Linux."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(module, "INFORMATION_FILE", tmp_path / "cpuinfo")

    def make_up(flags):
        module.instructions.cache_clear()
        module.INFORMATION_FILE.unlink(missing_ok=True)
        if flags is not None:
            module.INFORMATION_FILE.write_text(f"processor\t: 0\n{flags}\nprocessor\t: 1\n")

    make_up(FLAGS)
    yield make_up
    module.instructions.cache_clear()


@pytest.mark.parametrize(
    ("flags", "multiplies"),
    [
        (FLAGS, True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu vme avx2 avx512f avx512_bf\n", False),
        ("Features\t: fp asimd bf16\n", False),
        (None, False),
    ],
)
def test_what_linux_says_of_the_processor_counts(flags, multiplies, processor):
    processor(flags)
    assert precision.processor_multiplies_bfloat16() == multiplies
    assert choose_precision("auto") == ("mixed_bfloat16" if multiplies else "float32")
    assert [choose_precision(name) for name in ("float32", "mixed_bfloat16")] == [
        "float32",
        "mixed_bfloat16",
    ]


def test_without_onednn_tensorflow_has_no_kernels_for_it(processor, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert precision.processor_multiplies_bfloat16() == (backend.BACKEND == "torch")


def test_a_gpu_is_not_asked_for_it(processor, monkeypatch):
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    assert choose_precision("auto") == "float32"


@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16", "auto"])
def test_networks_are_built_in_it_and_what_auto_is_is_said(name, processor, caplog):
    caplog.set_level("INFO")
    with computing_in(name):
        inside = keras.config.dtype_policy().name
    assert inside == choose_precision(name)
    assert keras.config.dtype_policy().name == "float32"
    assert ("bfloat16, which this processor multiplies" in caplog.text) == (name == "auto")


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16", "auto"])
def test_where_it_is_slow_training_in_it_warns(name, gpu, processor, monkeypatch, caplog):
    processor(None)
    monkeypatch.setattr(backend, "has_gpu", lambda: gpu)
    monkeypatch.setattr(precision, "gpu_multiplies_bfloat16", lambda: False)
    with computing_in(name):
        pass
    warned = f"this {'GPU' if gpu else 'processor'} does not say that it multiplies bfloat16"
    assert (warned in caplog.text) == (name == "mixed_bfloat16")
    assert ("Trainings then begin anew" in caplog.text) == (name == "mixed_bfloat16")


def test_where_it_is_fast_nothing_is_warned_of(processor, caplog):
    with computing_in("mixed_bfloat16"):
        pass
    assert not caplog.text


def test_where_it_is_slow_a_network_trained_in_it_is_run_in_float32(processor):
    with computing_in("mixed_bfloat16"):
        network = build_multires_unet(4, with_centrality=True)
    twin = build_multires_unet(4, with_centrality=True)
    twin.set_weights(network.get_weights())
    image = np.random.default_rng(0).random((1, 41, 33, 1), np.float32)
    rounded, expected = (lean_networks.predict(each, image) for each in (network, twin))
    assert np.abs(rounded - expected).max() > 1e-5
    fit_to_processor(network)
    np.testing.assert_array_equal(lean_networks.predict(network, image), rounded)
    processor(None)
    fit_to_processor(network)
    np.testing.assert_array_equal(lean_networks.predict(network, image), expected)


@pytest.mark.parametrize("multiplies", [False, True])
def test_on_a_gpu_it_is_the_gpu_that_counts(multiplies, processor, monkeypatch):
    with computing_in("mixed_bfloat16"):
        network = build_multires_unet(4)
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    monkeypatch.setattr(precision, "gpu_multiplies_bfloat16", lambda: multiplies)
    fit_to_processor(network)
    assert any(layer.compute_dtype == "bfloat16" for layer in network.layers) is multiplies

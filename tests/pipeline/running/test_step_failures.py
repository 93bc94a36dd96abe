"""What a step's errors and exit codes say."""

import errno
from concurrent.futures.process import BrokenProcessPool

import pytest

from models import backend
from pipeline.running.step_failures import in_words, less_memory, why_ended


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("a.tif is damaged."), "a.tif is damaged."),
        (KeyError("name"), "KeyError: 'name'"),
        (MemoryError("11 GiB"), "out of memory. End other programs, or cut the largest"),
        (BrokenProcessPool("a process"), "most often because memory ran out. End other programs"),
        (OSError(errno.ENOSPC, "No space left", "a.tif"), "the disk is full, or your share of it"),
        (OSError(errno.EDQUOT, "Quota exceeded", "a.tif"), "'a.tif'). Make room; all that is fin"),
        (PermissionError(errno.EACCES, "Permission denied", "a.csv"), "Permission denied: 'a.csv'"),
        (PermissionError(errno.EACCES, "Permission denied", "a.csv"), "such as Excel, has it open"),
    ],
)
def test_an_error_is_said_in_words(error, words):
    assert words in in_words(error)


@pytest.mark.parametrize(
    ("function", "whole_image", "advice"),
    [
        ("translate_images", True, "Set RUN_INFERENCE_ON_WHOLE_IMAGE = False"),
        ("segment_images", True, "Set RUN_INFERENCE_ON_WHOLE_IMAGE = False"),
        ("segment_images", False, "Use smaller tiles (TILE_SIZE_H, TILE_SIZE_W)"),
        ("train_wgan", None, "Crop the outlines in Input_Masks to the particles"),
        ("train_unet", None, "Use a smaller UNET_BATCH_SIZE, or, on what multiplies it"),
        ("measure_particles", None, "End other programs, or cut the largest micrographs"),
    ],
)
def test_what_helps_against_full_memory_depends_on_the_step(function, whole_image, advice):
    keywords = {} if whole_image is None else {"whole_image": whole_image}
    assert f"out of memory. {advice}" in in_words(MemoryError(), function, keywords)
    assert f"because memory ran out. {advice}" in why_ended(-9, function, keywords)


def test_what_is_enlarged_needs_less_memory_at_a_lower_scale():
    advice = less_memory("filter_masks", {"micrograph_scale": 2.0})
    assert advice.endswith("cut the largest micrographs into parts, or lower MICROGRAPH_SCALE.")


def test_what_is_magnified_needs_less_memory_as_it_is():
    keywords = {"whole_image": False, "magnification": 1.25}
    advice = less_memory("segment_images", keywords)
    assert advice.startswith("Set UNET_TEST_TIME_MAGNIFICATION = 1")
    assert "MAGNIFICATION" not in less_memory("segment_images", {"magnification": 1})


def test_what_a_backend_says_of_full_memory_is_understood():
    if backend.BACKEND == "torch":
        with pytest.raises(RuntimeError) as full:
            backend.torch.empty(10**14)  # on the CPU
        assert "out of memory. Set RUN_INFERENCE" in in_words(
            full.value, "segment_images", {"whole_image": True}
        )
    else:
        errors = backend.tf.errors
        for error in (
            errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
            errors.NotFoundError(None, None, "No algorithm worked!  Error messages: ..."),
            errors.InternalError(None, None, "Failed to allocate 2097152 bytes"),
            errors.InternalError(
                None, None, "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
            ),
        ):
            assert backend.is_out_of_memory(error)
        assert not backend.is_out_of_memory(errors.NotFoundError(None, None, "no such file"))
    assert not backend.is_out_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "stopped with exit code 1"),
        (-9, "ended by signal 9, most often because memory ran out. End other programs"),
        (-11, "ended by signal 11"),
        (0xC0000005, "ended by Windows (0xC0000005)"),
    ],
)
def test_an_exit_code_is_said_in_words(code, words):
    assert words in why_ended(code)


@pytest.mark.parametrize("function", ["train_cyclegan", "train_unet"])
def test_what_trains_other_networks_anew_is_told(function):
    advice = less_memory(function, {})
    assert 'precision="mixed_bfloat16" in the call of this step (with PRECISION the other' in advice
    assert "smaller tiles (for which all but step 1 runs again)" in advice

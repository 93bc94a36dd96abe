"""Micrographs too large to be computed whole are told of before the trainings."""

import pytest

from models.processor import granted_memory
from pipeline.checks import whole_images
from pipeline.checks.whole_images import warn_of_large_images

OPTIONS = {"MICROGRAPH_SCALE": 1.0, "CYCLEGAN_FILTERS": 64, "UNET_FILTERS": 16}
CALLS = [
    ("4", "translate_images", {"whole_image": True}),
    ("6b", "segment_images", {"whole_image": True, "magnification": 1.25}),
    ("7", "measure_particles", {}),
]
GB = 10**9


@pytest.fixture
def memory(monkeypatch):
    return lambda size: monkeypatch.setattr(whole_images, "granted_memory", lambda: size)


@pytest.mark.parametrize(
    ("has", "steps"),
    [
        (8 * GB, {}),
        (7 * GB, {"translate_images": 8}),
        (5 * GB, {"translate_images": 8, "segment_images": 5}),
    ],
)
def test_steps_that_have_not_the_memory_are_told_of(memory, caplog, has, steps):
    """One of 10 megapixels takes 7.7 and 5.0 GB at least."""
    memory(has)
    warn_of_large_images(OPTIONS, CALLS, [(500, 500), (2500, 4004)])
    assert len(caplog.messages) == len(steps)
    for (step, needed), message in zip(steps.items(), caplog.messages, strict=True):
        assert message.startswith(f"{step} computes micrographs whole")
        assert f"one of 2500 x 4004 takes {needed} GB of memory at least" in message
        assert f"and {has / GB:.0f} are there. Unless" in message


@pytest.mark.parametrize(
    "change", [{"MICROGRAPH_SCALE": 0.5}, {"CYCLEGAN_FILTERS": 16, "UNET_FILTERS": 4}]
)
def test_what_is_seen_smaller_or_by_smaller_networks_fits(memory, caplog, change):
    memory(5 * GB)
    warn_of_large_images(OPTIONS | change, CALLS, [(2500, 4004)])
    assert not caplog.messages


def test_tiles_take_no_more_memory_however_large_the_micrograph(memory, caplog):
    memory(GB)
    calls = [(number, name, keywords | {"whole_image": False}) for number, name, keywords in CALLS]
    warn_of_large_images(OPTIONS, calls, [(20000, 20000)])
    warn_of_large_images({}, CALLS, [(20000, 20000)])  # options that are wrong, and told of
    warn_of_large_images(OPTIONS, CALLS, [])
    assert not caplog.messages


@pytest.mark.parametrize("magnification", ["1.25", None, 10**400, 0])
def test_of_a_wrong_option_nothing_is_said_here(memory, caplog, magnification):
    """It is a problem of its own, and must not hide the others."""
    memory(GB)
    keywords = {"whole_image": True, "magnification": magnification}
    warn_of_large_images(OPTIONS, [("6b", "segment_images", keywords)], [(20000, 20000)])
    assert not caplog.messages


def test_the_memory_is_that_of_this_computer():
    assert 2**29 < granted_memory() < 2**46

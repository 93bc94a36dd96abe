"""Whatever options, step calls and files are: the check passes, or lists problems in words."""

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks.damaged_files import DAMAGES, damage, make_originals
from pipeline.check_inputs import check_inputs
from pipeline.image_files import write_image
from tests.start_process import default_calls, default_options

NUMBERS = st.integers() | st.integers(-3, 70) | st.floats() | st.sampled_from([10**400, -0.0])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.binary() | st.just("auto"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
OPTIONS = default_options()
KEYWORDS = [(call[1], name) for call in default_calls(OPTIONS) for name in call[2]]
FOLDERS = {"INPUT_DIR_IMAGES", "INPUT_DIR_MASKS", "TRUE_MASKS_DIR"}
FUZZED = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def quiet():
    """Let the checks log nothing, for they tell of every file."""
    logger = logging.getLogger("pipeline")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def problems_of(options, calls):
    """Return the problems in words; any other error than a list of them is passed on."""
    try:
        check_inputs(options, calls)
    except ValueError as error:
        count, *problems = str(error).splitlines()
        assert count.endswith("found before the run:")
        assert len(problems) == int(count.split()[0])
        assert all(len(problem) > 20 for problem in problems)
        return problems
    return []


def project(root):
    """Return the options and calls of a folder with good micrographs, outlines and true masks."""
    root = Path(root)
    options = default_options(root) | {"TILE_SIZE_H": 48, "TILE_SIZE_W": 64}
    options |= {"NUM_SIMULATED_MASKS": 2, "CYCLEGAN_FILTERS": 4}
    numbers = np.random.default_rng(0)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:20] = 255  # so small that "auto" enlarges it
    for number in range(2):
        for option, image in (
            ("INPUT_DIR_IMAGES", numbers.integers(0, 255, (60, 80), np.uint8)),
            ("INPUT_DIR_MASKS", mask),
            ("TRUE_MASKS_DIR", np.pad(mask, ((0, 28), (0, 48)))),
        ):
            Path(options[option]).mkdir(exist_ok=True)
            write_image(Path(options[option]) / f"{number}.png", image)
    return options


@FUZZED
@given(
    changes=st.dictionaries(st.sampled_from(sorted(OPTIONS)), ANYTHING, min_size=1, max_size=6),
    in_calls=st.dictionaries(st.sampled_from(KEYWORDS), ANYTHING, max_size=6),
    left_out=st.sets(st.sampled_from(sorted(OPTIONS)), max_size=2),
    with_calls=st.booleans(),
)
def test_odd_options_together_are_said_in_words(
    tmp_path_factory, changes, in_calls, left_out, with_calls
):
    root = tmp_path_factory.getbasetemp() / "options"
    root.mkdir(exist_ok=True)
    options = project(root)
    calls = default_calls(options)
    before = sorted(root.rglob("*"))
    options |= changes
    for name in left_out:
        options.pop(name, None)
    for _, step, keywords in calls:
        keywords |= {name: value for (where, name), value in in_calls.items() if where == step}
    problems = problems_of(options, calls if with_calls else None)
    for name in left_out:
        assert any(name in problem for problem in problems)
    assert sorted(root.rglob("*")) == before


@FUZZED
@given(seed=st.integers(0, 2**32 - 1), option=st.sampled_from(sorted(FOLDERS)))
@example(seed=69489, option="TRUE_MASKS_DIR")  # one reader warns of what another reads
def test_damaged_files_in_any_folder_are_named_or_read(tmp_path_factory, seed, option):
    root = tmp_path_factory.mktemp("files")
    options = project(root)
    rng = np.random.default_rng(seed)
    ending, content, _ = random.Random(seed).choice(make_originals(rng))
    kind = random.Random(seed).choice(DAMAGES)
    file = Path(options[option]) / f"odd{ending}"
    file.write_bytes(damage(content, kind, rng))
    for problem in problems_of(options, default_calls(options)):
        assert str(file) in problem or option in problem

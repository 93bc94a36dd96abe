import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checks import values


@pytest.mark.parametrize(
    ("check", "allowed", "refused", "words"),
    [
        (values.whole_number(1), [1, 7, np.int64(3)], [0, True, 2.0, "5", None], "of at least 1"),
        (values.whole_number(2, 5), [2, 5], [1, 6], "a whole number from 2 to 5"),
        (
            values.number(0, 1),
            [0, 1, 0.5, np.float32(0.1)],
            [-1, 1.1, math.nan, "1", True],
            "0 to 1",
        ),
        (
            values.number(0, above=True),
            [1e-9, 3, 10**300],
            [0, -1, math.inf, 10**400],
            "a number above 0",
        ),
        (values.number(0, 1, below=True), [0, 0.99], [1], "of at least 0 and below 1"),
        (values.number(0, 1, above=True), [1], [0, 2], "above 0 and at most 1"),
        (values.number(0, 1, above=True, below=True), [0.5], [0, 1], "above 0 and below 1"),
        (values.one_of(True, False), [True, False], [1, 0, None, "True"], "True or False"),
        (values.one_of("A", "B", None), ["A", None], ["a", 0], '"A", "B" or None'),
        (values.one_of(0, 1, 2), [0, 2], [True, 3, 1.0], "0, 1 or 2"),
        (
            values.either(values.one_of("auto"), values.whole_number(1)),
            ["auto", 4],
            ["Auto", 0],
            "auto, or a whole number of at least 1",
        ),
        (values.several(values.whole_number(0), "a list"), [[0], (1, 2)], [[], [-1], 3], "a list"),
        (
            values.pair(values.number(0, 100), increasing=True),
            [(0.5, 99.5), [0, 100]],
            [(5, 5), (9, 1), (1, 2, 3), 5, (0, 101), ("0", "1")],
            "two values in brackets, the lower one first, each a number from 0 to 100",
        ),
        (values.folder_name, ["a", "./"], ["", None, 3, "a\0b"], "the name of a folder"),
        (values.run_name, [None, "2026-01-31_12-00-00"], ["", "..", "a/b", 3], "a run folder"),
        (
            values.measured_ranges,
            [{}, {"area": (50, None)}, {"convexity": [0.8, 1.0]}],
            [
                None,
                {"area": 5},
                {"area": (2, 1)},
                {1: (0, 1)},
                {"area": (math.nan, 1)},
                {"area": (1, 10**400)},
            ],
            "ranges by the name of a quantity",
        ),
        (
            values.measured_ranges,
            [{}, {"area": (50, None)}, {"convexity": [0.8, 1.0]}],
            [
                {"aera": (50, None)},
                {"area": (1, 2), "label": (1, 2)},
                {"inclusion_weight": (None, 9)},
            ],
            "ranges of what is measured: centroid_y, centroid_x, area,",
        ),
    ],
)
def test_each_check_tells_allowed_from_refused_values(check, allowed, refused, words):
    if isinstance(words, str) and '"' not in words:
        said = [check(value).replace('"', "") for value in refused]
    else:
        said = [check(value) for value in refused]
    assert all(words in one for one in said), said
    assert [check(value) for value in allowed] == [None] * len(allowed)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(ANYTHING)
def test_no_value_at_all_breaks_a_check(value):
    from pipeline.checks.options import OPTION_CHECKS
    from pipeline.checks.step_options import KEYWORD_CHECKS

    for check in [*OPTION_CHECKS.values(), *KEYWORD_CHECKS.values(), values.measured_ranges]:
        answer = check(value)
        assert answer is None or answer


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("C:/data 1/Results", True), ("../Results", True), ("Results: 2", False), ("a?", False)],
)
def test_names_of_folders_that_windows_cannot_make(name, allowed, monkeypatch):
    assert values.folder_name(name) is None
    with monkeypatch.context() as windows:
        windows.setattr(values.os, "name", "nt")
        said = values.folder_name(name)
    assert said == (None if allowed else 'the name of a folder, without any of " * : < > ? |')

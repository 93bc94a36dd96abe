"""Each kind of error from masks in which it is plain, alone and together."""

import numpy as np
import pytest

from pipeline.scoring.score_table import describe_errors
from pipeline.scoring.scores import compare_masks, compute_scores


def mask(*boxes):
    """Return a mask with rectangles (top, left, height, width)."""
    result = np.zeros((60, 100), bool)
    for top, left, height, width in boxes:
        result[top : top + height, left : left + width] = True
    return result


LEFT, RIGHT = (10, 10, 20, 20), (10, 31, 20, 20)  # a line of one pixel between


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        (mask(LEFT, RIGHT), mask(LEFT, RIGHT), {"found": 2}),
        (mask(LEFT), mask(LEFT, RIGHT), {"found": 1, "missed": 1}),
        (mask((10, 10, 20, 41)), mask(LEFT, RIGHT), {"merged": 2}),
        # A small one on a large one: the large one is found, the small one is lost in it.
        (mask((10, 10, 20, 30)), mask((10, 10, 20, 20), (12, 31, 6, 6)), {"found": 1, "merged": 1}),
        (mask((10, 10, 20, 9), (10, 20, 20, 10)), mask(LEFT), {"split": 1}),
        # Cut in two, but one of the parts is most of it.
        (mask((10, 10, 20, 15), (10, 26, 20, 4)), mask(LEFT), {"found": 1}),
        (mask((0, 0, 40, 40)), mask(LEFT), {"misshapen": 1, "invented": 1}),
        (mask((0, 5, 30, 25)), mask(LEFT), {"found": 1}),
        (mask((10, 10, 20, 10)), mask(LEFT), {"missed": 1}),  # exactly half of it
        (mask(RIGHT), mask(LEFT), {"missed": 1, "invented": 1}),
        # Half of a true one, and all of another, in one predicted: not merged.
        (
            mask((10, 20, 20, 19)),
            mask((10, 10, 20, 20), (10, 31, 20, 8)),
            {"missed": 1, "misshapen": 1},
        ),
        # Two predicted ones with half of their pixels in a true one: not split.
        (
            mask((10, 1, 20, 18), (10, 20, 20, 20)),
            mask((10, 10, 20, 20)),
            {"misshapen": 1, "invented": 2},
        ),
        # Cut in parts, of which one is merged with another true one: merged.
        (
            mask((10, 0, 20, 21), (10, 22, 20, 3), (10, 26, 20, 3)),
            mask((10, 10, 20, 20), (10, 0, 20, 9)),
            {"merged": 2},
        ),
        (mask(), mask(), {}),
        (mask(), mask(LEFT), {"missed": 1}),
        (mask(LEFT), mask(), {"invented": 1}),
    ],
)
def test_kinds_of_errors(predicted, true, expected):
    scores = compute_scores(compare_masks(predicted, true))
    kinds = ("found", "missed", "merged", "split", "misshapen", "invented")
    found = {kind: scores[f"n_{kind}"] for kind in kinds if scores[f"n_{kind}"]}
    assert found == expected


def test_every_true_particle_has_one_fate_and_found_ones_are_those_of_the_recall():
    random = np.random.default_rng(0)
    found = []
    for _ in range(20):
        boxes = random.integers((0, 0, 4, 4), (50, 90, 12, 12), (12, 4))
        moved = boxes[: random.integers(4, 12)] + random.integers(-1, 2, 4)
        invented = random.integers((0, 0, 4, 4), (50, 90, 12, 12), (random.integers(3), 4))
        true, predicted = mask(*boxes.tolist()), mask(*np.abs([*moved, *invented]).tolist())
        scores = compute_scores(compare_masks(predicted, true))
        kinds = ("found", "missed", "merged", "split", "misshapen")
        assert sum(scores[f"n_{kind}"] for kind in kinds) == scores["n_true"]
        assert scores["n_found"] == pytest.approx(scores["recall"] * scores["n_true"])
        assert scores["n_found"] == pytest.approx(scores["precision"] * scores["n_predicted"])
        found.append((scores["n_found"], scores["n_true"], scores["n_predicted"]))
    # Some are found in each round, and numbers differ, so that none of this is 0 = 0.
    assert min(number for number, *_ in found) > 0
    assert sum(true != predicted for _, true, predicted in found) > 10


def test_the_sentence():
    scores = compute_scores(
        compare_masks(mask((10, 10, 20, 41)), mask(LEFT, RIGHT, (50, 50, 5, 5)))
    )
    assert describe_errors(scores) == (
        "of 3 true particles 0 found, 1 missed, 2 merged, 0 split, 0 misshapen; 0 of 1 predicted "
        "ones invented"
    )

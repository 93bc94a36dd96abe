"""From which distance on drawn outlines are said to be worse than augmented ones."""

import pytest

from pipeline.training_data.outline_sources import SHAPES, say_how_alike


@pytest.mark.parametrize(
    ("drawn", "warned"), [(0.1, False), (0.2, False), (0.28, False), (0.32, True), (0.9, True)]
)
def test_outlines_as_far_as_by_chance_are_not_warned_of(drawn, warned, caplog):
    found = {
        "medians": {"given": 20.0, "drawn": 21.0, "augmented": 20.0},
        "distances": {"drawn": drawn, "augmented": 0.2},
    }
    say_how_alike(dict.fromkeys(SHAPES, found))
    assert ("the WGAN's outlines are less like yours" in caplog.text) == warned

"""Numbers, names and durations as messages say them."""

import pytest

from pipeline.wording import NAMES_SHOWN, counted, first_names, format_seconds


def test_numbers_with_their_word():
    assert [counted(number, "file") for number in (0, 1, 2)] == [
        "0 files",
        "1 file",
        "2 files",
    ]
    assert counted(1, "mask has", "masks have") == "1 mask has"
    assert counted(2, "mask has", "masks have") == "2 masks have"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (48.4, "48 s"),
        (60, "1:00 min"),
        (200, "3:20 min"),
        (65.4, "1:05 min"),
        (59.6, "1:00 min"),
        (3599.4, "59:59 min"),
        (3599.6, "1:00 h"),
        (7500, "2:05 h"),
        (7559, "2:05 h"),
        (360_000, "100:00 h"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert format_seconds(seconds) == text


def test_a_few_of_many_names():
    names = list("abcdefgh")
    assert first_names(names[:NAMES_SHOWN]) == "a, b, c, d, e"
    assert first_names(names) == "a, b, c, d, e ..."

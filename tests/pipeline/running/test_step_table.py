"""What makes each step run again: its user's files, the steps before it, and its options."""

from pathlib import Path

import pytest

from pipeline.running.step_records import new_record, what_decides, why_run
from pipeline.running.step_table import STEPS
from tests.start_process import default_calls, default_options

# Written out once more: what is left out of the tables of the pipeline is missed here.
FOLDERS_OF_THE_USER = ("images_dir", "masks_dir", "true_masks_dir")
STEPS_BEFORE = {
    "0": set(),
    "1": set(),
    "2": {"0", "1"},
    "3": {"0", "2"},
    "4": {"2", "3"},
    "5": {"2", "4"},
    "6a": {"4", "5"},
    "6b": {"6a"},
    "7": {"6b"},
    "8": {"6b", "7"},
}
WITHOUT_EFFECT = {
    "checkpoint_minutes",
    "preview_every",
    "use_dataloader",
    "use_gpu_for_whole_image",
    "when_failed",
    # where the scenes are matched
    "perlin_noise_threshold",
    "min_no_of_particles",
    "max_no_of_particles",
}
RECORDS = {number: {"made_with": number, "left": "as it was"} for number in STEPS}


def keywords_of(number, root=None):
    options = default_options(root) | {"OUTLINE_SOURCE": "wgan", "MATCH_SCENES": True}
    return next(keywords for known, _, keywords in default_calls(options) if known == number)


def why(done, number, keywords, records=RECORDS):
    return why_run(done, what_decides(number, keywords, records), number, keywords)


@pytest.fixture
def finished(tmp_path):
    """Return ``finished(number)``: the keywords of a step and its record."""

    def finish(number):
        keywords = keywords_of(number, tmp_path)
        for name in FOLDERS_OF_THE_USER:
            if name in keywords:
                Path(keywords[name]).mkdir(parents=True)
                (Path(keywords[name]) / "a.png").write_bytes(b"one")
        done = new_record(what_decides(number, keywords, RECORDS), {}, number, keywords)
        assert why(done, number, keywords) is None
        return keywords, done

    return finish


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (number, name)
        for number in STEPS
        for name in FOLDERS_OF_THE_USER
        if name in keywords_of(number)
    ],
)
def test_a_step_runs_again_when_a_file_it_reads_is_another(finished, number, name):
    keywords, done = finished(number)
    (Path(keywords[name]) / "a.png").write_bytes(b"two")
    assert why(done, number, keywords) == f"input {name} changed"


@pytest.mark.parametrize("number", STEPS)
def test_a_step_runs_again_when_one_it_builds_on_has_and_only_then(finished, number):
    keywords, done = finished(number)
    changed = {"made_with": "anew", "left": "another"}
    reasons = {one: why(done, number, keywords, RECORDS | {one: changed}) for one in STEPS}
    assert {one: f"step {one} changed" for one in STEPS_BEFORE[number]} == {
        one: reason for one, reason in reasons.items() if reason
    }


@pytest.mark.parametrize("number", STEPS)
def test_a_step_runs_again_when_an_option_changes_that_has_an_effect(finished, number):
    keywords, done = finished(number)
    for name in (name for name in keywords if not name.endswith("_dir")):
        reason = why(done, number, keywords | {name: "another"})
        assert reason == (None if name in WITHOUT_EFFECT else f"option {name} changed")

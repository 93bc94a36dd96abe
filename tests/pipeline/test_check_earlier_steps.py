"""What a step reads must be there, or be made in the same run: said before hours of training."""

import pytest

from pipeline.check_earlier_steps import check_earlier_steps
from pipeline.check_inputs import check_inputs
from pipeline.step_table import STEPS
from tests.start_process import default_options, leave_outputs


def calls_of(folder, *numbers, **more):
    """Return the calls of these steps with their folders in ``folder``, as StartProcess.py's."""
    folders = {name: f"{folder}/{name}" for name in ("wgan_dir", "cyclegan_dir", "unet_dir")}
    return [(number, STEPS[number][0], folders | more) for number in numbers]


def test_all_steps_need_nothing(tmp_path):
    assert not check_earlier_steps(calls_of(tmp_path, *STEPS, match_scenes=True))
    assert not check_earlier_steps(calls_of(tmp_path, "0", "1", "7", "8"))


@pytest.mark.parametrize(
    ("run", "missing"),
    [
        (("2",), {"1"}),
        (("3",), {"0", "2"}),
        (("0", "1", "2", "3", "4", "6a", "6b"), {"5"}),
        (("5",), {"2", "4"}),
        (("6b",), {"6a"}),
    ],
)
def test_each_step_left_out_is_named_once(tmp_path, run, missing):
    problems = check_earlier_steps(calls_of(tmp_path, *run))
    assert len(problems) == len(missing)
    for number in missing:
        (problem,) = (p for p in problems if f"what step {number} ({STEPS[number][0]}) makes" in p)
        assert f"add {number} to the steps named on the command line" in problem


@pytest.mark.parametrize("number", ["2", "3", "4", "5", "6a", "6b"])
def test_what_an_earlier_run_left_is_enough(tmp_path, number):
    ((_, _, keywords),) = calls = calls_of(tmp_path, number)
    left_out = STEPS[number][2] if number != "2" else ("1",)
    assert len(check_earlier_steps(calls)) == len(left_out)
    for count, earlier in enumerate(left_out, 1):
        leave_outputs(earlier, keywords)
        assert len(check_earlier_steps(calls)) == len(left_out) - count


def test_a_run_folder_without_a_model_is_not_enough(tmp_path):
    (tmp_path / "unet_dir" / "Models" / "2026-01-31_12-00-00").mkdir(parents=True)
    assert len(check_earlier_steps(calls_of(tmp_path, "6b"))) == 1


def test_what_simulating_masks_needs_follows_from_its_options(tmp_path):
    assert not check_earlier_steps(calls_of(tmp_path, "2", outline_source="augmented"))
    (problem,) = check_earlier_steps(
        calls_of(tmp_path, "2", outline_source="augmented", match_scenes=True)
    )
    assert problem.startswith("Step 2 (simulate_masks) needs what step 0 ")


def test_the_check_of_a_run_says_it(tmp_path):
    with pytest.raises(ValueError, match=r"Step 6a .* needs what step 4 "):
        check_inputs(default_options(tmp_path), calls_of(tmp_path, "6a"))

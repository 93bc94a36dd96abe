"""What a step reads must be there, or be made in the same run: said before hours of training."""

import pytest

from pipeline.check_inputs import check_inputs
from pipeline.checks.earlier_steps import (
    check_earlier_steps,
    check_named_models,
    check_pairs,
    warn_of_other_backend,
    warn_of_other_options,
    warn_of_steps_between,
)
from pipeline.checks.values import UNKNOWN
from pipeline.files.records import write_json
from pipeline.running.step_table import NETWORKS, STEPS
from tests.start_process import default_options, leave_outputs


def calls_of(folder, *numbers, **more):
    """Return the calls of these steps with their folders in ``folder``, as StartProcess.py's."""
    folders = {name: f"{folder}/{name}" for name in ("wgan_dir", "cyclegan_dir", "unet_dir")}
    return [(number, STEPS[number].function, folders | more) for number in numbers]


def test_all_steps_need_nothing(tmp_path):
    masks = f"{tmp_path}/masks"
    calls = calls_of(tmp_path, *STEPS, match_scenes=True, output_dir=masks, masks_dir=masks)
    assert not check_earlier_steps(calls)
    assert not check_earlier_steps(calls_of(tmp_path, "0", "1", "8"))


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
        (problem,) = (
            p for p in problems if f"what step {number} ({STEPS[number].function}) makes" in p
        )
        assert f"add {number} to the steps named on the command line" in problem


@pytest.mark.parametrize("number", ["2", "3", "4", "5", "6a", "6b"])
def test_what_an_earlier_run_left_is_enough(tmp_path, number):
    ((_, _, keywords),) = calls = calls_of(tmp_path, number)
    left_out = STEPS[number].reads if number != "2" else ("1",)
    assert len(check_earlier_steps(calls)) == len(left_out)
    for count, earlier in enumerate(left_out, 1):
        leave_outputs(earlier, keywords)
        assert len(check_earlier_steps(calls)) == len(left_out) - count


@pytest.mark.parametrize(
    ("number", "unfinished", "words"),
    [
        (
            "6b",
            "unet_dir/Models/2026-01-31_12-00-00/Checkpoint_Lowest_Loss.keras",
            "has finished (model.keras; a renamed one",
        ),
        (
            "4",
            "cyclegan_dir/Models/2026-01-31_12-00-00/mask_to_image.keras",
            "has finished (image_to_mask.keras; a renamed one",
        ),
        ("4", "cyclegan_dir/data/trainB/made_with.json", "trainB holds no images"),
        ("5", "cyclegan_dir/generate_images/A/00000.tif", "B does not exist"),
        ("3", "cyclegan_dir/data/trainA/.DS_Store", "trainA holds no images"),
    ],
)
def test_what_a_killed_run_left_is_not_enough(tmp_path, number, unfinished, words):
    path = tmp_path / unfinished
    path.parent.mkdir(parents=True)
    path.touch()
    assert words in "\n".join(check_earlier_steps(calls_of(tmp_path, number)))


def test_steps_are_held_against_those_before_them_in_the_same_folders(tmp_path):
    train = calls_of(tmp_path, "6a")
    for earlier in ("4", "5"):
        leave_outputs(earlier, train[0][2])
    assert not check_earlier_steps(train + calls_of(tmp_path, "6b"))
    assert len(check_earlier_steps(calls_of(tmp_path, "6b") + train)) == 1
    elsewhere = calls_of(tmp_path, "6b", unet_dir=f"{tmp_path}/other")
    (problem,) = check_earlier_steps(train + elsewhere)
    assert f"no run in {tmp_path / 'other' / 'Models'} has finished" in problem


@pytest.mark.parametrize(
    ("run", "number", "missing"),
    [
        (("2", "5"), "5", "4"),
        (("2", "3", "4", "6a", "6b"), "6a", "5"),
        (("4", "6a"), "6a", "5"),
    ],
)
def test_new_files_are_not_paired_with_those_of_before(tmp_path, run, number, missing):
    calls = calls_of(tmp_path, *run)
    for earlier in STEPS:
        leave_outputs(earlier, {**calls[0][2], "output_dir": f"{tmp_path}/masks"})
    (problem,) = check_pairs(calls)
    assert problem.startswith(f"Step {number} ({STEPS[number].function}) pairs what the steps ")
    assert f"Add {missing} to the steps named on the command line" in problem
    with pytest.raises(ValueError, match=rf"so must {missing}\."):
        check_inputs(default_options(tmp_path), calls)


def test_pairs_of_steps_that_need_not_run_again_are_as_before(tmp_path):
    calls = calls_of(tmp_path, "0", "2", "5", "6a")
    assert not check_pairs(calls, lambda call: call[0] in ("0", "2"))
    assert check_pairs(calls, lambda call: call[0] == "0")


@pytest.mark.parametrize("run", [tuple(STEPS), ("3", "4"), ("6a", "6b"), ("5", "6a"), ("1", "6b")])
def test_steps_that_pair_nothing_new_may_run(tmp_path, run):
    assert not check_pairs(calls_of(tmp_path, *run))


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (("3", "6a", "6b"), [("6a", "4", "3"), ("6a", "5", "3")]),
        (("6a", "7"), [("7", "6b", "6a")]),
        (("0", "3"), [("3", "2", "0")]),
        (("3", "4", "5", "6a", "6b", "7", "8"), []),
        (("6b", "8"), []),
        (("3",), []),
        (tuple(STEPS), []),
    ],
)
def test_what_is_old_between_steps_that_are_new_is_warned_of(tmp_path, caplog, run, expected):
    calls = calls_of(tmp_path, *run, masks_dir=f"{tmp_path}/masks")
    warn_of_steps_between(calls)
    assert len(caplog.messages) == len(expected)
    for message, (number, between, anew) in zip(caplog.messages, expected, strict=True):
        assert message.startswith(f"Step {number} ({STEPS[number].function}) will use what step ")
        assert f"what step {between} (" in message and f"although step {anew} (" in message
        assert f"add step {between} " in message
    caplog.clear()
    warn_of_steps_between(calls, lambda call: True)
    assert caplog.text == ""


def test_networks_of_another_backend_are_told_of_where_no_run_of_this_one_is_alike(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    calls = calls_of(tmp_path, "0", "1", "3", "7", epochs=3, preview_every=1)

    def warnings(*records):
        for number, (name, backend, epochs) in enumerate(records):
            run = tmp_path / name / "Models" / f"2026-01-31_12-00-0{number}"
            run.mkdir(parents=True, exist_ok=True)
            options = {"epochs": epochs, "inputs": "a digest"}
            write_json(run / "options.json", {"options": options, "backend": backend})
        caplog.clear()
        warn_of_other_backend(calls)
        return caplog.messages

    assert warnings() == []
    torch, tensorflow = ("wgan_dir", "torch", 3), ("wgan_dir", "tensorflow", 3)
    assert warnings(("wgan_dir", "torch", 4), tensorflow) == []  # of other options, or of this one
    assert warnings(torch, tensorflow) == []
    (words,) = warnings(torch, torch)
    assert words.startswith("Step 1 (train_wgan) was run with torch and these options, and is run")
    assert "KERAS_BACKEND is tensorflow now" in words and "set KERAS_BACKEND=torch in" in words
    both = warnings(torch, torch, ("cyclegan_dir", "torch", 3))
    assert [words[:6] for words in both] == ["Step 1", "Step 3"]
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert warnings(torch, torch) == []


def test_networks_trained_with_other_options_than_those_now_are_told_of(tmp_path, caplog):
    given = {"target": "mask", "micrograph_scale": "auto", "preview_every": 1, "image_crop": 650}
    all_calls = calls_of(tmp_path, *STEPS, **given, seed=43, precision="auto", filters=UNKNOWN)
    run = tmp_path / "unet_dir" / "Models" / "2026-01-31_12-00-00"
    run.mkdir(parents=True)
    for file in NETWORKS["unet"].files:
        (run / file).touch()
    record = {"micrograph_scale": 2, "preview_every": 5, "inputs": "a digest", "seed": 42}
    record |= {"image_crop": 700, "filters": 8, "precision": "auto", "target": "mask"}

    def warnings(*numbers, calls=all_calls, **options):
        write_json(run / "options.json", {"options": record | options, "backend": "torch"})
        caplog.clear()
        warn_of_other_options([call for call in calls if call[0] in numbers], calls)
        return caplog.messages

    assert warnings("6b", "7") == []
    (words,) = warnings("6b", "7", target="instances", precision="float32")
    assert words.startswith(f"Step 6b will run the UNet of {run}, which was trained with other")
    now = "(target 'instances', now 'mask', precision 'float32', now 'auto'): add step 6a"
    assert now in words and words.endswith("or set them as they were.")
    assert warnings("6a", "6b", target="instances") == []  # it is trained now
    assert warnings("4", "7", target="instances") == []  # other networks, of which there are none
    chosen = calls_of(tmp_path, *STEPS, target="mask", unet_model=run.name)
    assert warnings("6b", calls=chosen, target="instances") == []
    nowhere = calls_of("", *STEPS, target="mask", unet_dir=3)
    assert warnings("6b", calls=nowhere, target="instances") == []  # which is said elsewhere
    (run / "options.json").write_text("damaged")
    warn_of_other_options(all_calls[-3:], all_calls)
    assert caplog.messages == []


@pytest.mark.parametrize(("outline_source", "told"), [("wgan", 1), ("augmented", 0)])
def test_a_wgan_that_no_step_runs_is_not_told_of(tmp_path, caplog, outline_source, told):
    all_calls = calls_of(tmp_path, "1", "2", epochs=10, outline_source=outline_source)
    run = tmp_path / "wgan_dir" / "Models" / "2026-01-31_12-00-00"
    run.mkdir(parents=True)
    (run / "model.keras").touch()
    write_json(run / "options.json", {"options": {"epochs": 1000}})
    warn_of_other_options(all_calls[1:], all_calls)
    assert len(caplog.messages) == told


def test_whether_steps_are_done_is_not_looked_at_where_all_are_called(tmp_path):
    """It takes reading all input."""
    warn_of_steps_between(calls_of(tmp_path, *STEPS, masks_dir="masks"), pytest.fail)
    asked = []
    warn_of_steps_between(
        calls_of(tmp_path, "0", "1", "3", "6a"), lambda call: asked.append(call[0])
    )
    assert sorted(asked) == sorted(set(asked))


def test_a_step_runs_again_where_one_it_builds_on_does(tmp_path, caplog):
    """All but the first are done, until that has run."""
    calls = calls_of(tmp_path, "0", "3", "4")
    warn_of_steps_between(calls, lambda call: call[0] != "0")
    assert [message[:6] for message in caplog.messages] == ["Step 3", "Step 4"]


def test_a_wgan_that_is_not_used_makes_nothing_anew(tmp_path, caplog):
    calls = calls_of(tmp_path, "0", "1", "2", "3", "4", "6a", outline_source="augmented")
    assert not check_pairs(calls, lambda call: call[0] != "1")
    warn_of_steps_between(calls, lambda call: call[0] != "1", "augmented")
    assert caplog.text == ""
    assert check_pairs(calls_of(tmp_path, "1", "2", "4", "6a"), lambda call: call[0] != "1")


def test_what_a_step_does_not_read_is_not_between(tmp_path, caplog):
    warn_of_steps_between(calls_of(tmp_path, "1", "3"), outline_source="augmented")
    warn_of_steps_between(calls_of(tmp_path, "0", "6b", unet_model="2026-01-31_12-00-00"))
    assert caplog.text == ""
    warn_of_steps_between(calls_of(tmp_path, "1", "3"))
    assert "Step 3" in caplog.text


def test_measuring_needs_masks(tmp_path):
    measure = calls_of(tmp_path, "7", masks_dir=f"{tmp_path}/masks")
    (problem,) = check_earlier_steps(measure)
    assert f"{tmp_path / 'masks'} does not exist" in problem
    leave_outputs("6b", {"output_dir": f"{tmp_path}/masks"})
    assert not check_earlier_steps(measure)
    for number in ("5", "6b"):
        calls = calls_of(tmp_path, number, output_dir=f"{tmp_path}/other")
        for earlier in ("2", "4", "6a"):
            leave_outputs(earlier, calls[0][2])
        measure = calls_of(tmp_path, "7", masks_dir=f"{tmp_path}/other")
        assert check_earlier_steps(measure) and not check_earlier_steps(calls + measure)


def test_a_model_that_is_named_is_looked_for_elsewhere(tmp_path):
    assert not check_earlier_steps(calls_of(tmp_path, "6b", unet_model="2026-01-31_12-00-00"))


def test_what_simulating_masks_needs_follows_from_its_options(tmp_path):
    assert not check_earlier_steps(calls_of(tmp_path, "2", outline_source="augmented"))
    (problem,) = check_earlier_steps(
        calls_of(tmp_path, "2", outline_source="augmented", match_scenes=True)
    )
    assert problem.startswith("Step 2 (simulate_masks) needs what step 0 ")


def test_the_check_of_a_run_says_it_unless_the_step_is_done(tmp_path):
    options, calls = default_options(tmp_path), calls_of(tmp_path, "6a")
    with pytest.raises(ValueError, match=r"Step 6a .* needs what step 4 "):
        check_inputs(options, calls)
    with pytest.raises(ValueError) as other:
        check_inputs(options, calls, lambda call: call == calls[0])
    assert "needs what" not in str(other.value)


def test_a_named_model_must_be_there(tmp_path):
    files = ("mask_to_image.keras", "image_to_mask.keras")
    for name, there in (("31", files), ("29", files[:1])):
        run = tmp_path / "Models" / f"2026-01-{name}_12-00-00"
        run.mkdir(parents=True)
        for file in there:
            (run / file).touch()

    def problems_of(name):
        return check_named_models(
            [("4", "translate_images", {"cyclegan_dir": str(tmp_path), "cyclegan_model": name})]
        )

    assert problems_of(None) == problems_of("2026-01-31_12-00-00") == []
    assert problems_of(3) == problems_of("a/b") == []  # these are said as wrong values
    for wrong in ("2026-01-30_12-00-00", "2026-01-29_12-00-00"):  # not there, not finished
        (problem,) = problems_of(wrong)
        assert f"translate_images: cyclegan_model is '{wrong}', but there is no such fin" in problem
        assert "(one that holds mask_to_image.keras and image_to_mask.keras)" in problem
        assert "Allowed is None for the newest, or one of: 2026-01-31_12-00-00." in problem

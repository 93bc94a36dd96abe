"""Which steps run; what is recorded of a finished one."""

import errno
import hashlib
import logging
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import workflow
from pipeline.checks.values import UNKNOWN
from pipeline.files import digests
from pipeline.files.records import read_json, write_json
from pipeline.image_files import write_image
from pipeline.presets import choose_preset
from pipeline.running import step_process
from pipeline.running.output_folders import EDITED, GOES_ASIDE, MADE_WITH
from pipeline.running.run_lock import identity_of
from pipeline.running.step_process import INTERRUPTED
from pipeline.running.step_records import new_record, what_decides
from pipeline.running.step_table import Call
from tests.start_process import device_options


def test_whether_a_step_is_done_can_be_asked_before_anything_is_checked(folder):
    keywords = {"images_dir": folder / "images", "tile_height": 64, "cyclegan_dir": folder}
    done = new_record(what_decides("0", keywords, {}), {}, "0", keywords)
    call = Call("0", "prepare_images", keywords)
    assert not workflow._is_done({"ROOT_DIR": folder}, call)
    (folder / ".workflow").mkdir()
    write_json(folder / ".workflow" / "steps.json", {"0": done})
    assert workflow._is_done({"ROOT_DIR": folder}, call)
    for others in (keywords | {"tile_height": 32}, {}):
        assert not workflow._is_done({"ROOT_DIR": folder}, call._replace(keywords=others))
    assert not workflow._is_done({}, call)


def steps_of(text):
    """Return ``steps(run_step)`` of a script with this line, and the script's names."""
    names = {"EPOCHS": 5}
    exec(f"def steps(run_step):\n    {text}", names)
    return names["steps"], names


@pytest.mark.parametrize(
    ("text", "calls", "missing"),
    [
        ("run_step('1', 'train', epochs=EPOCHS)", [("1", "train", {"epochs": 5})], []),
        (
            "run_step('1', 'train', epochs=EPOCS, seed=SEED, invert=not DARK)",
            [("1", "train", {"epochs": UNKNOWN, "seed": UNKNOWN, "invert": False})],
            ["EPOCS", "SEED", "DARK"],
        ),
        ("run_step('1', 'train', epochs=2 * EPOCS)", None, ["EPOCS"]),
    ],
)
def test_missing_names_do_not_hide_the_calls(text, calls, missing):
    steps, names = steps_of(text)
    before = dict(names)
    assert workflow._collect(steps) == (calls, missing)
    assert names == before


@pytest.mark.parametrize("text", ["run_step('1', 'train', epochs=2 * 'a', b=2 + 'a')", "x = x + 1"])
def test_other_errors_in_the_steps_are_the_scripts_own(text):
    with pytest.raises((TypeError, UnboundLocalError)):
        workflow._collect(steps_of(text)[0])


def test_steps_are_selected_by_number():
    calls = [(number, "name", {}) for number in workflow.STEPS]
    numbers = [call[0] for call in workflow._select(calls, ["6", "3"])]
    assert numbers == ["3", "6a", "6b"]
    assert workflow._select(calls, []) == calls
    with pytest.raises(SystemExit, match="No step nine; there are the steps 0, 1"):
        workflow._select(calls, ["nine"])
    with pytest.raises(SystemExit, match="Step 3 is not called"):
        workflow._select([call for call in calls if call[0] != "3"], ["3"])


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Return ``run(steps)``, run_workflow without checks; its exit code, 0 if it ends itself."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(workflow, "check_inputs", lambda *arguments: None)
    monkeypatch.setattr(workflow, "set_up_logging", lambda log_file=None: None)
    monkeypatch.setattr(workflow, "catch_ends_from_outside", lambda: None)

    def run(steps=lambda run_step: None, resume=True, selected=None, **options):
        how = {} if selected is None else {"selected": selected}
        options = device_options() | {"ROOT_DIR": tmp_path, "RESUME": resume} | options
        try:
            workflow.run_workflow(steps, options=options, **how)
        except SystemExit as end:
            return end.code
        return 0

    return run


def one_step(folder):
    keywords = {"images_dir": str(folder / "images"), "cyclegan_dir": str(folder)}
    return lambda run_step: run_step("0", "prepare_images", **keywords)


class FakeProcess:
    """Stands for a step's process; ``ends`` is what each wait for it gives."""

    def __init__(self, ends):
        self.ends, self.told, self.pid = iter(ends), [], os.getpid()

    def wait(self, timeout):
        end = next(self.ends)
        if end is KeyboardInterrupt:
            raise KeyboardInterrupt
        return end

    def send_signal(self, number):
        self.told.append(number)

    def kill(self):
        self.told.append("killed")


def step_that(monkeypatch, *ends):
    process = FakeProcess(ends)
    monkeypatch.setattr(step_process.subprocess, "Popen", lambda command, **options: process)
    return process


def test_measuring_is_told_what_the_checks_and_the_steps_before_warned_of(
    run, tmp_path, monkeypatch
):
    def check(*arguments):
        logging.getLogger("pipeline").warning("no bar in a.tif")

    monkeypatch.setattr(workflow, "check_inputs", check)
    step_that(monkeypatch, 0)
    state = tmp_path / ".workflow"
    state.mkdir()
    write_json(state / "warnings.json", {"1": ["blurs"], "6b": ["faint: a.tif"]})
    folders = ("masks_dir", "images_dir", "results_dir", "wgan_dir", "cyclegan_dir", "unet_dir")
    keywords = {name: str(tmp_path / name) for name in folders}
    measure = lambda run_step: run_step("7", "measure_particles", **keywords)  # noqa: E731
    assert run(measure, OUTLINE_SOURCE="augmented") == 0  # so the WGAN is not used
    told = read_json(state / "job.json")["keywords"]["earlier_warnings"]
    assert told == {"checks 7": ["no bar in a.tif"], "6b": ["faint: a.tif"]}
    step_that(monkeypatch, 0)
    write_json(state / "warnings.json", {"6b": ["nothing of it decides the result"]})
    assert run(measure) == 0
    assert read_json(state / "job.json")["keywords"]["earlier_warnings"] == told  # not run again
    (state / "steps.json").unlink()
    step_that(monkeypatch, 0)
    write_json(state / "warnings.json", {"1": ["blurs"]})
    assert run(measure) == 0
    told = read_json(state / "job.json")["keywords"]["earlier_warnings"]
    assert told == {"1": ["blurs"], "checks 7": ["no bar in a.tif"]}
    step_that(monkeypatch, 0)
    write_json(state / "warnings.json", {"checks 0": ["no bar in another.tif"]})
    assert run(measure, selected=["7"]) == 0
    told = read_json(state / "job.json")["keywords"]["earlier_warnings"]
    assert told == {"checks 0": ["no bar in another.tif"], "checks 7": ["no bar in a.tif"]}


def test_a_second_run_is_refused_naming_the_first(run, tmp_path, caplog):
    lock = tmp_path / ".workflow" / "lock.json"
    lock.parent.mkdir()
    write_json(lock, {"run": identity_of(os.getpid()), "step": None})
    assert run() == 3
    assert f"Another run is on in this folder: process {os.getpid()} ({lock})" in caplog.text
    assert lock.exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows tells the step by itself")
def test_ctrl_c_lets_the_step_save_and_says_how_to_go_on(run, folder, monkeypatch, caplog):
    process = step_that(monkeypatch, KeyboardInterrupt, INTERRUPTED)
    assert run(one_step(folder)) == INTERRUPTED
    assert process.told == [signal.SIGINT]
    assert "stopping when the state is saved; press Ctrl-C again to stop at once" in caplog.text
    assert caplog.messages[-2] == "interrupted"
    assert caplog.messages[-1] == "to go on here, run `python StartProcess.py` again"
    assert read_json(folder / ".workflow" / "steps.json") is None
    assert not (folder / ".workflow" / "lock.json").exists()


@pytest.mark.parametrize("selected", [None, ("1",)])
def test_the_preset_is_noted_where_a_network_is_trained(run, folder, monkeypatch, selected):
    """Of all steps or named ones, and not before: see `describe_switch`."""
    preset = choose_preset({"PRESET": "quick"})
    record = folder / ".workflow" / "preset.json"
    step_that(monkeypatch, 0, 0)
    assert run(one_step(folder), preset=preset) == 0
    assert not record.exists()

    def steps(run_step):
        run_step("1", "train_wgan", masks_dir=str(folder / "images"), wgan_dir=str(folder))

    step_that(monkeypatch, 0)
    assert run(steps, selected=selected, preset=preset) == 0
    assert read_json(record) == {"preset": "quick"}


def test_warnings_of_before_stay_where_a_step_makes_the_same(run, folder, monkeypatch):
    """The step is given a digest for that: see `note_warnings`."""
    job, given = folder / ".workflow" / "job.json", []

    def run_it(**how):
        step_that(monkeypatch, 0)
        assert run(one_step(folder), selected=("0",), **how) == 0
        given.append(read_json(job)["made_with"])

    run_it()
    run_it()
    (folder / "data" / "trainA" / "a-0.tif").write_bytes(b"by hand")
    run_it()
    run_it(resume=False)
    (folder / "images" / "a.tif").write_bytes(b"other")
    run_it()
    assert given[0] == given[1] == given[2] and given[3] is None
    assert given[4] not in (None, given[0])


def test_large_micrographs_are_read_once_to_tell_whether_they_change(run, folder, monkeypatch):
    read, take_digest, now = [], hashlib.file_digest, time.time_ns

    def file_digest(file, kind):
        read.append(Path(file.name).name)
        return take_digest(file, kind)

    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(digests, "LARGE", 1)
    monkeypatch.setattr(digests.hashlib, "file_digest", file_digest)
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 10**11)
    step_that(monkeypatch, 0)
    assert run(one_step(folder)) == 0
    digests._known.clear()  # another process
    step_that(monkeypatch)
    assert run(one_step(folder)) == 0
    assert read.count("a.tif") == 1
    # Where nothing has to run, too, as in a folder that was copied.
    (folder / ".workflow" / "digests.json").unlink()
    for _ in range(2):
        digests._known.clear()
        assert run(one_step(folder)) == 0
    assert read.count("a.tif") == 2


def test_a_second_ctrl_c_stops_at_once(run, folder, monkeypatch):
    process = step_that(monkeypatch, KeyboardInterrupt, KeyboardInterrupt)
    assert run(one_step(folder)) == INTERRUPTED
    assert process.told[-1] == "killed"


def test_a_step_that_ends_well_in_spite_of_ctrl_c_is_recorded(run, folder, monkeypatch):
    step_that(monkeypatch, KeyboardInterrupt, 0)
    assert run(one_step(folder)) == INTERRUPTED
    assert list(read_json(folder / ".workflow" / "steps.json")) == ["0"]


def test_how_to_go_on_names_the_steps_that_were_asked_for(caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(SystemExit):
        workflow._exit_interrupted(True, ("3", "4"))
    assert caplog.messages == [
        "interrupted",
        "to go on here, run `python StartProcess.py 3 4` again",
    ]


def test_ctrl_c_between_the_steps_says_how_to_go_on(run, monkeypatch, caplog):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "check_inputs", interrupted)
    assert run() == INTERRUPTED
    assert caplog.messages == ["interrupted", "to go on here, run `python StartProcess.py` again"]


def test_a_killed_step_is_said_and_not_recorded(run, folder, monkeypatch, caplog):
    step_that(monkeypatch, -9)
    assert run(one_step(folder)) == 1
    assert "step 0 was ended by signal 9, most often because memory ran out" in caplog.text
    assert read_json(folder / ".workflow" / "steps.json") is None


@pytest.mark.parametrize("end", [1, -9, INTERRUPTED])
def test_a_step_that_failed_when_run_again_is_not_taken_for_the_one_before(
    end, run, folder, monkeypatch, caplog
):
    step_that(monkeypatch, 0)
    assert run(one_step(folder)) == 0
    # The record of a run with other options would fit again, and so would the sizes of the files.
    step_that(monkeypatch, end)
    assert run(one_step(folder), selected=("0",)) != 0
    step_that(monkeypatch, 0)
    caplog.clear()
    assert run(one_step(folder)) == 0
    assert "already done" not in caplog.text


def test_stopped_without_resume_the_way_on_is_with_it(run, folder, monkeypatch, caplog):
    step_that(monkeypatch, KeyboardInterrupt, INTERRUPTED)
    assert run(one_step(folder), resume=False) == INTERRUPTED
    assert caplog.messages[-1] == (
        "to go on here, set RESUME = True and run `python StartProcess.py` again"
    )


@pytest.mark.parametrize(
    ("resume", "selected", "words"),
    [
        (True, ("0",), "to go on here, run `python StartProcess.py 0` again"),
        (False, (), "to go on here, set RESUME = True and run `python StartProcess.py` again"),
    ],
)
def test_after_a_failure_the_way_on_is_told_as_after_ctrl_c(
    run, folder, monkeypatch, caplog, resume, selected, words
):
    """All steps instead of one, or RESUME = False again, would train networks anew."""
    step_that(monkeypatch, 1)
    assert run(one_step(folder), resume=resume, selected=selected) == 1
    assert caplog.messages[-1] == words


def test_full_memory_is_said_in_words(run, monkeypatch, caplog):
    def full(*arguments):
        raise MemoryError("Unable to allocate 11 GiB")

    monkeypatch.setattr(workflow, "check_inputs", full)
    assert run() == 1
    assert "out of memory. End other programs" in caplog.text


def test_a_full_disk_is_said_in_words(run, folder, monkeypatch, caplog):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(step_process, "write_json", full)
    assert run(one_step(folder)) == 1
    assert "the disk is full" in caplog.text
    assert "job.json'). Make room; all that is finished is kept" in caplog.text
    assert "to go on here, run `python StartProcess.py` again" in caplog.text


def test_a_step_that_runs_again_says_why(run, folder, monkeypatch, caplog):
    step_that(monkeypatch, 0, 0)
    assert run(one_step(folder)) == 0
    assert run(one_step(folder)) == 0
    assert "folders and real tiles: already done with the same options and inputs" in caplog.text
    (folder / "images" / "a.tif").write_bytes(b"other")
    assert run(one_step(folder)) == 0
    assert "folders and real tiles again (input images_dir changed)" in caplog.text


def test_what_was_overwritten_by_a_file_of_the_same_size_is_noticed(
    run, folder, monkeypatch, caplog
):
    step_that(monkeypatch, 0, 0)
    assert run(one_step(folder)) == 0
    overwritten = folder / "data" / "trainA" / "a-0.tif"
    overwritten.write_bytes(b"TILE")
    os.utime(overwritten, ns=(1, 1))  # also where the clock has not ticked since
    assert run(one_step(folder)) == 0
    assert "already done" not in caplog.text
    assert "again (its output is not as it was left" in caplog.text


def test_what_the_user_changed_is_marked_before_the_step_runs_again(run, folder, monkeypatch):
    made = folder / "data" / "trainA"
    write_json(made / MADE_WITH, {"tile": 64})
    step_that(monkeypatch, 0, 0, 0)
    (folder / "images" / "a.tif").write_bytes(b"other")
    assert run(one_step(folder)) == 0
    (folder / "images" / "a.tif").write_bytes(b"another")
    assert run(one_step(folder)) == 0
    assert read_json(made / MADE_WITH) == {"tile": 64}
    (made / "a-0.tif").write_bytes(b"by hand")
    (folder / "images" / "a.tif").write_bytes(b"another yet")
    assert run(one_step(folder), selected=["0"]) == 0
    assert read_json(made / MADE_WITH) == {"tile": 64, EDITED: True}


@pytest.mark.parametrize(
    ("resume", "selected", "warned"), [(True, (), True), (True, ("1",), False), (False, (), False)]
)
def test_another_backend_is_warned_of_where_a_network_is_there(
    run, tmp_path, monkeypatch, caplog, resume, selected, warned
):
    model_run = tmp_path / "Models" / "2026-01-31_12-00-00"
    model_run.mkdir(parents=True)
    write_json(model_run / "options.json", {"options": {"epochs": 3}, "backend": "another"})
    step_that(monkeypatch, 0)
    keywords = {"wgan_dir": str(tmp_path), "masks_dir": str(tmp_path / "masks"), "epochs": 3}

    def steps(run_step):
        run_step("1", "train_wgan", **keywords)

    assert run(steps, resume=resume, selected=selected) == 0
    assert ("was run with another and these options" in caplog.text) == warned


def test_numbers_of_numpy_are_as_pythons(tmp_path, monkeypatch):
    seen = []

    def check(options, calls, is_done, problems):
        seen.extend([options["SEED"], options["SIZES"], calls[0][2]["scale"]])
        raise ValueError

    monkeypatch.setattr(workflow, "check_inputs", check)
    monkeypatch.setattr(workflow, "set_up_logging", lambda log_file=None: None)
    monkeypatch.setattr(workflow, "catch_ends_from_outside", lambda: None)
    options = {"ROOT_DIR": tmp_path, "SEED": np.int64(3), "SIZES": [np.float32(0.5), (1, None)]}
    with pytest.raises(SystemExit):
        workflow.run_workflow(
            lambda run_step: run_step("0", "prepare_images", scale=np.float64(0.7)), options=options
        )
    assert seen == [3, [0.5, (1, None)], 0.7]
    assert [type(one) for one in (seen[0], seen[1][0], seen[2])] == [int, float, float]


def test_without_resume_finished_steps_run_and_train_anew(run, folder, monkeypatch, caplog):
    jobs = []

    def start(command, **options):
        jobs.append(read_json(Path(command[-1])))
        return FakeProcess([0])

    monkeypatch.setattr(step_process.subprocess, "Popen", start)
    masks = {"masks_dir": str(folder / "images"), "wgan_dir": str(folder)}

    def steps(run_step):
        one_step(folder)(run_step)
        run_step("1", "train_wgan", **masks)

    assert run(steps) == 0
    assert run(steps) == 0
    assert [job["number"] for job in jobs] == ["0", "1"]
    caplog.clear()
    assert run(steps, resume=False) == 0
    assert [job["number"] for job in jobs] == ["0", "1", "0", "1"]
    assert "already done" not in caplog.text and "again" not in caplog.text
    assert [job["keywords"].get("resume") for job in jobs[1::2]] == [True, False]
    assert all("resume" not in job["keywords"] for job in jobs[::2])


@pytest.mark.parametrize("selected", [("0",), ("1",), ()])
def test_options_of_steps_that_do_not_run_are_compared_with_networks(
    run, folder, monkeypatch, selected
):
    def steps(run_step):
        one_step(folder)(run_step)
        run_step("1", "train_wgan", wgan_dir=str(folder), masks_dir=str(folder))

    asked = []
    monkeypatch.setattr(
        workflow,
        "warn_of_other_options",
        lambda *lists: asked.append([[call[0] for call in calls] for calls in lists]),
    )
    step_that(monkeypatch, 0, 0)
    assert run(steps, selected=selected) == 0
    assert asked == [[list(selected or ("0", "1")), ["0", "1"]]]


def test_without_resume_nothing_that_is_there_is_taken_for_done(run, folder, monkeypatch):
    """Files without a record of how they were made are set aside by the step that would write."""
    kept = folder / "data" / "trainA"
    for resume in (True, False):
        write_json(kept / MADE_WITH, {"micrograph_scale": 2})
        step_that(monkeypatch, 0)
        assert run(one_step(folder), resume=resume) == 0
        # What was made with what is known until then.
        record = read_json(kept / MADE_WITH)
        assert record == {"micrograph_scale": 2} | ({} if resume else {GOES_ASIDE: True})
        assert (kept / "a-0.tif").read_bytes() == b"tile"


@pytest.mark.parametrize(("selected", "asks"), [((), True), (("6b", "7"), True), (("7",), False)])
def test_auto_asks_before_all_that_the_preset_has_a_bearing_on(
    selected, asks, monkeypatch, tmp_path
):
    known = []
    monkeypatch.setattr(workflow, "describe_switch", lambda *arguments: ["another preset"])
    monkeypatch.setattr(workflow, "set_up_logging", lambda log_file=None: None)
    monkeypatch.setattr(workflow, "catch_ends_from_outside", lambda: None)

    def check(options, calls, is_done, problems):
        known.extend(problems)
        raise ValueError

    monkeypatch.setattr(workflow, "check_inputs", check)

    def steps(run_step):
        run_step("6b", "segment_images")
        run_step("7", "measure_particles")

    with pytest.raises(SystemExit):
        workflow.run_workflow(steps, options={"ROOT_DIR": tmp_path}, selected=selected)
    assert known == ["another preset"] * asks


@pytest.mark.parametrize(("option", "expected"), [("auto", 2.0), (1.5, 1.5)])
def test_the_scale_is_chosen_once_for_all_steps_and_for_the_checks(
    tmp_path, monkeypatch, caplog, option, expected
):
    caplog.set_level("INFO")
    mask = np.zeros((30, 30), np.uint8)
    mask[10:20, 10:20] = 255
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "masks" / "a.png", mask)
    checked, run = [], []
    monkeypatch.setattr(workflow, "check_inputs", lambda *given: checked.append(given))
    monkeypatch.setattr(workflow, "set_up_logging", lambda log_file=None: None)
    monkeypatch.setattr(workflow, "catch_ends_from_outside", lambda: None)
    monkeypatch.setattr(
        workflow, "_run_unless_finished", lambda *given: run.append(given[1].keywords)
    )

    def steps(run_step):
        run_step("0", "prepare_images", micrograph_scale=option, seed=1)
        run_step("8", "score_masks")

    options = {"ROOT_DIR": tmp_path, "RESUME": True, "MICROGRAPH_SCALE": option}
    workflow.run_workflow(steps, options=options | {"INPUT_DIR_MASKS": tmp_path / "masks"})
    ((seen_options, calls, *_),) = checked
    assert seen_options["MICROGRAPH_SCALE"] == expected
    assert run == [keywords for *_, keywords in calls]
    assert run == [{"micrograph_scale": expected, "seed": 1}, {}]
    assert ("enlarged 2 times" in caplog.text) == (option == "auto")


@pytest.mark.parametrize("root", ["a\0b", 3, None])
def test_a_root_that_is_no_folder_s_name_is_told_with_all_that_is_wrong(monkeypatch, caplog, root):
    monkeypatch.setattr(workflow, "set_up_logging", lambda log_file=None: None)
    monkeypatch.setattr(workflow, "catch_ends_from_outside", lambda: None)
    with pytest.raises(SystemExit) as end:
        workflow.run_workflow(lambda run_step: None, options={"ROOT_DIR": root, "RESUME": 7})
    assert end.value.code == 2
    assert "ROOT_DIR" in caplog.text and "RESUME" in caplog.text


def test_digests_that_cannot_be_read_stop_no_run(run, folder, monkeypatch):
    step_that(monkeypatch, 0)
    assert run(one_step(folder)) == 0
    read, refused = workflow.read_record, []

    def read_record(path):
        if path.name == "digests.json" and not refused:
            refused.append(path)
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(workflow, "read_record", read_record)
    assert run(one_step(folder)) == 0
    assert refused

"""The preset picks one of two values, and says which and why."""

import os
from pathlib import Path

import pytest

from models import backend, devices
from pipeline import presets
from pipeline.checks.options import check_options
from pipeline.files.records import write_json
from pipeline.run_folders import new_run_folder
from pipeline.running.step_table import Call


@pytest.mark.parametrize(
    ("chosen", "numbers", "warned"),
    [
        ("quick", ["0", "1", "7"], True),
        ("quick", ["6a"], True),
        ("quick", ["6b", "7"], False),
        ("published", ["1", "3", "6a"], False),
    ],
)
def test_networks_of_the_quick_preset_are_warned_of(chosen, numbers, warned, caplog):
    options = {"preset": presets.choose_preset({"PRESET": chosen})}
    presets.warn_of_first_look(options, [Call(number, "", {}) for number in numbers])
    assert ("networks of the quick preset give a first look" in caplog.text) == warned
    presets.warn_of_first_look({}, [Call("1", "", {})])


def test_named_presets_pick_their_value():
    assert presets.choose_preset({"PRESET": "published"})(published=384, quick=128) == 384
    assert presets.choose_preset({"PRESET": "quick"})(published=384, quick=128) == 128


@pytest.mark.parametrize(
    ("given", "named", "words", "value"),
    [
        ((), {"publishd": 384, "quick": 128}, "preset(publishd=384, quick=128) does not name", 384),
        ((384, 128), {}, "preset(384, 128) does not name both presets; allowed is preset(", 384),
        ((), {"quick": 128}, "preset(quick=128) does not name both presets", 128),
        ((), {"published": 1, "quick": 2, "slow": 3}, "slow=3) does not name both", 1),
        ((), {}, "preset() does not name both presets", None),
    ],
)
def test_a_call_that_does_not_name_both_presets_is_a_problem(given, named, words, value):
    preset = presets.choose_preset({"PRESET": "published"})
    assert presets.describe_wrong_calls({"preset": preset}) == []
    assert preset(*given, **named) == preset(*given, **named) == value
    (problem,) = presets.describe_wrong_calls({"preset": preset})
    assert words in problem
    assert ("Did you mean published?" in problem) == ("publishd" in named)
    assert presets.describe_wrong_calls({}) == []


@pytest.mark.parametrize(
    ("there", "found", "value", "words"),
    [
        (False, False, 2, "no GPU found: quick preset"),
        (True, True, 1, "a GPU found: published preset"),
        (True, False, 2, "a GPU is there, but torch cannot use it"),
    ],
)
def test_auto_looks_for_a_gpu(there, found, value, words, monkeypatch, caplog):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(presets, "machine_shows_gpu", lambda: there)
    monkeypatch.setattr(presets, "backend_finds_gpu", lambda index: found)
    caplog.set_level("INFO")
    assert presets.choose_preset({"PRESET": "auto"})(published=1, quick=2) == value
    assert words in caplog.text


@pytest.mark.parametrize(
    ("use_gpus", "first"), [("all", 0), (2, 0), ([1, 0], 1), ((1,), 1), ([], None)], ids=str
)
def test_auto_asks_for_the_gpu_that_is_trained_on(use_gpus, first, monkeypatch):
    asked, tried = [], []
    monkeypatch.setattr(presets, "machine_shows_gpu", lambda: True)
    monkeypatch.setattr(presets, "backend_finds_gpu", lambda chosen: asked.append(chosen))
    presets.choose_preset({"PRESET": "auto", "USE_GPUS_NO": use_gpus})
    assert asked == ([] if use_gpus == [] else [use_gpus])
    monkeypatch.setattr(devices, "gpu_names", lambda: ["one", "another"])
    monkeypatch.setattr(devices, "can_use_gpu", lambda index: tried.append(index) or True)
    assert [devices.finds_gpu(chosen) for chosen in asked] == [True] * len(asked)
    assert tried == ([] if first is None else [first])


def test_a_process_of_its_own_tells_whether_a_gpu_can_be_used(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend.BACKEND)
    ask, answers = presets.subprocess.run, []

    def run(*command, **how):
        answers.append(ask(*command, **how))
        return answers[-1]

    monkeypatch.setattr(presets.subprocess, "run", run)
    usable = devices.can_use_gpu(0)
    assert presets.backend_finds_gpu("all") is usable
    assert (answers[0].returncode, answers[0].stdout) == (0, f"usable: {usable}\n")
    monkeypatch.setattr(presets, "environment_of_step", lambda: {**os.environ, "PYTHONPATH": ""})
    monkeypatch.setenv("KERAS_BACKEND", "none")
    assert presets.backend_finds_gpu("all") is False


def test_ctrl_c_while_it_looks_for_a_gpu_ends_the_run_in_words(monkeypatch, caplog):
    def interrupted(index):
        raise KeyboardInterrupt

    monkeypatch.setattr(presets, "machine_shows_gpu", lambda: True)
    monkeypatch.setattr(presets, "backend_finds_gpu", interrupted)
    caplog.set_level("INFO")
    with pytest.raises(SystemExit) as ended:
        presets.choose_preset({"PRESET": "auto"})
    assert ended.value.code == 130
    assert "nothing was started" in caplog.text


def test_auto_is_quick_where_the_cpu_is_asked_for(monkeypatch, caplog):
    monkeypatch.setattr(presets, "machine_shows_gpu", lambda: True)
    monkeypatch.setattr(presets, "backend_finds_gpu", lambda index: True)
    caplog.set_level("INFO")
    assert presets.choose_preset({"PRESET": "auto", "USE_GPUS_NO": 0})(published=1, quick=2) == 2
    assert "USE_GPUS_NO is 0, the CPU: quick preset" in caplog.text
    assert presets.choose_preset({"PRESET": "auto", "USE_GPUS_NO": [0]})(published=1, quick=2) == 1


@pytest.mark.parametrize("name", ["fast", None, ["quick"]])
def test_an_unknown_preset_is_refused_by_the_check_not_before(name, caplog):
    caplog.set_level("INFO")
    assert presets.choose_preset({"PRESET": name})(published=1, quick=2) == 2
    assert not caplog.text  # nothing was decided
    (problem,) = (one for one in check_options({"PRESET": name}) if one.startswith("PRESET is"))
    assert f"PRESET is {name!r}" in problem
    assert 'allowed is "published", "quick" or "auto"' in problem


def test_auto_does_not_switch_to_another_preset_in_a_folder_with_networks(tmp_path, monkeypatch):
    def options(name, chosen):
        monkeypatch.setattr(presets, "machine_shows_gpu", lambda: chosen == "published")
        monkeypatch.setattr(presets, "backend_finds_gpu", lambda index: True)
        chosen = {"PRESET": name, "preset": presets.choose_preset({"PRESET": name})}
        return chosen | {"WGAN_DIR": str(tmp_path / "1_WGAN")}

    published, quick = options("auto", "published"), options("auto", "quick")
    assert not presets.describe_switch(quick, tmp_path)
    presets.note_preset(published, tmp_path)
    (tmp_path / "1_WGAN" / "Models").mkdir(parents=True)
    assert not presets.describe_switch(quick, tmp_path)  # nothing is lost
    new_run_folder(tmp_path / "1_WGAN" / "Models")  # begun, perhaps not finished
    assert not presets.describe_switch(published, tmp_path)
    (problem,) = presets.describe_switch(quick, tmp_path)
    assert problem.startswith('PRESET is "auto", which is "quick" on this machine now')
    assert 'Set PRESET = "published" to go on' in problem
    assert not presets.describe_switch(options("quick", "quick"), tmp_path)  # the user's own word
    presets.note_preset(options("quick", "quick"), tmp_path)
    assert not presets.describe_switch(quick, tmp_path)
    assert not presets.describe_switch({"PRESET": "auto"}, tmp_path)


def test_what_is_no_record_hides_no_other_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "machine_shows_gpu", lambda: False)
    options = {"PRESET": "auto", "preset": presets.choose_preset({"PRESET": "auto"})}
    write_json(tmp_path / presets.PRESET_RECORD, ["no record"])
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "file" / ".workflow", Path("a\0b")):
        assert presets.describe_switch(options, folder) == []
    write_json(tmp_path / presets.PRESET_RECORD, {"preset": "published"})
    for no_folder in (7, None, "a\0b", str(tmp_path / "file")):
        assert presets.describe_switch(options | {"WGAN_DIR": no_folder}, tmp_path) == []


def test_a_preset_set_below_the_options_it_decides_is_a_problem():
    options = {"PRESET": "quick", "USE_GPUS_NO": 0}
    options["preset"] = presets.choose_preset(options)
    assert presets.describe_changes(options) == []
    options |= {"PRESET": "published", "USE_GPUS_NO": [1]}
    first, second = presets.describe_changes(options)
    assert first.startswith("PRESET is 'published', but was 'quick' where the preset was chosen")
    assert second.startswith("USE_GPUS_NO is [1], but was 0")
    assert presets.describe_changes({"PRESET": "quick"}) == []

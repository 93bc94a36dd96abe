import os
from pathlib import Path

import pytest

from pipeline.checks.disk import check_disk_space
from pipeline.checks.folders import check_write_permission, existing_parent
from tests.start_process import default_options


def test_the_nearest_folder_that_exists(tmp_path):
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    assert existing_parent(tmp_path) == tmp_path


def test_no_permission_to_write(tmp_path, monkeypatch):
    # A superuser may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: "Results" not in str(path))
    (tmp_path / "Results").mkdir()
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"RESULTS_DIR is {tmp_path}" in problem
    assert f"there is no permission to write in {tmp_path / 'Results'}" in problem
    assert "change the permission or the option" in problem


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a superuser may write")
def test_no_permission_to_write_for_a_user(tmp_path):
    tmp_path.chmod(0o555)
    problems = check_write_permission(default_options(tmp_path))
    tmp_path.chmod(0o755)
    assert "no permission to write" in problems[0]


def test_no_permission_to_write_anywhere(tmp_path, monkeypatch):
    """As the test before, for a superuser, who may write."""
    monkeypatch.setattr(os, "access", lambda path, mode: tmp_path not in (path, *path.parents))
    problems = check_write_permission(default_options(tmp_path))
    assert problems[0].startswith(f"ROOT_DIR is {tmp_path}, but there is no permission to write")
    assert len(problems) > 5 and all("no permission to write in" in one for one in problems)


def test_where_earlier_masks_cannot_go_is_warned_of(tmp_path, monkeypatch, caplog):
    shared = tmp_path / "shared"
    (shared / "masks").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shared)
    options = default_options(tmp_path) | {"OUTPUT_DIR_UNET": str(shared / "masks")}
    assert check_write_permission(options) == []
    assert caplog.text == ""  # nothing is there to be moved
    (shared / "masks" / "a.tif").touch()
    assert check_write_permission(options, ["7"]) == []
    assert caplog.text == ""
    assert check_write_permission(options) == []
    assert f"OUTPUT_DIR_UNET is {shared / 'masks'}, which holds masks" in caplog.text
    assert f"no permission to write in {shared}, where" in caplog.text


def test_masks_of_others_may_lie_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: "shared" not in str(path))
    for name, maker in (("OUTPUT_DIR_UNET", "6b"), ("OUTPUT_DIR_CYCLEGAN", "5")):
        options = default_options(tmp_path) | {name: str(tmp_path / "shared")}
        assert check_write_permission(options, ["7", "8"]) == []
        (problem,) = check_write_permission(options, [maker])
        assert problem.startswith(f"{name} is {tmp_path / 'shared'}, but there is no permission")


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "Results").write_text("a file")
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"but {tmp_path / 'Results'} is a file. Allowed is a folder" in problem


def test_a_drive_that_is_not_there(tmp_path, monkeypatch):
    drive, exists = Path(tmp_path.anchor), os.path.exists
    folder = drive / "no such folder" / "Results"
    # Without its drive, nothing of a path exists.
    monkeypatch.setattr(os.path, "exists", lambda path: Path(path) != drive and exists(path))
    options = default_options(tmp_path) | {"RESULTS_DIR": str(folder)}
    (problem,) = check_write_permission(options)
    assert f"RESULTS_DIR is {folder}, but there is no {drive}. Allowed is a folder on" in problem
    assert check_disk_space(options, {"RESULTS_DIR": 10**18}, []) == []


def test_a_folder_below_one_that_may_not_be_entered(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    stat, access = os.stat, os.access

    def refuse(path, *how, **more):
        if closed in Path(os.fsdecode(path)).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *how, **more)

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and access(path, mode))
    options = default_options(tmp_path) | {"RESULTS_DIR": str(closed / "a" / "b")}
    assert existing_parent(closed / "a" / "b") == closed
    (problem,) = check_write_permission(options)
    assert f"RESULTS_DIR is {closed / 'a' / 'b'}, but there is no permission to write" in problem
    assert f"in {closed}. Allowed is a folder of your own" in problem


@pytest.mark.parametrize("inner", [".workflow", "1_WGAN/Models", "2_CycleGAN/generate_images/B"])
def test_folders_of_earlier_runs_must_be_writable_too(tmp_path, monkeypatch, inner):
    (tmp_path / inner).mkdir(parents=True)
    assert check_write_permission(default_options(tmp_path)) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / inner)
    (problem,) = check_write_permission(default_options(tmp_path))
    assert f"there is no permission to write in {tmp_path / inner}. Allowed" in problem
    if inner != ".workflow":
        assert check_write_permission(default_options(tmp_path), {"6b"}) == []


@pytest.mark.parametrize("name", ["log.txt", "steps.json"])
def test_notes_of_earlier_runs_must_be_readable_and_writable(tmp_path, monkeypatch, name):
    (tmp_path / ".workflow").mkdir()
    (tmp_path / ".workflow" / name).write_text("")
    assert check_write_permission(default_options(tmp_path)) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / ".workflow" / name)
    (problem,) = check_write_permission(default_options(tmp_path))
    assert problem.startswith(f"{tmp_path / '.workflow' / name}, in which a run notes what it has")


@pytest.mark.parametrize("network", ["1_WGAN", "2_CycleGAN", "3_UNet"])
def test_folders_of_networks_that_are_only_read_may_be_closed(tmp_path, monkeypatch, network):
    (tmp_path / network).mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / network)
    assert len(check_write_permission(default_options(tmp_path))) == 1
    assert check_write_permission(default_options(tmp_path), {"6b", "7"}) == []

"""What the tests of the workflow and of its records share."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """A folder with input and output of step 0."""
    for name in ("images", "data/trainA", "data/testA"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "images" / "a.tif").write_bytes(b"one")
    (tmp_path / "data" / "trainA" / "a-0.tif").write_bytes(b"tile")
    return tmp_path

import numpy as np
import pytest

from pipeline import make_examples as module
from pipeline.image_files import read_image


@pytest.fixture
def small_examples(monkeypatch):
    """Stand-ins: the real ones take seconds and are tested in tests/simulate."""
    labels = np.zeros((30, 40), np.uint16)
    labels[5:10, 5:10], labels[20:25, 30:35] = 1, 2
    made = [
        ("example_1.png", np.full((30, 40), 7, np.uint8), labels),
        ("example_2.tif", np.full((30, 40), 60000, np.uint16), np.zeros_like(labels)),
    ]
    monkeypatch.setattr(module, "make_examples", lambda: made)
    return made


def test_images_outlines_and_truth_are_written(small_examples, tmp_path):
    module.write_examples(tmp_path / "project", tmp_path / "truth")
    for name, micrograph, labels in small_examples:
        written = read_image(tmp_path / "project" / "Input_Images" / name)
        assert written.dtype == micrograph.dtype and np.array_equal(written, micrograph)
        truth = read_image(tmp_path / "truth" / f"{name[:-4]}.tif")
        assert truth.dtype == np.uint8 and np.array_equal(truth, np.where(labels > 0, 255, 0))
    outlines = sorted((tmp_path / "project" / "Input_Masks").iterdir())
    assert len(outlines) == 24
    assert read_image(outlines[0]).shape == (64, 64)


def test_command_line_writes_truth_only_if_asked(small_examples, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_examples", str(tmp_path)])
    module.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Input_Images", "Input_Masks"]
    monkeypatch.setattr(
        "sys.argv", ["make_examples", str(tmp_path), "--truth", str(tmp_path / "t")]
    )
    module.main()
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
        "example_1.tif",
        "example_2.tif",
    ]

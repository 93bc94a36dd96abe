"""True masks: missing, unreadable, no masks, of another width, or without a micrograph."""

import numpy as np
import pytest

from pipeline.checks.true_masks import check_true_masks
from pipeline.image_files import read_image, write_image


@pytest.fixture
def images(tmp_path):
    """Three micrographs of 60 x 80."""
    folder = tmp_path / "Input Images"
    folder.mkdir()
    for number in range(3):
        micrograph = np.random.default_rng(number).integers(1, 200, (60, 80), np.uint8)
        write_image(folder / f"{number}.tif", micrograph)
    return folder


def test_true_masks_may_be_missing_but_must_be_readable(tmp_path, images):
    assert check_true_masks("TRUE_MASKS_DIR", tmp_path / "nothing") == []
    folder = tmp_path / "True"
    folder.mkdir()
    for path in sorted(images.glob("*.tif")):
        write_image(folder / path.name, np.eye(60, 80, dtype=np.uint8))
    assert check_true_masks("TRUE_MASKS_DIR", folder, images) == []
    (folder / "0.tif").write_bytes(b"II*")
    (problem,) = check_true_masks("TRUE_MASKS_DIR", folder)
    assert "0.tif cannot be read as an image" in problem


def test_true_masks_are_masks_as_wide_as_their_micrographs(tmp_path, images):
    folder = tmp_path / "True"
    folder.mkdir()
    write_image(folder / "0.tif", read_image(images / "0.tif"))
    write_image(folder / "1.tif", np.eye(60, 50, dtype=np.uint8))
    grey, narrow = check_true_masks("TRUE_MASKS_DIR", folder, images)
    assert "different values; expected a mask with two, 0 and 255, or a label map" in grey
    assert narrow.startswith(f"{folder / '1.tif'} is 50 pixels wide, {images / '1.tif'} 80;")


def test_true_masks_need_a_micrograph_where_its_mask_is_to_be_made(tmp_path, images):
    folder = tmp_path / "True"
    folder.mkdir()
    for name in ("0.png", "nothere.tif"):
        write_image(folder / name, np.zeros((60, 80), np.uint8))
    assert check_true_masks("TRUE_MASKS_DIR", folder) == []
    (problem,) = check_true_masks("TRUE_MASKS_DIR", folder, images)
    assert problem.startswith(
        f"TRUE_MASKS_DIR: 1 true mask in {folder} without a micrograph of the"
    )
    assert "nothing to compare with: nothere.tif. Add the micrographs" in problem
    assert check_true_masks("TRUE_MASKS_DIR", folder, tmp_path / "gone") == []


def test_true_masks_need_a_mask_where_it_is_not_made(tmp_path):
    """As in `python StartProcess.py 7 8`."""
    folder, masks = tmp_path / "True", tmp_path / "Masks"
    for path in (folder / "0.png", folder / "1.tif", masks / "0.tif", masks / "0_raw.tif"):
        path.parent.mkdir(exist_ok=True)
        write_image(path, np.eye(60, 80, dtype=np.uint8))
    (problem,) = check_true_masks("TRUE_MASKS_DIR", folder, masks, "mask")
    assert problem.startswith(f"TRUE_MASKS_DIR: 1 true mask in {folder} without a mask of the same")
    assert problem.endswith(
        f"in {masks}, so that step 8 would have nothing to compare with: 1.tif. Run step 6b on "
        "their micrographs, rename the true masks, or remove them."
    )
    write_image(masks / "1.tif", np.eye(60, 70, dtype=np.uint8))
    (problem,) = check_true_masks("TRUE_MASKS_DIR", folder, masks, "mask")
    assert problem.startswith(f"{folder / '1.tif'} is 80 pixels wide, {masks / '1.tif'} 70;")


def test_probabilities_beside_true_masks_are_passed_over(tmp_path, images, caplog):
    # Masks of step 6b, copied with their probabilities and corrected by hand.
    folder = tmp_path / "True"
    folder.mkdir()
    write_image(folder / "0.tif", np.eye(60, 80, dtype=np.uint8))
    write_image(folder / "0_raw.tif", np.random.default_rng(0).random((60, 80), np.float32))
    assert check_true_masks("TRUE_MASKS_DIR", folder, images) == []
    assert not caplog.text
    (folder / "0.tif").unlink()
    assert "different values" in check_true_masks("TRUE_MASKS_DIR", folder)[0]


def test_true_masks_black_on_white_are_warned_of(tmp_path, images, caplog):
    folder = tmp_path / "True"
    folder.mkdir()
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 20:40] = 255
    write_image(folder / "0.tif", mask)
    assert check_true_masks("TRUE_MASKS_DIR", folder, images) == []
    assert "black on white" not in caplog.text
    write_image(folder / "1.tif", 255 - mask)
    assert check_true_masks("TRUE_MASKS_DIR", folder, images) == []
    assert "TRUE_MASKS_DIR: In 1 of 2 true masks (1.tif) one particle reaches all" in caplog.text
    assert "are they black on white? Masks are white particles on black: invert" in caplog.text

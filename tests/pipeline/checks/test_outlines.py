import logging

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.checks.outlines import check_masks, describe_outline, largest_scale, smoothing_of
from tests.start_process import default_calls, default_options

TILE = (48, 64)


@pytest.fixture
def masks(tmp_path):
    """Twenty whole outlines."""
    folder = tmp_path / "Input_Masks"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02d}.png"), outline())
    return folder


def outline(size=32):
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (size // 2, size // 2), size // 4, 255, -1)
    return mask


def problems_of_masks(folder):
    return check_masks("INPUT_DIR_MASKS", folder, TILE)[0]


def test_good_masks_have_no_problem(masks, caplog):
    problems, largest = check_masks("INPUT_DIR_MASKS", masks, TILE)
    assert problems == []
    assert largest == (32, 32)
    assert not caplog.records or max(record.levelno for record in caplog.records) == logging.INFO


def test_masks_need_not_be_exactly_binary(masks):
    soft = cv2.GaussianBlur(outline(), (5, 5), 1).astype(np.uint16) * 100
    tifffile.imwrite(masks / "soft.tif", soft)
    assert problems_of_masks(masks) == []


def test_black_outlines_on_white_are_right_where_the_option_says_so(masks):
    cv2.imwrite(str(masks / "white.png"), outline())
    for path in sorted(masks.glob("[0-9]*.png")):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    problems, largest = check_masks("INPUT_DIR_MASKS", masks, TILE, invert=True)
    assert largest == (32, 32)
    (problem,) = problems
    assert problem.startswith(str(masks / "white.png"))
    assert "a white particle on black. Allowed is black on white" in problem
    assert "set INVERT_INPUT_MASKS = False" in problem


def test_each_fault_of_a_mask_is_said_in_words(masks):
    wrong = {name: outline() for name in ("border", "empty", "full", "inverted", "two")}
    wrong["border"][0, :4] = 255
    wrong["border"][:16, 2:4] = 255
    wrong["border"][14:18, 2:12] = 255
    wrong["empty"][:] = 0
    wrong["full"][:] = 255
    wrong["inverted"] = 255 - wrong["inverted"]
    wrong["two"][3, 3] = 255
    for name, mask in wrong.items():
        cv2.imwrite(str(masks / f"{name}.png"), mask)
    problems = dict(zip(sorted(wrong), problems_of_masks(masks), strict=True))
    for name, problem in problems.items():
        assert problem.startswith(str(masks / f"{name}.png")), problem
    assert "shows a particle that touches the frame with 4 pixels" in problems["border"]
    assert "enlarge the canvas" in problems["border"]
    assert "shows no particle" in problems["empty"]
    assert "shows no particle" in problems["full"]
    assert "is inverted: a black particle on white" in problems["inverted"]
    assert "set INVERT_INPUT_MASKS = True if all outlines are like that" in problems["inverted"]
    area = np.count_nonzero(outline())
    assert f"shows 2 separate particles (of {area}, 1 pixels). Allowed is one" in problems["two"]


@pytest.mark.parametrize("rows", [slice(0, 20), slice(0, 32)], ids=["one side", "two sides"])
def test_an_inverted_particle_that_touches_the_frame_may_be_the_black_one(rows):
    black = np.zeros((32, 32), bool)
    black[rows, 12:20] = True
    problem = describe_outline(~black)
    assert "touches the frame" in problem or "shows 2 separate particles" in problem
    assert "Or it is inverted: a black particle on white. Allowed is white on black" in problem
    assert "set INVERT_INPUT_MASKS = True" in problem
    assert "a white particle on black. Allowed is black on" in describe_outline(~black, True)
    assert "inverted" not in describe_outline(black)


def test_pixels_that_meet_at_a_corner_are_one_particle():
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = mask[4:6, 4:6] = True
    assert describe_outline(mask) is None


def test_a_hole_is_no_second_particle():
    mask = outline().astype(bool)
    mask[15:17, 15:17] = False
    assert describe_outline(mask) is None


def write_disks(folder, radii):
    for number, radius in enumerate(radii):
        mask = np.zeros((32, 32), np.uint8)
        cv2.circle(mask, (16, 16), radius, 255, -1)
        cv2.imwrite(str(folder / f"{number:02d}.png"), mask)


def test_outlines_of_which_nothing_is_left_are_problems_where_all_are_so(masks):
    write_disks(masks, [3] * 20)
    problems = problems_of_masks(masks)
    assert len(problems) == 20
    assert problems[5].startswith(
        f"{masks / '05.png'} shows a particle of which step 2 has nothing"
    )
    assert "a disk 9 pixels wide fits: raise MICROGRAPH_SCALE" in problems[5]


def test_a_few_outlines_too_small_are_warned_of_by_name(masks, caplog):
    write_disks(masks, [3, 4])
    assert problems_of_masks(masks) == []
    warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert [one.split(" shows a particle of which")[0] for one in warned] == [
        str(masks / "00.png"),
        str(masks / "01.png"),
    ]


@pytest.mark.parametrize(("crosses", "warned"), [(2, False), (3, True)])
def test_thin_parts_that_are_smoothed_away_are_told_of(masks, caplog, crosses, warned):
    cross = cv2.resize(outline(), (48, 48))
    cross[22:26, 2:46] = cross[2:46, 22:26] = 255
    for number in range(crosses):
        cv2.imwrite(str(masks / f"{number:02d}.png"), cross)
    assert problems_of_masks(masks) == []
    words = (
        f"what is narrower than 9 pixels, and with it more than 15 % of {crosses} of 20 outlines "
        "(such as 00.png)"
    )
    assert (words in caplog.text) == warned


def test_outlines_need_not_be_larger_than_their_largest_scale_asks(masks):
    write_disks(masks, [4] * 20)
    assert len(problems_of_masks(masks)) == 20
    assert check_masks("INPUT_DIR_MASKS", masks, TILE, scale=1.3)[0] == []
    write_disks(masks, [3] * 20)
    problems, _ = check_masks("INPUT_DIR_MASKS", masks, TILE, scale=1.3)
    assert len(problems) == 20 and "a disk 7 pixels wide fits" in problems[0]


def test_outlines_are_smoothed_as_step_2_does(masks):
    write_disks(masks, [5] * 20)
    assert problems_of_masks(masks) == []
    problems, _ = check_masks("INPUT_DIR_MASKS", masks, TILE, smoothing="SQUARE")
    assert len(problems) == 20 and "a square 9 pixels wide fits" in problems[0]
    options = default_options()
    calls = default_calls(options)
    assert smoothing_of(calls) == smoothing_of([]) == "DISK"
    keywords = next(keywords for _, name, keywords in calls if name == "simulate_masks")
    keywords["smoothing"] = "SQUARE"
    assert smoothing_of(calls) == "SQUARE"
    for wrong in ("ROUND", ["SQUARE"], None):  # which is said elsewhere
        keywords["smoothing"] = wrong
        assert smoothing_of(calls) == "DISK"


def test_the_largest_scale_is_that_of_step_2():
    options = default_options() | {"OUTLINE_SOURCE": "augmented"}
    calls = default_calls(options)
    assert largest_scale(options, calls) == pytest.approx(1.3)
    assert largest_scale(options, []) == 1
    assert largest_scale({}, calls) == 1
    assert largest_scale(options | {"OUTLINE_SOURCE": "wgan"}, calls) == 1
    only_warned_of = {"OUTLINE_SOURCE": "wgan", "WHEN_A_NETWORK_FAILS": "warn"}
    assert largest_scale(options | only_warned_of, calls) == pytest.approx(1.3)
    keywords = next(keywords for _, name, keywords in calls if name == "simulate_masks")
    keywords["scaling_sigma"] = "much"  # which is said elsewhere
    assert largest_scale(options, calls) == 1


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_mask_gets_an_answer(mask):
    answer = describe_outline(mask)
    frame = np.ones_like(mask)
    frame[1:-1, 1:-1] = False
    if answer is None:
        assert mask.any()
        assert not mask[frame].any()
    else:
        assert "Allowed is" in answer


@pytest.mark.parametrize("other", [120, 2, 30])
def test_particles_of_other_greys_are_told_of(masks, other):
    image = np.zeros((40, 80), np.uint8)
    cv2.circle(image, (20, 20), 12, other, -1)
    cv2.circle(image, (60, 20), 12, 255 if other > 2 else 1, -1)
    cv2.imwrite(str(masks / "two.png"), image)
    (problem,) = problems_of_masks(masks)
    assert problem.startswith(f"{masks / 'two.png'} shows more than one particle, in")
    assert (
        "different greys (3 values in all)" in problem and "label map a file of its own" in problem
    )
    # Touching ones; and black on white, but for numbers.
    touching = np.zeros((40, 80), np.uint8)
    touching[10:30, 20:40], touching[10:30, 40:60] = other, 255 if other > 2 else 3
    cv2.imwrite(str(masks / "two.png"), touching)
    (problem,) = problems_of_masks(masks)
    assert "two.png shows more than one particle" in problem
    if other == 2:
        return
    cv2.imwrite(str(masks / "two.png"), 255 - touching)
    for path in masks.glob("[0-9]*.png"):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    (problem,) = check_masks("INPUT_DIR_MASKS", masks, TILE, invert=True)[0]
    assert "two.png shows more than one particle" in problem


def test_a_strongly_compressed_outline_is_one(masks):
    cv2.imwrite(str(masks / "00.jpg"), outline(64), [cv2.IMWRITE_JPEG_QUALITY, 30])
    (masks / "00.png").unlink()
    assert problems_of_masks(masks) == []


def test_a_whole_micrograph_around_an_outline_is_to_be_cropped(masks):
    image = np.zeros((300, 700), np.uint8)
    cv2.circle(image, (60, 60), 20, 255, -1)
    cv2.imwrite(str(masks / "large.png"), image)
    (problem,) = problems_of_masks(masks)
    assert "large.png has 300 x 700 pixels. Allowed are up to 512 x 512: crop it to" in problem


def test_sets_of_regions_are_not_passed_over_in_silence(masks, caplog):
    (masks / "my rois.ZIP").write_bytes(b"regions")
    assert problems_of_masks(masks) == []
    assert "1 set of regions of ImageJ, not an image: python -m pipeline.import" in caplog.text
    # Where they are looked for, in a form that a shell understands.
    words = f"import_outlines '{masks / 'my rois.ZIP'}' --into {masks} makes"
    assert words in caplog.text


def test_too_few_masks(masks):
    for path in list(masks.iterdir())[1:]:
        path.unlink()
    (problem,) = problems_of_masks(masks)
    assert "holds too few outlines of single particles: 1, of at least 2. Add" in problem


def test_few_and_large_masks_are_warned_of(masks, caplog):
    cv2.imwrite(str(masks / "00.png"), outline(100))
    (masks / "01.png").unlink()
    assert problems_of_masks(masks) == []
    assert "19 outlines are few to learn from; the WGAN gets better from about 20" in caplog.text
    assert 'Trace more, or set OUTLINE_SOURCE = "augmented"' in caplog.text
    assert "an outline of 100 x 100 pixels is larger than a tile (48 x 64)" in caplog.text


def test_few_outlines_that_are_deformed_are_no_matter_of_the_wgan(masks, caplog):
    (masks / "01.png").unlink()
    assert check_masks("INPUT_DIR_MASKS", masks, TILE, are_augmented=True)[0] == []
    assert "19 outlines are few, and simulated particles as much alike" in caplog.text
    assert "WGAN" not in caplog.text


def test_outlines_are_checked_as_large_as_they_are_enlarged(masks, caplog):
    for path in masks.glob("*.png"):
        cv2.imwrite(str(path), outline(14))  # a disk of 7 pixels
    problems, largest = check_masks("INPUT_DIR_MASKS", masks, TILE)
    assert largest == (14, 14)
    assert len(problems) == 20 and "raise MICROGRAPH_SCALE" in problems[0]
    assert check_masks("INPUT_DIR_MASKS", masks, TILE, micrograph_scale=2.0) == ([], (28, 28))
    assert "larger than a tile" not in caplog.text
    check_masks("INPUT_DIR_MASKS", masks, TILE, micrograph_scale=4.0)
    assert "an outline of 56 x 56 pixels, at MICROGRAPH_SCALE = 4 is larger than" in caplog.text
    for path in masks.glob("*.png"):
        cv2.imwrite(str(path), outline(60))
    problems, _ = check_masks("INPUT_DIR_MASKS", masks, None, micrograph_scale=10.0)
    words = "Allowed are up to 51 x 51, at MICROGRAPH_SCALE = 10: crop it"
    assert len(problems) == 20 and words in problems[0]


def test_sets_of_regions_that_macos_made_beside_real_ones_are_not_named(tmp_path, caplog):
    for name in ("._RoiSet.zip", "RoiSet.zip"):
        (tmp_path / name).touch()
    check_masks("INPUT_DIR_MASKS", tmp_path, None)
    assert "1 set of regions of ImageJ" in caplog.text
    assert "._RoiSet" not in caplog.text


def test_outlines_may_have_names_that_results_could_not(tmp_path):
    """No file is named after them."""
    outline = np.zeros((40, 40), np.uint8)
    outline[10:30, 10:30] = 255
    for name in ("a.png", "a.tif", "a_raw.png", "A.png", "b" * 240 + ".png"):
        cv2.imencode(name[-4:], outline)[1].tofile(tmp_path / name)
    problems, _ = check_masks("INPUT_DIR_MASKS", tmp_path, None)
    assert problems == []

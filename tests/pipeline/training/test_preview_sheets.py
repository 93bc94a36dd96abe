"""Contact sheets and overlays, pixel by pixel."""

import numpy as np

from pipeline.training.preview_sheets import GAP, contact_sheet, outline_overlay


def test_pictures_stand_in_rows_with_white_gaps():
    pictures = [np.full((5, 7), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(pictures, 2)
    assert sheet.shape == (2 * (5 + GAP) + GAP, 2 * (7 + GAP) + GAP, 3)
    assert (sheet[GAP : GAP + 5, GAP : GAP + 7] == 10).all()
    assert (sheet[GAP : GAP + 5, 2 * GAP + 7 : 2 * GAP + 14] == 20).all()
    assert (sheet[2 * GAP + 5 : 2 * GAP + 10, GAP : GAP + 7] == 30).all()
    assert (sheet[:GAP] == 255).all()


def test_the_outline_is_red_and_the_rest_darkened():
    micrograph, mask = np.full((9, 9), 200, np.uint8), np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 255
    overlay = outline_overlay(micrograph, mask)
    red = (overlay == (255, 40, 40)).all(axis=2)
    assert np.count_nonzero(red) == 16 and not red[3:6, 3:6].any()
    assert (overlay[~red] == 100).all()

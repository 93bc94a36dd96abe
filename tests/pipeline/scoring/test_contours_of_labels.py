"""Contours of label maps: each particle's own, with what it encloses, diagonally too."""

import numpy as np

from pipeline.scoring.scores import compare_masks


def test_a_rim_that_is_closed_across_corners_has_what_is_inside():
    rows, columns = np.ogrid[-8:9, -8:9]
    distance = np.abs(rows) + np.abs(columns)
    rim, whole = (distance == 6).astype(np.int32), (distance <= 6).astype(np.int32)
    compared = compare_masks(rim, whole)
    assert compared["contour_areas"].tolist() == [np.count_nonzero(whole)]
    assert compared["contour_ious"].tolist() == [1.0]

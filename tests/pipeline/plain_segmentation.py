"""The slow, readable twins of pipeline/particle_masks.py, in the words of the specification."""

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_li, threshold_otsu
from skimage.measure import label, regionprops
from skimage.segmentation import watershed


def plain_segment(probability, threshold, watershed_lines, min_distance):
    """Return the mask by scikit-image alone: bool (height, width)."""
    mask = probability > (threshold_otsu(probability) if threshold < 0 else threshold)
    if mask.all() or not mask.any():
        return mask
    if watershed_lines:
        mask = plain_split(mask, min_distance) > 0
    return plain_four_connected(mask)


def plain_split(mask, min_distance):
    """Return the label map of the distance-map watershed with its line, 8-connected."""
    distance = gaussian(ndimage.distance_transform_edt(mask), sigma=1)
    centres = peak_local_max(
        distance, min_distance=min_distance, exclude_border=False, labels=mask.astype(int)
    )
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    return watershed(-distance, markers, mask=mask, connectivity=2, watershed_line=True)


def plain_four_connected(mask):
    """Return the mask with corner contacts cleared, window by window."""
    mask = np.array(mask)
    height, width = mask.shape
    for row in range(height - 1):
        for column in range(width - 1):
            (a, b), (c, d) = mask[row : row + 2, column : column + 2]
            if not a and not d and b and c:
                mask[row + 1, column] = 0  # lower left
            elif not b and not c and a and d:
                mask[row, column] = 0  # upper left
    return mask


def plain_fill_and_filter(mask, micrograph, dark_background):
    """Return the mask of the filled particles as bright as Li's threshold, of the negated
    micrograph where the background is bright: bool."""
    if not dark_background:
        micrograph = micrograph.max() - micrograph
    threshold = threshold_li(micrograph)
    kept = np.zeros(mask.shape, bool)
    for region in regionprops(label(mask, connectivity=1)):
        filled = np.zeros(mask.shape, bool)
        filled[region.slice] = region.image_filled
        mean = micrograph[filled].mean()
        if mean >= threshold:
            kept |= filled
    return kept

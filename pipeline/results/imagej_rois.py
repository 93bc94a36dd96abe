"""Label maps and regions of interest for ImageJ and Fiji, pixel by pixel as they were measured."""

import zipfile
from pathlib import Path

import numpy as np
import roifile
import tifffile

from pipeline.files.whole_files import whole_file
from pipeline.particles.pixel_outlines import Outlines

# How a path goes on, in ImageJ's format for regions of several parts.
MOVE_TO, LINE_TO, CLOSE = 0.0, 1.0, 4.0


def label_rois(outlines: Outlines) -> list[roifile.ImagejRoi]:
    """Return a region for every label, in order.

    A region's outline runs along the edges of its pixels, as ImageJ's magic wand draws it, so it
    holds exactly the label's pixels. A particle with holes, or in several parts, becomes a
    composite region, in which the holes are holes too. The name is the label, "0007".
    """
    return [
        _one_roi([polygon[:, ::-1] for polygon in polygons], f"{label:04d}")
        for label, polygons in outlines.items()
    ]


def _one_roi(polygons: list[np.ndarray], name: str) -> roifile.ImagejRoi:
    """Return the region inside closed polygons (vertices, 2) as (x, y), pixel corners."""
    everything = np.concatenate(polygons)
    (left, top), (right, bottom) = everything.min(axis=0), everything.max(axis=0)
    roi = roifile.ImagejRoi(
        name=name,
        roitype=roifile.ROI_TYPE.TRACED,
        left=int(left),
        top=int(top),
        right=int(right),
        bottom=int(bottom),
    )
    if len(polygons) == 1:
        roi.integer_coordinates = (polygons[0] - (left, top)).astype(np.int32)
        roi.n_coordinates = len(polygons[0])
        return roi
    path: list[float] = []
    for polygon in polygons:
        commands = np.full(len(polygon), LINE_TO)
        commands[0] = MOVE_TO
        path += [*np.column_stack([commands, polygon]).ravel().tolist(), CLOSE]
    roi.roitype = roifile.ROI_TYPE.RECT  # what the format asks of composite regions
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi


def write_roi_set(path: Path, outlines: Outlines) -> None:
    """Write the regions of labels as a zip file for ImageJ's ROI Manager.

    The same outlines give the same bytes.
    """
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for roi in label_rois(outlines):
            # A fixed date: the earliest that the format knows.
            entry = zipfile.ZipInfo(f"{roi.name}.roi", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, roi.tobytes(), zipfile.ZIP_DEFLATED)


def write_label_map(path: Path, labels: np.ndarray, pixel_size_nm: float | None) -> None:
    """Write a label map as a TIFF that ImageJ opens with its calibration.

    uint16; float32 where there are more than 65,535 labels, as ImageJ has no larger integers.
    """
    largest = int(labels.max(initial=0))
    dtype = np.uint16 if largest <= np.iinfo(np.uint16).max else np.float32
    calibration = {} if pixel_size_nm is None else {"unit": "nm"}
    per_unit = 1.0 if pixel_size_nm is None else 1 / pixel_size_nm
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            labels.astype(dtype),
            imagej=True,
            resolution=(per_unit, per_unit),
            metadata={"axes": "YX", "min": 0, "max": max(largest, 1), **calibration},
        )

"""Size and shape of labelled particles; sizes are those of pixels taken as squares."""

import numpy as np

from pipeline.particle_masks import label_particles
from pipeline.particles.border_correction import (
    field_of,
    inclusion_weights,
    labels_at_edge,
)
from pipeline.particles.contacts import contact_shares
from pipeline.particles.feret_diameters import angle_of, convex_hull, max_feret, rectangles
from pipeline.particles.pixel_outlines import (
    Outlines,
    outline_polygons,
    perimeters,
    signed_area,
    walk_edges,
)
from pipeline.particles.quantities import COLUMNS

HULL_COLUMNS = tuple(
    name
    for name in COLUMNS
    if any(part in name for part in ("hull_area", "feret", "rectangle", "bounding_box"))
)


def to_label_map(mask_or_labels: np.ndarray) -> np.ndarray:
    """Return a label map (int32): a mask's particles numbered, a label map as it is.

    Parameters
    ----------
    mask_or_labels : (height, width). Bool, or integers with no value but 0 and 1 or 0 and 255:
        a mask, whose pixels belong together where they share an edge. Any other integers: labels.

    Raises
    ------
    ValueError
        If the array is not 2-D, not of integers, or has negative labels.
    """
    array = np.asarray(mask_or_labels)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise ValueError(
            f"The mask has shape {array.shape} and type {array.dtype}; expected (height, width) "
            f"of bool or integers. Threshold probabilities first: mask = probability > 0.5."
        )
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    largest = int(array.max())
    if int(array.min()) < 0 or largest > np.iinfo(np.int32).max:
        raise ValueError(
            f"The label map holds values from {array.min()} to {array.max()}; "
            f"allowed are 0 (background) to {np.iinfo(np.int32).max}. Number the particles anew."
        )
    if largest <= 1 or (largest == 255 and not ((array > 0) & (array < 255)).any()):
        return label_particles(array)
    return array.astype(np.int32)


def measure_particles(
    mask_or_labels: np.ndarray,
    intensity_image: np.ndarray | None = None,
    pixel_size: float = 1.0,
    exclude_border: bool = True,
) -> dict[str, np.ndarray]:
    """Measure every particle of a mask or label map.

    Parameters
    ----------
    mask_or_labels : (height, width); see `to_label_map`.
    intensity_image : (height, width), any numbers; without it ``mean_intensity`` is NaN.
    pixel_size : length of a pixel's side in the unit wanted.
    exclude_border : leave out particles that touch the image's edge (`labels_at_edge`): their size
        is unknown.

    Returns
    -------
    The columns of `COLUMNS`, one row a particle, in the order of the labels; float64 but for
    ``label`` (int64) and ``touches_border`` (bool). ``area`` is that of the pixels, without
    holes. ``orientation`` is the angle of the fitted ellipse's major axis, anticlockwise from
    the x axis, in [0, 180). ``contact_share``: `contact_shares`. ``inclusion_weight``:
    `inclusion_weights`; 1 where the particles at the edge stay.

    Raises
    ------
    ValueError
        If the shapes differ, or the pixel size is not above 0.

    Source: ISO 13322-1 (static image analysis), ISO 9276-6 (shape); Ruehle et al. (2021).
    """
    labels = to_label_map(mask_or_labels)
    columns, _ = measure_label_map(labels, intensity_image, pixel_size, exclude_border)
    stays = ~(columns["touches_border"] & exclude_border)
    return {name: values[stays] for name, values in columns.items()}


def measure_label_map(
    labels: np.ndarray,
    intensity_image: np.ndarray | None,
    pixel_size: float,
    exclude_border: bool,
) -> tuple[dict[str, np.ndarray], Outlines]:
    """Measure every particle of a label map, int32 (height, width), whichever numbers there are.

    The other parameters and the errors are those of `measure_particles`.

    Returns
    -------
    columns : as there, but of all particles; with ``exclude_border`` those that touch the border
        are still to be left out, and the others are weighted for that.
    outlines : label -> polygons, see `outline_polygons`.
    """
    if intensity_image is not None and np.shape(intensity_image) != labels.shape:
        raise ValueError(
            f"The intensity image has shape {np.shape(intensity_image)}, the mask {labels.shape}; "
            f"they must be equal. Crop both alike."
        )
    if not 0 < pixel_size < np.inf:
        raise ValueError(f"pixel_size is {pixel_size}; allowed is a number above 0.")
    edges = walk_edges(labels)
    outlines = outline_polygons(edges)
    columns = _regions(labels, intensity_image)
    columns["touches_border"] = np.isin(columns["label"], labels_at_edge(labels))
    columns |= _hulls_and_ferets(outlines)
    by_label = {"perimeter": perimeters(edges), "contact_share": contact_shares(labels, edges)}
    for name, values in by_label.items():
        columns[name] = np.array([values[label] for label in columns["label"].tolist()], float)
    columns |= _shape_factors(columns)
    columns["inclusion_weight"] = np.ones(len(columns["label"]))
    if exclude_border:
        box = columns["bounding_box_height"], columns["bounding_box_width"]
        columns["inclusion_weight"] = inclusion_weights(*box, [field_of(labels)])
    scale = {"length": pixel_size, "area": pixel_size**2}
    columns = {
        name: columns[name] * scale[kind] if kind in scale else columns[name]
        for name, kind in COLUMNS.items()
    }
    return columns, outlines


def _regions(labels: np.ndarray, intensity_image: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return what sums over a particle's pixels give: area, moments, mean intensity."""
    y, x = np.nonzero(labels)
    label, index = np.unique(labels[y, x], return_inverse=True)
    area = np.bincount(index, minlength=len(label)).astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, values, minlength=len(label)) / area

    centroid_y, centroid_x = mean(y), mean(x)
    upward, rightward = centroid_y[index] - y, x - centroid_x[index]
    # A pixel is a square, not a point: its own second moment is 1/12.
    variance_y, variance_x = mean(upward**2) + 1 / 12, mean(rightward**2) + 1 / 12
    covariance = mean(upward * rightward)
    middle = (variance_y + variance_x) / 2
    spread = np.hypot((variance_x - variance_y) / 2, covariance)
    no_intensity = np.full(len(label), np.nan)
    return {
        "label": label.astype(np.int64),
        "area": area,
        "centroid_y": centroid_y,
        "centroid_x": centroid_x,
        "major_axis_length": 4 * np.sqrt(middle + spread),
        "minor_axis_length": 4 * np.sqrt(middle - spread),
        # Half the angle of the doubled one: along the covariance matrix's larger eigenvector.
        "orientation": angle_of(2 * covariance, variance_x - variance_y, 360) / 2,
        "mean_intensity": no_intensity
        if intensity_image is None
        else mean(np.asarray(intensity_image)[y, x]),
    }


def _hulls_and_ferets(outlines: Outlines) -> dict[str, np.ndarray]:
    """Return what the convex hull of the pixels' corners gives, one row a label."""
    rows = []
    for parts in outlines.values():
        hull = convex_hull(np.concatenate(parts)) - 0.5  # to coordinates of pixel centres
        max_diameter, max_ends = max_feret(hull)
        by_feret, by_area, min_ends = rectangles(hull)
        row = {"hull_area": abs(signed_area(hull)), "max_feret_diameter": max_diameter}
        row["bounding_box_height"], row["bounding_box_width"] = np.ptp(hull, axis=0)
        row["min_feret_diameter"] = by_feret["width"]
        row |= {f"min_feret_rectangle_{key}": value for key, value in by_feret.items()}
        row |= {f"min_area_rectangle_{key}": value for key, value in by_area.items()}
        for name, ends in (("min_feret", min_ends), ("max_feret", max_ends)):
            for end in (1, 2):
                row[f"{name}_y{end}"], row[f"{name}_x{end}"] = ends[end - 1]
        rows.append(row)
    return {name: np.array([row[name] for row in rows], np.float64) for name in HULL_COLUMNS}


def _shape_factors(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the ratios of sizes, each 1 for the ideal: disk, convex shape, ellipse."""
    area = columns["area"]
    ellipse = np.pi / 4 * columns["major_axis_length"] * columns["minor_axis_length"]
    convexity = area / columns["hull_area"]
    # On a few pixels the perimeter may come out too short; no shape is rounder than a disk.
    circularity = np.minimum(4 * np.pi * area / columns["perimeter"] ** 2, 1.0)
    return {
        "equivalent_diameter": np.sqrt(4 * area / np.pi),
        "aspect_ratio": columns["min_feret_diameter"] / columns["max_feret_diameter"],
        "circularity": circularity,
        "convexity": convexity,
        "solidity": convexity.copy(),
        "completeness": area / ellipse,
    }

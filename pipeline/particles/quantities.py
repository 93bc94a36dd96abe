"""The quantities that step 7 measures of a particle: the columns of particles.csv."""

# Every column and what it is: lengths and areas are calibrated, the others are not.
# "pixel" stay in pixels. Of positions, row 0 and column 0 are the upper left pixel's centre.
COLUMNS = {
    "label": "",
    "centroid_y": "pixel",
    "centroid_x": "pixel",
    "area": "area",
    "perimeter": "length",
    "equivalent_diameter": "length",
    "min_feret_diameter": "length",
    "max_feret_diameter": "length",
    "aspect_ratio": "",
    "circularity": "",
    "convexity": "",
    "solidity": "",
    "completeness": "",
    "orientation": "degree",
    "major_axis_length": "length",
    "minor_axis_length": "length",
    "hull_area": "area",
    "mean_intensity": "",
    "contact_share": "",
    "touches_border": "",
    "bounding_box_height": "pixel",
    "bounding_box_width": "pixel",
    "inclusion_weight": "",
    "min_feret_y1": "pixel",
    "min_feret_x1": "pixel",
    "min_feret_y2": "pixel",
    "min_feret_x2": "pixel",
    "max_feret_y1": "pixel",
    "max_feret_x1": "pixel",
    "max_feret_y2": "pixel",
    "max_feret_x2": "pixel",
    "min_feret_rectangle_width": "length",
    "min_feret_rectangle_length": "length",
    "min_feret_rectangle_angle": "degree",
    "min_feret_rectangle_centre_y": "pixel",
    "min_feret_rectangle_centre_x": "pixel",
    "min_area_rectangle_width": "length",
    "min_area_rectangle_length": "length",
    "min_area_rectangle_angle": "degree",
    "min_area_rectangle_centre_y": "pixel",
    "min_area_rectangle_centre_x": "pixel",
}
SUFFIXES = {"length": "_{unit}", "area": "_{unit}2", "pixel": "_px", "degree": "_deg", "": ""}


def column_name(quantity: str, unit: str) -> str:
    """Return a quantity's column name: ``area`` in "nm" is ``area_nm2``."""
    return quantity + SUFFIXES[COLUMNS[quantity]].format(unit=unit)

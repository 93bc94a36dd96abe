"""What a measurement leaves in doubt, in words for the log and the report."""

import numpy as np

from pipeline.files.info_bar import describe_missed_bars
from pipeline.files.mask_origin import CHANGED, OF_ANOTHER
from pipeline.particles.label_maps import describe_in_pieces, describe_inverted
from pipeline.particles.size_distribution import FEWEST_IMAGES
from pipeline.wording import counted, first_names

# Fewer pixels (an equivalent diameter of 5) give no shape, and are often remnants of a mask.
SMALL_AREA_PIXELS = 20
BELOW_SMALL = f"measured_below_{SMALL_AREA_PIXELS}_px2"
# Of fewer, percentiles such as D10 rest on one or two.
FEWEST_PARTICLES = 30
# If one particle has more of the volume of all, sizes by volume rest on a few.
LARGE_VOLUME_SHARE = 0.05
# In images that are alike a particle of two thirds of their height and width counts as 9.
LARGE_WEIGHT = 9


def doubts_of_masks(image_rows: list[dict], inverted: list[str], in_pieces: list[str]) -> list[str]:
    """Return warnings of masks of other micrographs, changed, or black on white, and of info bars
    found in some images.

    ``image_rows``: of images.csv; ``inverted``: the names of masks in which one particle surrounds
    all others (`surrounds_all`); ``in_pieces``: of those in which a particle lies in several places
    (`labels_in_pieces`).
    """
    warnings = []
    if inverted:
        warnings.append(describe_inverted(inverted, len(image_rows), "masks"))
    others, changed = (
        [row["mask"] for row in image_rows if row["mask_from"] == origin]
        for origin in (OF_ANOTHER, CHANGED)
    )
    if others:
        warnings.append(
            f"{len(others)} of {len(image_rows)} masks were made from other micrographs than those "
            f"that have their names now ({first_names(others)}): these sizes may be of another "
            f"sample, or in a wrong unit. Run step 6b, then step 7 again. (If they are the same, "
            f"exported anew, let it be: step 6b would move masks aside that you corrected.)"
        )
    if changed:
        warnings.append(
            f"{len(changed)} of {len(image_rows)} masks were changed since step 6b made them "
            f"({first_names(changed)}). If you corrected them by hand, say so where you publish "
            f"the sizes; else delete them and run step 6b again."
        )
    if in_pieces:
        label_maps = f"{len(in_pieces)} of {len(image_rows)} label maps"
        warnings.append(describe_in_pieces(in_pieces, label_maps, "measured"))
    warnings += describe_missed_bars(
        (
            row["image"],
            (row["height_px"] + row["rows_left_out"], row["width_px"]),
            row["rows_left_out"],
        )
        for row in image_rows
    )
    return warnings


def doubts_of_particles(
    image_rows: list[dict], unit: str, particles: dict[str, np.ndarray]
) -> list[str]:
    """Return warnings that follow from the particles themselves.

    ``image_rows``: of images.csv; ``unit``: "nm" or "px"; ``particles``: columns (n,) of
    those that were measured, ``inclusion_weight``, ``equivalent_diameter`` and ``touches_border``
    among them.
    """
    measured = sum(row["particles_measured"] for row in image_rows)
    small = sum(row[BELOW_SMALL] for row in image_rows)
    if measured == 0:
        found = sum(row["particles_found"] for row in image_rows)
        return [
            f"No particle was left to measure, of {found} found: the tables are empty. images.csv "
            f"says why they were dropped. Masks are white particles on black."
        ]
    warnings = []
    without = [row for row in image_rows if row["particles_measured"] == 0]
    if without:
        found = any(row["particles_found"] for row in without)
        unmeasured = ", or none that was measured" if found else ""
        warnings.append(
            f"{len(without)} of {len(image_rows)} images hold no particle{unmeasured} "
            f"({first_names([row['image'] for row in without])}), and count as empty field for the "
            f"number of particles in an area. Look whether that is right."
        )
    cut = int(np.sum(particles["touches_border"]))
    if cut:
        warnings.append(
            f"{cut} of {measured} particles are cut by their image's edge and measured as far as "
            f"they are seen (exclude_border=False): their sizes are too small, and there are too "
            f"many in the area. exclude_border=True leaves them out and corrects for it."
        )
    large = int((particles["inclusion_weight"] > LARGE_WEIGHT).sum())
    if large:
        warnings.append(
            f"{large} of {measured} particles are so large that the images' edges cut most of "
            f"their size, so each stands for more than {LARGE_WEIGHT}: the sizes rest on these "
            f"few. Take images of a larger field; summary.csv also has the sizes without this "
            f"border correction."
        )
    if small:
        pixel = max(row["pixel_size_nm"] for row in image_rows) if unit == "nm" else 1.0
        # Half a pixel below, so that rounding drops none that is just large enough.
        smallest = (SMALL_AREA_PIXELS - 0.5) * pixel**2
        warnings.append(
            f"{small} of {measured} particles ({100 * small / measured:.1f} %) have fewer than "
            f"{SMALL_AREA_PIXELS} pixels: too few for a shape, and often remnants of a mask. To "
            f'leave them out: filters={{"area": ({smallest:.4g}, None)}}.'
        )
    volume = particles["inclusion_weight"] * particles["equivalent_diameter"] ** 3
    largest = float(volume.max() / volume.sum())
    if measured < FEWEST_PARTICLES:
        warnings.append(
            f"{counted(measured, 'particle was', 'particles were')} measured: too few for a size "
            f"distribution, of which D10 and D90 then rest on one or two. Take more images."
        )
    elif largest > LARGE_VOLUME_SHARE:
        warnings.append(
            f"One particle has {100 * largest:.0f} % of the volume of all: sizes by volume, D90 "
            f"above all, rest on a few, are too small rather than too large, and their confidence "
            f"intervals are far too short. Take more images, or give sizes by number."
        )
    images = sum(row["particles_measured"] > 0 for row in image_rows)
    if measured > 1 and images < FEWEST_IMAGES:
        known = {
            1: "know nothing of how images differ",
            2: "hardly know how images differ, and are too short where they do",
        }.get(images, "are on the safe side, and long where images are alike")
        warnings.append(
            f"All particles are from {counted(images, 'image')}: the confidence intervals {known}. "
            f"Take ten or more."
        )
    return warnings

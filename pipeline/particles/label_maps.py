"""Tell label maps, each particle its number, from maps of classes and from masks of grey levels."""

import numpy as np
from skimage import measure

from pipeline.particle_masks import number_of_particles
from pipeline.wording import first_names

# Of numbers: the share of those up to the largest that occur, and of a number's pixels that have
# the same number on the right and below, in the median. The greys of smoothed edges are lines.
LEAST_OCCURRING, LEAST_INSIDE = 0.5, 0.25
# The share of a number's pixels in its largest piece, in the median. Particles that others cut into
# parts are a minority; a class is in as many pieces as it has particles.
LEAST_IN_ONE_PIECE = 0.75
ALLOWED = (
    "allowed are black (0) and one other value, or a label map: 0 the background, and each "
    "particle a number of its own"
)
FULL_8_BIT = (
    f"holds the numbers 1 to 255 in 8 bits, where 255 may as well be white; {ALLOWED}, in 8 bits "
    "up to 254. If it is a label map, save it as 16 bit."
)


def is_label_map(image: np.ndarray) -> bool:
    """Tell a label map, each particle its number, from any other image.

    Numbers are areas, most of those up to the largest occur, most are in one piece (4-connected),
    and 0, the background, occurs.

    Parameters
    ----------
    image : (height, width), any dtype. False for other than whole numbers from 0, for fewer than
        two besides 0 (that is a mask), and for 8 bits with the number 255, which is white.
    """
    return _holds_numbers(image) and not _is_full_8_bit(image) and _why_classes(image) is None


def describe_numbers(image: np.ndarray) -> str | None:
    """Return what is wrong with an image that holds numbers and is no label map, else None.

    None for label maps, for masks of two values of which one is 0, and for grey levels. The words
    say what was found, what is allowed, and what to do; they go after the file's name.
    """
    if not _holds_numbers(image):
        return None
    reason = _why_classes(image)
    if _is_full_8_bit(image):
        # In pieces, 255 levels are those of greys.
        return None if reason else FULL_8_BIT
    return reason and (
        f"looks like a map of classes, not of particles: {reason}; {ALLOWED}. Write the class of "
        f"the particles as 255 and all others as 0, or give each particle a number of its own."
    )


def surrounds_all(labels: np.ndarray) -> bool:
    """Return whether one particle reaches all four edges and covers more than half of the image.

    That is the background of a mask that is black on white. ``labels``: a label map (h, w).
    """
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    at_all = set.intersection(*(set(edge.tolist()) for edge in edges)) - {0}
    return any(2 * np.count_nonzero(labels == label) > labels.size for label in at_all)


def labels_in_pieces(labels: np.ndarray) -> bool:
    """Return whether a number of a label map (h, w) stands in places that do not even touch at a
    corner."""
    pieces = measure.label(labels, connectivity=2).max()
    return bool(pieces > number_of_particles(labels))


def describe_inverted(names: list[str], number: int, what: str) -> str:
    """Return a warning of the masks, by their names, of which `surrounds_all` is true.

    ``number``: how many there are of ``what`` in all.
    """
    return (
        f"In {len(names)} of {number} {what} ({first_names(names)}) one particle reaches all four "
        f"edges and covers more than half of the image: are they black on white? Masks are white "
        f"particles on black: invert them and run the step again."
    )


def describe_in_pieces(names: list[str], label_maps: str, done: str) -> str:
    """Return a warning of the label maps, by their names, of which `labels_in_pieces` is true.

    ``label_maps``: how many these are, in words; ``done``: what is done with their particles.
    """
    return (
        f"In {label_maps} a number stands in several places that do not touch "
        f"({first_names(names)}): they are {done} as one particle, as where another lies across "
        f"it. If they are several, give each a number of its own."
    )


def _holds_numbers(image: np.ndarray) -> bool:
    """Return whether an image's values are the numbers of areas rather than grey levels."""
    if image.dtype.kind == "f" and np.array_equal(image, np.rint(image)):  # ImageJ's of 32 bit
        image = np.rint(np.clip(image, -1, np.iinfo(np.int32).max)).astype(np.int64)
    if image.dtype.kind not in "ui" or image.min() < 0:
        return False
    numbers, areas = np.unique(image[image > 0], return_counts=True)
    if len(numbers) < 2 or len(numbers) < LEAST_OCCURRING * int(numbers[-1]):
        return False
    pixels, right, below = image[:-1, :-1], image[:-1, 1:], image[1:, :-1]
    inside = pixels[(pixels == right) & (pixels == below)].astype(np.int64)
    shares = np.bincount(inside, minlength=int(numbers[-1]) + 1)[numbers] / areas
    return bool(np.median(shares) >= LEAST_INSIDE)


def _is_full_8_bit(image: np.ndarray) -> bool:
    return image.dtype.itemsize == 1 and int(image.max()) == 255


def _why_classes(image: np.ndarray) -> str | None:
    """Return why the numbers of an image are those of classes; None where they are of particles."""
    numbers = image.astype(np.int32)
    if numbers.min() > 0:
        return f"its numbers are {numbers.min()} to {numbers.max()}, and 0 does not occur"
    # Each piece has the number of any of its pixels.
    pieces, count = measure.label(numbers, background=0, connectivity=1, return_num=True)
    of_piece = np.zeros(count + 1, np.int32)
    of_piece[pieces] = numbers
    sizes = np.bincount(pieces.ravel())
    largest = np.zeros(numbers.max() + 1, np.int64)
    np.maximum.at(largest, of_piece[1:], sizes[1:])
    areas = np.bincount(numbers.ravel())
    present = np.flatnonzero(areas[1:]) + 1
    share = float(np.median(largest[present] / areas[present]))
    if share >= LEAST_IN_ONE_PIECE:
        return None
    return (
        f"its {len(present)} numbers are in {count} pieces, and in the median a number's largest "
        f"piece holds {share:.0%} of its pixels"
    )

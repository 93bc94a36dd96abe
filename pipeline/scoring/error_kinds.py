"""What became of each true particle: found, missed, merged with others, split, or misshapen.

Kinds after Caicedo et al., Cytometry A 95 (2019) 952, who count missed, merged and split nuclei.
"""

import numpy as np

# In this order where two could be said of one.
FOUND, MISSED, MERGED, SPLIT, MISSHAPEN = range(5)
KINDS = ("found", "missed", "merged", "split", "misshapen")


def fates_of_true_particles(
    predicted_areas: np.ndarray, true_areas: np.ndarray, overlaps: dict[str, np.ndarray]
) -> np.ndarray:
    """Return the fate of each true particle, an index into KINDS, (number of true particles,).

    - found: the IoU with a predicted one is above 0.5;
    - missed: no more than half of its pixels are predicted to be particle;
    - merged: more than half of it lies in a predicted particle in which more than half of another
      true one lies;
    - split: two or more predicted particles lie in it with more than half of their pixels;
    - misshapen: none of these.

    Parameters
    ----------
    predicted_areas, true_areas : in pixels.
    overlaps : the pairs that share pixels, as indices ``predicted`` and ``true``, with their
        ``intersection`` in pixels and ``iou``.
    """
    predicted, true, shared = (overlaps[key] for key in ("predicted", "true", "intersection"))
    covered = np.bincount(true, weights=shared, minlength=len(true_areas)) > true_areas / 2
    lies_in = 2 * shared > true_areas[true]
    number_in = np.bincount(predicted[lies_in], minlength=len(predicted_areas))
    is_part = 2 * shared > predicted_areas[predicted]
    number_of_parts = np.bincount(true[is_part], minlength=len(true_areas))

    fates = np.full(len(true_areas), MISSHAPEN)
    fates[number_of_parts > 1] = SPLIT
    fates[true[lies_in & (number_in[predicted] > 1)]] = MERGED
    fates[~covered] = MISSED
    fates[true[overlaps["iou"] > 0.5]] = FOUND
    return fates


def invented_particles(predicted_areas: np.ndarray, overlaps: dict[str, np.ndarray]) -> np.ndarray:
    """Return which predicted particles lie on background with half of their pixels or more.

    bool (number of predicted particles,); ``overlaps`` as in `fates_of_true_particles`.
    """
    predicted, shared = overlaps["predicted"], overlaps["intersection"]
    on_particles = np.bincount(predicted, weights=shared, minlength=len(predicted_areas))
    return 2 * on_particles <= predicted_areas

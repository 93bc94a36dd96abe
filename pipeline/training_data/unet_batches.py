"""The batches a UNet learns from, and is validated by: pairs, flipped, and imaged otherwise."""

import numpy as np

from pipeline.training.batches import IMAGING, SPLIT, random_numbers, shuffled_indices
from pipeline.training_data.imaging_variations import vary_imaging

NUMBER_OF_FLIPS = 4  # none, left-right, up-down, both
MOST_VARIED = 0.2  # of contrast, and of the range from black to white


def split_pairs(pairs, validation_share, seed):
    """Return the pairs to train on and those to validate, at least one of each, drawn anew."""
    order = random_numbers(seed, 0, stream=SPLIT).permutation(len(pairs))
    number = min(max(round(len(pairs) * validation_share), 1), len(pairs) - 1)
    return [pairs[index] for index in order[number:]], [pairs[index] for index in order[:number]]


def batch_maker(read, samples, batch_size, seed, vary_brightness, backgrounds):
    """Return ``make_batch(epoch, step)`` -> images (b, h, w, 1), targets (b, h, w, 1 to 3).

    ``read(index)`` gives a pair; of each there are `NUMBER_OF_FLIPS` samples. With ``backgrounds``
    (`backgrounds_of` the micrographs) the imaging is varied.
    """

    def make_batch(epoch, step):
        indices = shuffled_indices(samples, batch_size, seed, epoch, step)
        chosen = (divmod(index, NUMBER_OF_FLIPS) for index in indices)
        images, targets = zip(*(flip(read(i), version) for i, version in chosen), strict=True)
        images = np.stack(images)
        if vary_brightness:
            images = vary_brightness_and_contrast(images, random_numbers(seed, epoch, step))
        if backgrounds is not None:
            random = random_numbers(seed, epoch, step, stream=IMAGING)
            images = vary_imaging(images, backgrounds, random)
        return images, np.stack(targets)

    return make_batch


def all_flips(pair):
    """Return an image and its target in all flips: (`NUMBER_OF_FLIPS`, h, w, c) each."""
    flipped = (flip(pair, version) for version in range(NUMBER_OF_FLIPS))
    images, targets = zip(*flipped, strict=True)
    return np.stack(images), np.stack(targets)


def flip(pair, version):
    """Return image and mask flipped: version 0 not, 1 left-right, 2 up-down, 3 both."""
    rows = slice(None, None, -1 if version & 2 else 1)
    columns = slice(None, None, -1 if version & 1 else 1)
    return tuple(array[rows, columns] for array in pair)


def vary_brightness_and_contrast(images, random):
    """Return images (b, h, w, 1) in [0, 1] with contrast and brightness changed by up to
    `MOST_VARIED`."""
    contrast, brightness = random.uniform(-MOST_VARIED, MOST_VARIED, (2, len(images), 1, 1, 1))
    means = images.mean(axis=(1, 2, 3), keepdims=True)
    varied = (images - means) * (1.0 + contrast) + means + brightness
    return np.clip(varied, 0.0, 1.0).astype(np.float32)

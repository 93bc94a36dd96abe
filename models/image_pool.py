"""The image pool of the CycleGAN: a layer that keeps fakes, and the choice of what it shows.

Source: Shrivastava et al., arXiv 1612.07828, as used by CycleGAN (arXiv 1703.10593, section 4).
"""

import keras
import numpy as np
from keras import ops

from models import backend


@keras.saving.register_keras_serializable(package="particles")
class ImagePool(keras.layers.Layer):
    """Earlier fakes, shown to a discriminator in half of the cases instead of the newest ones.

    The data pipeline decides which (``draw_pool_choices``), so both backends and a
    resumed run choose alike; the images are weights, so a checkpoint holds them.
    """

    def __init__(self, pool_size, image_shape, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.images = self.add_weight(
            shape=(pool_size, *image_shape), initializer="zeros", trainable=False, name="images"
        )
        self.built = True

    def query(self, fakes, slots, take_old, store_new):
        """Return what the discriminator sees, (b, h, w, c), and keep what is to be kept.

        ``slots`` int32 (b,), all different: the place in the pool each fake is paired with;
        ``take_old``, ``store_new`` float32 (b,), 0 or 1: show the pool's image instead of the
        fake; put the fake into the pool.
        """
        fakes = ops.cast(backend.stop_gradient(fakes), "float32")
        old = ops.take(self.images.value, slots, axis=0)
        shown = ops.where(take_old[:, None, None, None] > 0.5, old, fakes)
        kept = ops.where(store_new[:, None, None, None] > 0.5, fakes, old)
        backend.assign_rows(self.images, slots, kept)
        return shown


def draw_pool_choices(random, pool_size, batch_size, images_seen):
    """Decide for one batch what each discriminator is shown; NumPy arrays (2, batch).

    A batch has at most ``pool_size`` images, unless that is 0: no pool.
    The first ``pool_size`` images fill the pool and are shown. Then each is shown itself, or,
    with probability 1/2, put into the pool in exchange for an older one that is shown. The slots
    of a batch differ, so that its order does not matter.

    Returns slots (int32), take_old and store_new (float32, 0 or 1) for ``ImagePool.query``.
    """
    slots = np.zeros((2, batch_size), np.int32)
    take_old = np.zeros((2, batch_size), np.float32)
    store_new = np.zeros((2, batch_size), np.float32)
    if not pool_size:
        return slots, take_old, store_new
    number = images_seen + np.arange(batch_size)
    filling = number < pool_size
    for side in range(2):
        places = random.permutation(min(pool_size, max(images_seen, batch_size)))[:batch_size]
        free = np.setdiff1d(places, number[filling], assume_unique=True)
        slots[side, filling] = number[filling]
        slots[side, ~filling] = free[: np.count_nonzero(~filling)]
        swap = ~filling & (random.random(batch_size) < 0.5)
        take_old[side] = swap
        store_new[side] = swap | filling
    return slots, take_old, store_new

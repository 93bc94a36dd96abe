"""The image pool against a plain list-based twin, and the odds of its choices."""

import numpy as np
import pytest
from keras import ops

from models import backend, image_pool
from models.fast import compiled_steps
from models.image_pool import draw_pool_choices


def pool_of_lists(batches, choices, pool_size):
    """Return what a discriminator sees, image by image, as the CycleGAN paper describes it."""
    pool, seen = {}, []
    for images, (slots, take_old, store_new) in zip(batches, choices, strict=True):
        for image, slot, take, store in zip(images, slots, take_old, store_new, strict=True):
            seen.append(pool[slot] if take else image)
            if store:
                pool[slot] = image
    assert len(pool) <= pool_size
    return np.stack(seen)


@pytest.mark.parametrize(("pool_size", "batch_size"), [(3, 2), (5, 5), (7, 3), (50, 2)])
def test_pool_equals_its_twin(pool_size, batch_size):
    random = np.random.default_rng(2)
    pool = image_pool.ImagePool(pool_size, (2, 2, 1))
    batches = random.random((30, batch_size, 2, 2, 1), dtype=np.float32)
    drawn = [
        draw_pool_choices(random, pool_size, batch_size, step * batch_size) for step in range(30)
    ]
    choices = [[part[0] for part in choice] for choice in drawn]
    shown = [
        ops.convert_to_numpy(pool.query(*backend.to_device((batch, *choice))))
        for batch, choice in zip(batches, choices, strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(shown), pool_of_lists(batches, choices, pool_size))


@pytest.mark.skipif(backend.BACKEND == "torch", reason="XLA is TensorFlow's")
def test_pool_compiled_with_xla_gives_the_same(monkeypatch):
    monkeypatch.setattr(compiled_steps, "xla_for_steps", True)
    random = np.random.default_rng(3)
    pools = [image_pool.ImagePool(3, (2, 2, 1)) for _ in range(2)]
    compiled = compiled_steps.compile_step(lambda *batch: {"shown": pools[0].query(*batch)})
    for step in range(8):
        choices = [part[0] for part in draw_pool_choices(random, 3, 2, 2 * step)]
        batch = backend.to_device((random.random((2, 2, 2, 1), dtype=np.float32), *choices))
        shown = compiled(*batch)["shown"], pools[1].query(*batch)
        np.testing.assert_array_equal(*(ops.convert_to_numpy(images) for images in shown))
    np.testing.assert_array_equal(*(pool.images.numpy() for pool in pools))


def test_slots_of_a_batch_differ_and_old_images_come_after_the_pool_is_full():
    random = np.random.default_rng(0)
    taken = []
    for step in range(400):
        slots, take_old, store_new = draw_pool_choices(random, 10, 4, 4 * step)
        assert all(len(set(side)) == 4 for side in slots)
        if step < 2:
            assert not take_old.any() and store_new.all()
        elif step > 2:
            np.testing.assert_array_equal(take_old, store_new)
            taken.append(take_old.mean())
    assert np.mean(taken) == pytest.approx(0.5, abs=0.03)


def test_size_zero_disables_the_pool():
    _, take_old, store_new = draw_pool_choices(np.random.default_rng(0), 0, 4, 100)
    assert not take_old.any() and not store_new.any()

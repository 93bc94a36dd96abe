"""The batches a network learns from: their random numbers, their order, and threads that make them.

Random numbers are keyed by seed, epoch and step, so that they are the same after a resume and with
both backends. Initial weights (`models.initial_weights`) and simulated masks
(`simulate.mask_image`) have keys of their own, whose counters begin elsewhere.
"""

import collections
import concurrent.futures
import functools

import numpy as np

from models.processor import available_cores

THREADS = min(max(available_cores() // 2, 2), 8)  # that make batches
PREFETCHED_BATCHES = THREADS + 2
# Streams of random numbers, by what is drawn. From SHUFFLES on one for each list of samples.
STEP, SHEET, COMPARISON, SHUFFLES, SPLIT, IMAGING = 0, 1, 2, 100, 300, 301


def random_numbers(seed, epoch, step=0, stream=STEP):
    """Return NumPy's generator for one step: the same after a resume and on both backends."""
    return np.random.Generator(
        np.random.Philox(key=[seed, stream], counter=[0, 0, epoch + 1, step])
    )


def shuffled_indices(count, batch_size, seed, epoch, step, samples=0):
    """Return the samples of one batch, int (batch_size,).

    Each epoch goes through all ``count`` samples in a new order; where its batches hold more, as
    the last one may, it goes through them again in another. So all batches have one size, and
    networks are compiled once. ``samples`` tells apart lists that are to have orders of their own.
    """
    end = (step + 1) * batch_size
    order = _order_of_epoch(count, -(-end // count), seed, epoch, samples)
    return order[end - batch_size : end]


@functools.lru_cache(maxsize=8)  # of hundreds of thousands it takes as long as a small step
def _order_of_epoch(count, times, seed, epoch, samples):
    """Return all samples in an order, and in others so many times in all."""
    random = random_numbers(seed, epoch, stream=SHUFFLES + samples)
    return np.concatenate([random.permutation(count) for _ in range(times)])


class Prefetcher:
    """Batches in order, made a few ahead in threads while the device computes."""

    def __init__(self, make_batch, steps):
        """Begin with ``make_batch(*step)`` of the first of ``steps``, an iterable of tuples."""
        self.pool = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="batches")
        self.waiting = collections.deque()
        self.steps = iter(steps)
        self.make_batch = make_batch
        for _ in range(PREFETCHED_BATCHES):
            self._order()

    def _order(self):
        step = next(self.steps, None)
        if step is not None:
            self.waiting.append(self.pool.submit(self.make_batch, *step))

    def next(self):
        """Return the next batch; an error in ``make_batch`` is raised here."""
        self._order()
        return self.waiting.popleft().result()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown(wait=True, cancel_futures=True)

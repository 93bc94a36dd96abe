"""What is computed side by side is what is computed one after the other, bit for bit."""

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from models import backend, cyclegan, image_pool, layers
from models.fast import side_by_side as module
from models.fast.side_by_side import side_by_side
from tests.models.tiny_steps import CYCLEGAN


@pytest.fixture
def use_threads():
    """Return what sets the threads torch computes with, for this test."""
    if not layers.TORCH:
        yield lambda number: None
        return
    before = backend.torch.get_num_threads()
    yield backend.torch.set_num_threads
    backend.torch.set_num_threads(before)


def test_results_come_in_order_and_errors_are_raised(use_threads):
    def fail():
        raise ValueError("no such thing")

    for threads in (1, 4):
        use_threads(threads)
        assert side_by_side(lambda: 1, lambda: 2, lambda: 3) == [1, 2, 3]
        with pytest.raises(ValueError, match="no such thing"):
            side_by_side(lambda: 1, fail)


@pytest.mark.skipif(not layers.TORCH, reason="TensorFlow divides a graph among its threads itself")
def test_each_computation_gets_its_share_of_the_threads_on_the_cpu(use_threads, monkeypatch):
    """Also where Keras would choose another device by itself, such as an unused GPU."""
    monkeypatch.setattr("keras.src.backend.torch.core.DEFAULT_DEVICE", "meta")

    def look():
        return threading.current_thread(), backend.torch.get_num_threads(), backend.torch_device()

    main = threading.current_thread()
    for available, share in ((1, 1), (2, 1), (5, 2)):
        use_threads(available)
        with keras.device("cpu"):
            (first, *found), (second, *others) = side_by_side(look, look)
        assert found == others == [share, backend.torch.device("cpu")]
        assert (first is main) == (second is main) == (available == 1)
        assert backend.torch.get_num_threads() == available


def test_a_thread_on_the_cpu_is_there_alone():
    """Noise's numbers stay there, and two discriminators draw theirs at once."""
    entered, others_left = threading.Barrier(2, timeout=60), threading.Event()

    def leave(last):
        with backend.on_cpu():
            entered.wait()
            if last:
                others_left.wait(60)
            inside = backend._is_on_cpu.get()
        others_left.set()
        return inside, backend._is_on_cpu.get()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(leave, (False, True))) == [(True, False)] * 2
    assert not backend._is_on_cpu.get()


@pytest.mark.skipif(not layers.TORCH, reason="TensorFlow divides a graph among its threads itself")
@pytest.mark.usefixtures("short_networks")
def test_a_training_of_the_cyclegan_is_the_same_to_the_last_bit(use_threads, monkeypatch):
    """Of two threads with one core each, and of one: noise, pools and optimisers as well."""
    module._workers.cache_clear()
    results = []
    for threads in (1, 2):
        use_threads(threads)
        options = CYCLEGAN | {"gaussian_noise_value": 0.1, "pool_size": 2}
        model = cyclegan.build_cyclegan(2, (48, 48, 1), seed=1, **options)
        model.set_up(2e-4, 0.5)
        random = np.random.default_rng(0)
        losses = []
        for step in range(3):
            tiles = random.uniform(-1, 1, (2, 2, 48, 48, 1)).astype(np.float32)
            choices = image_pool.draw_pool_choices(random, 2, 2, 2 * step)
            values = model.train_step(backend.to_device((*tiles, *choices)))
            losses.append({name: float(value) for name, value in values.items()})
        results.append((losses, [np.array(variable) for variable in model.variables]))
    assert module._workers.cache_info().currsize == 1  # of two threads
    (losses, variables), (other_losses, other_variables) = results
    assert losses == other_losses
    for own, other in zip(variables, other_variables, strict=True):
        np.testing.assert_array_equal(own, other)

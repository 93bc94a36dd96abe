"""Which GPU a process computes on, and with which kernels: of two GPUs that are made up."""

import os
from types import SimpleNamespace

import pytest

from models import backend, devices, precision
from models.devices import can_use_gpu
from models.fast import compiled_steps

TENSORFLOW = backend.BACKEND == "tensorflow"
GPUS = [SimpleNamespace(name=f"GPU:{index}") for index in range(2)]


@pytest.fixture
def asked(monkeypatch):
    """Return a list that will hold what the backend is asked for, as (name, arguments, options)."""
    calls = []

    def record(owner, name):
        monkeypatch.setattr(
            owner, name, lambda *given, **options: calls.append((name, given, options))
        )

    monkeypatch.setattr(devices, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(devices, "can_use_gpu", lambda index: True)
    monkeypatch.setattr(compiled_steps, "xla_for_steps", "auto")
    monkeypatch.setattr(devices, "is_deterministic", False)
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    monkeypatch.setattr(devices, "threads_within_quota", dict)
    if TENSORFLOW:
        config = backend.tf.config
        monkeypatch.setattr(config, "list_physical_devices", lambda kind: GPUS)
        record(config, "set_visible_devices")
        record(config.experimental, "set_memory_growth")
        record(config.experimental, "enable_op_determinism")
        for kind in ("inter", "intra"):
            record(config.threading, f"set_{kind}_op_parallelism_threads")
    else:
        torch = backend.torch
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(GPUS))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: GPUS[index].name)
        monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as it is set
        record(torch, "set_float32_matmul_precision")
        record(torch, "use_deterministic_algorithms")
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        record(torch, "set_num_threads")
        record(torch.cuda, "set_device")
        record(torch.cuda, "set_per_process_memory_fraction")
    yield calls
    devices._device_of_process.close()


def gpus_in_use(asked):
    """Return the indices of the GPUs that this process computes on."""
    if TENSORFLOW:
        ((devices, kind),) = arguments(asked, "set_visible_devices")
        assert kind == "GPU"
        return [GPUS.index(device) for device in devices]
    device = backend.torch_device()
    return [] if device.type == "cpu" else [device.index]


def arguments(asked, name):
    return [given for call, given, _ in asked if call == name]


@pytest.mark.parametrize(
    ("use_gpus", "chosen"),
    [("all", [0]), (2, [0]), (1, [0]), ([1], [1]), ([1, 0], [1]), ((0, 1), [0]), (0, []), ([], [])],
    ids=str,
)
def test_the_first_gpu_of_the_choice_is_used(use_gpus, chosen, asked):
    devices.set_up_devices(use_gpus, allow_memory_growth=False)
    assert gpus_in_use(asked) == chosen
    if TENSORFLOW:
        expected = [(GPUS[index], False) for index in chosen]
        assert arguments(asked, "set_memory_growth") == expected
    else:
        assert backend.has_gpu() == bool(chosen)
        # TF32; on a CPU, "float32" is all of it.
        assert arguments(asked, "set_float32_matmul_precision") == [("high",)] * len(chosen)
        assert arguments(asked, "set_device") == [(index,) for index in chosen]
        # So that a full memory is told on Windows, too.
        assert arguments(asked, "set_per_process_memory_fraction") == [(1.0,)] * len(chosen)


def test_all_gpus_of_a_machine_without_any_are_the_cpu(asked, monkeypatch):
    monkeypatch.setattr(devices, "gpu_names", lambda: [])
    devices.set_up_devices("all")
    assert gpus_in_use(asked) == []


@pytest.mark.parametrize("use_gpus", [3, [2], [0, 5]], ids=str)
def test_a_gpu_that_is_not_there_is_an_error(use_gpus, asked):
    with pytest.raises(ValueError) as error:
        devices.set_up_devices(use_gpus)
    assert str(error.value) == (
        f"USE_GPUS_NO = {use_gpus!r}, but {backend.BACKEND} finds 2 GPU(s). "
        'Use "all", a number up to 2, or a list of indices below 2.'
    )
    assert not asked


@pytest.mark.parametrize("use_gpus", [1, 0])
@pytest.mark.parametrize("deterministic", [False, True])
def test_kernels_that_repeat_themselves_are_asked_for(deterministic, use_gpus, asked):
    decided = devices.set_up_devices(use_gpus, deterministic=deterministic)
    assert devices.is_deterministic is deterministic
    if TENSORFLOW:
        assert len(arguments(asked, "enable_op_determinism")) == deterministic
        assert decided is None
        return
    # On a CPU always: there it is cheap.
    calls = [call for call in asked if call[0] == "use_deterministic_algorithms"]
    wanted = deterministic or not use_gpus
    assert calls == [("use_deterministic_algorithms", (True,), {"warn_only": True})] * wanted
    assert backend.torch.utils.deterministic.fill_uninitialized_memory is not wanted
    # Sums of several threads differ in their last bits.
    on_one_thread = deterministic and not use_gpus
    assert arguments(asked, "set_num_threads") == [(1,)] * on_one_thread
    assert ("torch computes on one thread of the CPU" in (decided or "")) == on_one_thread


@pytest.mark.skipif(not TENSORFLOW, reason="threads of independent networks are TensorFlow's")
@pytest.mark.parametrize(("use_gpus", "networks"), [(0, 2), (0, 1), (1, 2)])
def test_networks_share_the_cores_of_a_cpu(use_gpus, networks, asked):
    devices.set_up_devices(use_gpus, independent_networks=networks)
    threads = [
        arguments(asked, f"set_{kind}_op_parallelism_threads") for kind in ("inter", "intra")
    ]
    assert threads == ([[(2,)], [(4,)]] if (use_gpus, networks) == (0, 2) else [[], []])


@pytest.mark.skipif(not TENSORFLOW, reason="XLA is TensorFlow's")
@pytest.mark.parametrize(
    ("use_xla", "deterministic", "on_gpu", "compiled"),
    [
        ("auto", False, True, True),
        ("auto", False, False, False),
        ("auto", True, True, False),
        (True, False, False, True),
        (False, False, True, False),
        (False, True, True, False),
    ],
)
def test_steps_are_compiled_by_xla_where_asked(
    use_xla, deterministic, on_gpu, compiled, asked, monkeypatch
):
    monkeypatch.setattr(backend, "has_gpu", lambda: on_gpu)
    monkeypatch.setattr(
        backend.tf, "function", lambda step, **options: lambda batch: options["jit_compile"]
    )
    devices.set_up_devices(1, deterministic=deterministic, use_xla=use_xla)
    assert compiled_steps.compile_step(None)(()) is compiled


@pytest.mark.skipif(not TENSORFLOW, reason="XLA is TensorFlow's")
def test_what_xla_cannot_compile_is_computed_without_it(monkeypatch, caplog):
    monkeypatch.setattr(compiled_steps, "xla_for_steps", True)

    def step(batch):
        doubled = backend.tf.py_function(lambda x: 2 * x, [batch[0]], "float32")
        return {"doubled": doubled}

    run = compiled_steps.compile_step(step)
    assert [float(run((backend.tf.constant(x),))["doubled"]) for x in (3.0, 4.0)] == [6.0, 8.0]
    (warning,) = caplog.messages
    assert warning.startswith("XLA cannot compile this step here, so it takes longer: ")


@pytest.mark.skipif(not TENSORFLOW, reason="XLA is TensorFlow's")
def test_what_does_not_fit_into_memory_is_not_tried_without_xla(monkeypatch):
    errors = backend.tf.errors

    def full(batch):
        raise errors.ResourceExhaustedError(None, None, "full")

    monkeypatch.setattr(compiled_steps, "xla_for_steps", True)
    monkeypatch.setattr(backend.tf, "function", lambda step, **options: full)
    with pytest.raises(errors.ResourceExhaustedError):
        compiled_steps.compile_step(None)(())


@pytest.mark.skipif(TENSORFLOW, reason="TensorFlow does not list GPUs that its driver cannot use")
def test_gpus_of_a_driver_too_old_for_pytorch_are_not_there(asked, monkeypatch):
    def refuse(index):
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(backend.torch.cuda, "get_device_name", refuse)
    monkeypatch.setattr(backend.torch.cuda, "is_available", lambda: False)
    devices.set_up_devices("all")
    assert gpus_in_use(asked) == []
    assert not can_use_gpu(0)


@pytest.mark.skipif(TENSORFLOW, reason="TensorFlow cannot try GPUs before it is told which to use")
@pytest.mark.parametrize(("usable", "chosen"), [([1], [1]), ([], [])], ids=str)
def test_of_all_gpus_the_first_that_can_be_used_is_taken(usable, chosen, asked, monkeypatch):
    monkeypatch.setattr(devices, "can_use_gpu", lambda index: index in usable)
    devices.set_up_devices("all")
    assert gpus_in_use(asked) == chosen
    assert devices.finds_gpu("all") is bool(usable)


def test_where_the_cpu_is_asked_for_gpus_are_not_looked_at(asked, monkeypatch):
    def broken():
        raise RuntimeError("a driver that is broken")

    monkeypatch.setattr(devices, "gpu_names", broken)
    devices.set_up_devices(0)
    assert gpus_in_use(asked) == []


@pytest.mark.parametrize(
    ("says", "usable"),
    [
        (None, True),
        ("no kernel image is available for execution on the device", False),
        ("CUDA out of memory", True),  # others fill it at the moment
    ],
)
def test_a_gpu_is_usable_where_something_can_be_computed_on_it(says, usable, asked, monkeypatch):
    library = backend.tf if TENSORFLOW else backend.torch
    error = backend.tf.errors.InternalError(None, None, says) if TENSORFLOW else RuntimeError(says)
    ones = library.ones

    def compute(number, **device):
        if says is not None:
            raise error
        return ones(number)

    monkeypatch.setattr(library, "ones", compute)
    if TENSORFLOW:
        monkeypatch.setattr(library, "reduce_sum", lambda ones: Computed("/device:GPU:1"))
    assert can_use_gpu(1) is usable
    assert not can_use_gpu(2)  # there are two


class Computed(float):
    """The sum of two ones, computed on a device."""

    def __new__(cls, device):
        total = super().__new__(cls, 2.0)
        total.device = device
        return total


@pytest.mark.skipif(not TENSORFLOW, reason="PyTorch does not go on with another device")
def test_a_gpu_in_place_of_which_the_cpu_computes_cannot_be_used(asked, monkeypatch):
    monkeypatch.setattr(backend.tf, "reduce_sum", lambda ones: Computed("/device:CPU:0"))
    assert not can_use_gpu(1)


def test_the_gpu_that_is_used_is_recorded(asked, monkeypatch):
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    if TENSORFLOW:
        config = backend.tf.config
        monkeypatch.setattr(config, "get_visible_devices", lambda kind: GPUS[1:])
        monkeypatch.setattr(
            config.experimental, "get_device_details", lambda gpu: {"device_name": f"a {gpu.name}"}
        )
        assert devices.versions()["gpus"] == [f"a {GPUS[1].name}"]
    else:
        named = backend.torch.cuda.get_device_name
        monkeypatch.setattr(backend.torch.cuda, "get_device_name", lambda index=1: named(index))
        assert devices.versions()["gpus"] == [GPUS[1].name]


@pytest.mark.skipif(not TENSORFLOW, reason="PyTorch knows by itself")
@pytest.mark.parametrize(("capability", "multiplies"), [((7, 5), False), ((8, 0), True)])
def test_gpus_since_2020_multiply_bfloat16(capability, multiplies, monkeypatch):
    config = backend.tf.config
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: GPUS[:1])
    details = {"compute_capability": capability}
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: details)
    assert precision.gpu_multiplies_bfloat16() is multiplies


@pytest.mark.skipif(not TENSORFLOW, reason="XLA is TensorFlow's")
def test_xla_is_refused_where_the_same_bits_are_asked_for(asked):
    with pytest.raises(ValueError, match="DETERMINISTIC = True does not go with USE_XLA = True"):
        devices.set_up_devices(0, deterministic=True, use_xla=True)
    assert not asked


@pytest.mark.skipif(TENSORFLOW, reason="cuDNN's search is PyTorch's")
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_fastest_kernels_are_looked_for_unless_they_are_to_repeat(deterministic, monkeypatch):
    torch = backend.torch
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    compiled_steps.compile_step(None)
    assert torch.backends.cudnn.benchmark is not deterministic


@pytest.mark.parametrize(("granted", "told"), [(4, True), (64, False)])
def test_a_container_s_share_of_the_cores_holds_without_the_workflow_too(
    asked, monkeypatch, granted, told
):
    """As for steps that are called from Python; StartProcess.py sets the environment."""
    monkeypatch.setattr(devices, "available_cores", lambda: granted)
    if TENSORFLOW:  # it looks there when it first computes
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        quota = dict.fromkeys(names, "4") if granted == 4 else {}
        monkeypatch.setattr(devices, "threads_within_quota", lambda: quota)
        monkeypatch.delenv(names[0], raising=False)
        monkeypatch.setenv(names[1], "1")  # the user's
        devices.set_up_devices(0)
        assert [os.environ.get(name) for name in names] == ["4" if told else None, "1"]
        assert not arguments(asked, "set_intra_op_parallelism_threads")
    else:
        monkeypatch.setattr(backend.torch, "get_num_threads", lambda: 64)
        devices.set_up_devices(0)
        assert arguments(asked, "set_num_threads") == [(granted,)] * told

"""Run a network, holding no intermediate result longer than it is used.

Called as a function, a Keras model keeps what all its layers put out until the last one is done:
7 GB for the MultiRes UNet on a micrograph of 1024 x 712 pixels. In training too: besides what the
backward pass needs. And for each layer Keras does 0.15 ms of work besides the layer's own, as much
as that of many a layer on a small tile, or on a GPU.
"""

import contextlib
import gc
from collections import Counter

import keras
from keras.src.backend import AutocastScope  # has no public name

from models import backend


def nodes_in_order(network):
    """Yield the nodes of a functional ``keras.Model``, but for its inputs, as Keras runs them."""
    by_depth = network._nodes_by_depth  # has no public name
    for depth in sorted(by_depth, reverse=True):
        yield from (node for node in by_depth[depth] if not node.is_input)


def run_through(network, x, training=False):
    """Return ``network(x, training=training)``, x a tensor that the network takes.

    ``network`` is a functional ``keras.Model`` of one input and one output. Its layers run one
    after the other, as Keras would run them; what no later one takes is let go at once.
    """
    nodes = list(nodes_in_order(network))
    (first,), (last,) = network.inputs, network.outputs
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses[id(last)] += 1
    values = {id(first): x}
    for node in nodes:
        arguments, options = node.arguments.fill_in(values)
        if getattr(node.operation, "_call_has_training_arg", False):
            options["training"] = training
        (output,) = node.outputs
        values[id(output)] = _call(node.operation, arguments, options)
        del arguments
        for tensor in node.input_tensors:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                del values[id(tensor)]
    return values[id(last)]


def predict(network, x):
    """Return ``network(x)`` in inference mode, NumPy in and out, float32.

    ``network`` is a functional ``keras.Model`` of one input and one output. It runs as it is; for
    many images ``inference.prepare`` makes it ready first.
    """
    return backend.run_without_gradients(lambda x: run_through(network, x), x)


def _call(layer, arguments, options):
    """Return ``layer(*arguments, **options)``, by ``layer.call`` where that is all it comes to."""
    is_layer = isinstance(layer, keras.Layer)
    if not is_layer or not all(keras.ops.is_tensor(argument) for argument in arguments):
        output = layer(*arguments, **options)
        gc.collect(0)  # which leaves cycles that hold its inputs, with torch
        return output
    own = layer.compute_dtype
    arguments = [
        x if keras.backend.standardize_dtype(x.dtype) == own else keras.ops.cast(x, own)
        for x in arguments
    ]
    mixed = own != layer.variable_dtype
    with AutocastScope(own) if mixed else contextlib.nullcontext():  # of the weights
        return layer.call(*arguments, **options)

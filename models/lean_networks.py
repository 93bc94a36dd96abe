"""Run a network, holding no intermediate result longer than it is used.

Called as a function, a Keras model keeps what all its layers put out until the last one is done:
7 GB for the MultiRes UNet on a micrograph of 1024 x 712 pixels. In training too: besides what the
backward pass needs.
"""

import gc
from collections import Counter


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
        values[id(output)] = node.operation(*arguments, **options)
        del arguments
        for tensor in node.input_tensors:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                del values[id(tensor)]
        gc.collect(0)  # calling a layer leaves cycles that hold its inputs, with torch
    return values[id(last)]

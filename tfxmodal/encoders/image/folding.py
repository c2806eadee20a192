"""Batch normalisation folded into the convolutions before it: the same values in less time."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tfxmodal.encoders.weights import initial_weights
from tfxmodal.lazy import keras


def folded(model: keras.Model) -> keras.Model:
    """A network for inference whose convolutions do the work of their batch normalisation as well.

    With the moving mean `m` and variance `v`, `gamma (w * x + b - m) / sqrt(v + eps) + beta` is a
    convolution with the kernel `w gamma / sqrt(v + eps)`, which differs by rounding alone (Jacob et
    al., "Quantization and Training of Neural Networks", CVPR 2018, section 3.2). A normalisation
    is folded that follows a convolution, depthwise and separable ones too, without activation, of
    which nothing else reads the output. All other layers are the model's own.

    Args:
        model: Any network; one that is not functional, or holds nothing to fold, is left as it is.

    Returns:
        The network with folded weights as they are now, or `model` itself.
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        return model
    pairs = _pairs(model)
    inner = {id(layer): folded(layer) for layer in model.layers}
    if not pairs and all(inner[id(layer)] is layer for layer in model.layers):
        return model
    dropped = {id(norm) for _, norm in pairs}
    with initial_weights(0):  # Random numbers of the process go on as they were.
        inner |= {id(convolution): _merged(convolution, norm) for convolution, norm in pairs}

    def call(layer, *arguments, **options):
        return arguments[0] if id(layer) in dropped else layer(*arguments, **options)

    return keras.models.clone_model(
        model, clone_function=lambda layer: inner.get(id(layer), layer), call_function=call
    )


def _pairs(model: keras.Model) -> list[tuple]:
    """Convolutions of a network, each with the normalisation that can be folded into it."""
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]
    readers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    readers.update(id(tensor) for tensor in keras.tree.flatten(model.outputs))
    calls = Counter(id(node.operation) for node in nodes)
    found = []
    for node in nodes:
        norm = node.operation
        if type(norm) is not keras.layers.BatchNormalization or calls[id(norm)] > 1:
            continue
        (rows,) = node.input_tensors
        before = rows._keras_history.operation
        alone = readers[id(rows)] == 1 and calls[id(before)] == 1
        if alone and _takes_a_scale(before) and norm.axis in (-1, len(rows.shape) - 1):
            found.append((before, norm))
    return found


def _takes_a_scale(layer) -> bool:
    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D
    return (
        type(layer) in kinds
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _merged(convolution, norm):
    """A convolution that gives what the normalisation makes of the given one's output."""
    merged = type(convolution).from_config(convolution.get_config() | {"use_bias": True})
    merged.build(convolution.input.shape)
    *kernels, last = [np.float64(kernel) for kernel in _kernels(convolution)]
    scale = 1 / np.sqrt(np.float64(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * np.float64(norm.gamma)
    bias = np.float64(convolution.bias) if convolution.use_bias else 0.0
    bias = (bias - np.float64(norm.moving_mean)) * scale
    if norm.center:
        bias = bias + np.float64(norm.beta)
    # A depthwise kernel is [height, width, channels, multiplier], of channels x multiplier outputs.
    last = last * scale.reshape(last.shape[2:] if _is_depthwise(convolution) else [-1])
    merged.set_weights([*kernels, last, bias])
    return merged


def _is_depthwise(convolution) -> bool:
    return isinstance(convolution, keras.layers.DepthwiseConv2D)


def _kernels(convolution) -> list:
    """Its kernels; the last one gives the outputs."""
    weights = convolution.get_weights()
    return weights[:-1] if convolution.use_bias else weights

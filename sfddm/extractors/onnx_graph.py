"""Reads an ONNX file and runs a convolutional network in it with torch, on any device and at any resolution.

ONNX is a protobuf message: a sequence of (field number, wire type, value), nested. Field numbers are those of
``onnx.proto``; what is not needed here is passed over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

_FLOAT = 1  # TensorProto.DataType
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True)
class Node:
    """An operation: ``numbers`` are those of its attributes that are lists of integers."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    numbers: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Graph:
    """A network: its operations in the order of execution, and its float32 weights by name."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, Tensor]

    def to(self, device: str) -> Graph:
        """Return the graph with its weights on a device, kernels channels-last, which is faster on a CPU."""
        import torch

        moved = {
            name: weight.to(device, memory_format=torch.channels_last if weight.ndim == 4 else torch.preserve_format)
            for name, weight in self.weights.items()
        }
        return Graph(self.nodes, moved)

    def before(self, operator: str, images: Tensor) -> Tensor:
        """Return what goes into the first operation of this name, for (B, C, H, W) images.

        Raises:
            SfddmError: an operation before it is not known here.
        """
        last = {name: index for index, node in enumerate(self.nodes) for name in node.inputs}
        values = {self.nodes[0].inputs[0]: images}
        for index, node in enumerate(self.nodes):
            if node.operator == operator:
                return values[node.inputs[0]]
            values[node.output] = self._run(node, values)
            for name in node.inputs:
                if last[name] == index:
                    values.pop(name, None)
        raise SfddmError(f"onnx: the graph has no {operator}")

    def _run(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        from torch.nn.functional import conv2d, max_pool2d, pad, relu

        x = values[node.inputs[0]]
        top, left, bottom, right = node.numbers.get("pads", (0, 0, 0, 0))
        match node.operator:
            case "Transpose":  # the only one turns channels-last images, which they are not here
                return x
            case "Relu":
                return relu(x)
            case "Add":
                return x + values[node.inputs[1]]
            case "Conv":
                kernel, bias = (self.weights[name] for name in node.inputs[1:])
                return conv2d(pad(x, (left, right, top, bottom)), kernel, bias, node.numbers["strides"])
            case "MaxPool":
                padded = pad(x, (left, right, top, bottom), value=-float("inf"))
                return max_pool2d(padded, node.numbers["kernel_shape"], node.numbers["strides"])
        raise SfddmError(f"onnx: the operation {node.operator} is not known here")


def read_graph(content: bytes) -> Graph:
    """Return the graph of an ONNX file.

    Raises:
        ValueError, IndexError, KeyError: it is none.
    """
    import torch

    graph = _fields(_fields(content)[7][0])
    nodes, weights = [], {}
    for node in map(_fields, graph[1]):
        attributes = map(_fields, node[5])
        numbers = {one[1][0].decode(): tuple(_integers(one[8])) for one in attributes if one[8]}
        inputs = tuple(name.decode() for name in node[1])
        nodes.append(Node(node[4][0].decode(), inputs, node[2][0].decode(), numbers))
    for tensor in map(_fields, graph[5]):
        if tensor[2][0] == _FLOAT:
            values = np.frombuffer(tensor[9][0], "<f4").reshape(_integers(tensor[1]))
            weights[tensor[8][0].decode()] = torch.from_numpy(values.astype(np.float32))
    return Graph(tuple(nodes), weights)


def _fields(message: bytes) -> defaultdict[int, list[Any]]:
    """Return the values of each field of a message: integers, and bytes for texts, messages and packed numbers."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            found[field].append(value)
            continue
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if kind == _LENGTH:
            length, place = _varint(message, place)
        if length is None:
            raise ValueError(f"wire type {kind}")
        found[field].append(message[place : place + length])
        place += length
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return an integer of 7 bits a byte, the lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _integers(values: Sequence[int | bytes]) -> list[int]:
    """Return a repeated field of integers, which may be packed."""
    found: list[int] = []
    for value in values:
        place = 0
        if isinstance(value, int):
            found.append(value)
            continue
        while place < len(value):
            number, place = _varint(value, place)
            found.append(number)
    return found

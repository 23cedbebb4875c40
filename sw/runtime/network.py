# SPDX-License-Identifier: Apache-2.0
"""Small quantised networks: dense layers whose whole arithmetic is one GEMM with its epilogue.

A layer takes x (uint8, int8, or floats) to convert(f(relu(x @ weights + bias)) * scale). What an
integer stands for is `out_scale` times itself; there are no zero points. A network is one `.npz`
file: arrays `N.weights`, `N.bias`, `N.scale` and, as trained, `N.float_weights`, `N.float_bias` of
layer N, `examples`, and `meta`, a JSON text with everything else.
"""

import dataclasses
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.formats import Format
from sw.errors import UserError
from sw.files import atomic_path
from sw.runtime.finish import Finish
from sw.runtime.operands import DTYPES, format_of

__all__ = ["ACTIVATIONS", "Layer", "Network", "load_network", "save_network"]

_KIND = "open-mtia network"
_VERSION = 1
ACTIVATIONS = (Function.NONE, Function.SIGMOID, Function.TANH, Function.GELU, Function.SILU)
"""Functions that a layer may end with."""
_ARRAYS = ("weights", "bias", "scale", "float_weights", "float_bias")


def _check_unit(name: str, scale: float) -> None:
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"{name}: what 1 stands for is {scale}; it must be positive and finite.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """One dense layer."""

    name: str
    weights: NDArray[Any]
    """[K,N], int8 or uint8, or float16 or bfloat16."""
    bias: NDArray[Any] | None = None
    """[N], int32 (float32 for floating weights)."""
    scale: NDArray[np.float32] | float | None = None
    """Factor behind the sum: one, or one for each column."""
    relu: bool = False
    activation: Function = Function.NONE
    out: Format = Format.INT8
    out_scale: float = 1.0
    """What 1 stands for in the result."""
    float_weights: NDArray[Any] | None = None
    """As trained, for the comparison with float64."""
    float_bias: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Inputs and outputs of the layer."""
        return self.weights.shape[0], self.weights.shape[1]

    def check(self) -> None:
        """Raise UserError with one sentence for what is wrong with this layer alone."""
        if self.weights.ndim != 2 or not self.weights.size:
            raise UserError(f"{self.name}: its weights must be a matrix of at least one value.")
        if self.activation not in ACTIVATIONS:
            raise UserError(f"{self.name}: {self.activation.name.lower()} is no activation.")
        _check_unit(self.name, self.out_scale)
        for what, trained, shape in (
            ("weights", self.float_weights, self.shape),
            ("bias", self.float_bias, self.shape[1:]),
        ):
            if trained is not None and (trained.shape != shape or trained.dtype.kind not in "iufV"):
                raise UserError(
                    f"{self.name}: its {what} as trained must be numbers of shape {shape}."
                )

    @property
    def finish(self) -> Finish:
        """Its epilogue."""
        return Finish(
            out=self.out,
            bias=self.bias,
            relu=self.relu,
            scale=self.scale,
            activation=self.activation,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Layers in order; the result of one is the input of the next.

    Raises
    ------
    UserError
        From `check`, if the layers do not fit together.
    """

    layers: tuple[Layer, ...]
    in_format: Format = Format.UINT8
    in_scale: float = 1.0
    """What 1 stands for in the inputs."""
    name: str = "network"
    examples: NDArray[Any] | None = None
    """Inputs, one a row, to try it on."""

    @property
    def n_inputs(self) -> int:
        """Values of one input."""
        return self.layers[0].shape[0]

    def check(self) -> "Network":
        """Return self, or raise UserError with one sentence."""
        if not self.layers:
            raise UserError(f"{self.name} has no layers.")
        _check_unit(self.name, self.in_scale)
        for layer in self.layers:
            layer.check()
        before, fmt = self.n_inputs, self.in_format
        for layer in self.layers:
            if layer.shape[0] != before:
                raise UserError(
                    f"{layer.name} takes {layer.shape[0]} values; what comes before gives {before}."
                )
            if fmt.is_float != format_of(layer.weights).is_float or fmt.n_bytes > 2:
                raise UserError(
                    f"{layer.name} gets {fmt.name.lower()}, which its {layer.weights.dtype} weights"
                    " cannot be multiplied with."
                )
            before, fmt = layer.shape[1], layer.out
        return self

    def as_inputs(self, array: NDArray[Any]) -> NDArray[Any]:
        """`array` as a matrix of inputs, one a row.

        Raises
        ------
        UserError
            If its shape or type is another.
        """
        if not array.size or not array.ndim:
            raise UserError(f"Inputs have shape {array.shape}; there must be at least one input.")
        if array.ndim == 1:
            array = array[None]
        array = array.reshape(array.shape[0], -1)
        if array.shape[1] != self.n_inputs:
            raise UserError(
                f"Inputs have {array.shape[1]} values each; {self.name} takes {self.n_inputs}."
            )
        wanted = DTYPES[self.in_format]
        if array.dtype != wanted:
            raise UserError(f"Inputs hold {array.dtype}; {self.name} takes {wanted}.")
        return np.ascontiguousarray(array)


def save_network(path: Path, network: Network) -> None:
    """Write one `.npz` file."""
    arrays: dict[str, Any] = {}
    layers = []
    for number, layer in enumerate(network.check().layers):
        for name in _ARRAYS:
            value = getattr(layer, name)
            if value is not None:
                arrays[f"{number}.{name}"] = np.asarray(value)
        layers.append(
            {
                "name": layer.name,
                "kind": "dense",
                "relu": layer.relu,
                "activation": layer.activation.name.lower(),
                "out": layer.out.name.lower(),
                "out_scale": layer.out_scale,
            }
        )
    if network.examples is not None:
        arrays["examples"] = network.examples
    meta = {
        "kind": _KIND,
        "version": _VERSION,
        "name": network.name,
        "in_format": network.in_format.name.lower(),
        "in_scale": network.in_scale,
        "layers": layers,
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)


def load_network(path: Path) -> Network:
    """Read what `save_network` wrote.

    Raises
    ------
    UserError
        If the file is no network, or a broken one; one sentence.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(str(arrays.pop("meta")))
        if meta["kind"] != _KIND or meta["version"] != _VERSION:
            raise KeyError("kind")
        return _build(meta, arrays).check()
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path} is not a network of version {_VERSION} (.npz).") from None


def _build(meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Network:
    layers = []
    for number, entry in enumerate(meta["layers"]):
        mine: dict[str, Any] = {name: arrays.get(f"{number}.{name}") for name in _ARRAYS}
        mine["weights"] = arrays[f"{number}.weights"]
        for name in ("weights", "float_weights"):
            if mine[name] is not None and mine[name].dtype == np.dtype("V2"):
                mine[name] = mine[name].view(DTYPES[Format.BF16])
        if mine["scale"] is not None and mine["scale"].ndim == 0:
            mine["scale"] = float(mine["scale"])
        layers.append(
            Layer(
                name=str(entry["name"]),
                relu=bool(entry["relu"]),
                activation=Function[entry["activation"].upper()],
                out=Format[entry["out"].upper()],
                out_scale=float(entry["out_scale"]),
                **mine,
            )
        )
    return Network(
        layers=tuple(layers),
        in_format=Format[meta["in_format"].upper()],
        in_scale=float(meta["in_scale"]),
        name=str(meta["name"]),
        examples=arrays.get("examples"),
    )

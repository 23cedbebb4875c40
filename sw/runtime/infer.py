# SPDX-License-Identifier: Apache-2.0
"""Runs a quantised network on a device, layer by layer; activations stay in the chip's memory."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from hw.config import ChipConfig
from sw.errors import UserError
from sw.kernels.gemm import GemmPlan, plan_gemm
from sw.runtime.chip import Chip
from sw.runtime.figures import gemm_figures
from sw.runtime.finish import Vectors
from sw.runtime.gemm import Placement, gemm_problem
from sw.runtime.network import Layer, Network
from sw.runtime.operands import DTYPES, format_of
from sw.runtime.placement import allocate, clear_last_line, store_array

__all__ = ["LayerRun", "NetworkJob", "as_real", "prepare_network", "run_network"]


@dataclasses.dataclass(frozen=True)
class LayerRun:
    """What a layer gave, and how it was computed."""

    layer: Layer
    output: NDArray[Any]
    perf: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Step:
    """One layer, ready to run."""

    layer: Layer
    vectors: Vectors
    spot: Placement
    plan: GemmPlan


@dataclasses.dataclass(frozen=True)
class NetworkJob:
    """A network for `batch` inputs with all its addresses and command lists."""

    network: Network
    batch: int
    memory: str
    input_address: int
    steps: tuple[_Step, ...]


def prepare_network(
    config: ChipConfig, network: Network, batch: int, *, where: str = "auto"
) -> NetworkJob:
    """Place and plan a network for one element; touches no device.

    Raises
    ------
    UserError
        If a layer cannot be computed by this member, or the network does not fit its memory.
    """
    try:
        return _prepare(config, network.check(), batch, where)
    except ValueError as error:
        raise UserError(str(error)) from None


def _prepare(config: ChipConfig, network: Network, batch: int, where: str) -> NetworkJob:
    tile = config.pe.dpe.columns
    sizes = {"the inputs": batch * network.n_inputs * network.in_format.n_bytes}
    fmt, everything = network.in_format, []
    for number, layer in enumerate(network.layers):
        k, n = layer.shape
        formats, shape = (fmt, format_of(layer.weights)), (batch, n, k)
        vectors = layer.finish.vectors(fmt.accumulator, n, tile)
        # A list is as long at any addresses, so one planned at 0 tells how much room it takes.
        draft = plan_gemm(config.pe, gemm_problem(shape, formats, layer.finish, Placement("")))
        parts = {
            "weights": layer.weights.nbytes,
            "bias": 0 if vectors.bias is None else vectors.bias.nbytes,
            "scales": 0 if vectors.scales is None else vectors.scales.nbytes,
            "result": batch * n * layer.out.n_bytes,
            "command list": len(bytes(draft.commands)),
        }
        sizes |= {f"{part} {number + 1}": size for part, size in parts.items()}
        everything.append((layer, vectors, shape, formats))
        fmt = layer.out
    memory, at = allocate(config, sizes, where, what=f"{network.name} for {batch} inputs")
    steps, a = [], at["the inputs"]
    for number, (layer, vectors, shape, formats) in enumerate(everything, start=1):
        spot = Placement(
            memory, a, at[f"weights {number}"], at[f"result {number}"], at[f"bias {number}"],
            at[f"scales {number}"], at[f"command list {number}"],
        )  # fmt: skip
        plan = plan_gemm(config.pe, gemm_problem(shape, formats, layer.finish, spot))
        steps.append(_Step(layer, vectors, spot, plan))
        a = spot.c
    return NetworkJob(network, batch, memory, at["the inputs"], tuple(steps))


def run_network(
    chip: Chip,
    job: NetworkJob,
    inputs: NDArray[Any],
    *,
    progress: Callable[[int, int], None] = lambda _layer, _cycles: None,
) -> list[LayerRun]:
    """Run all layers on `job.batch` inputs (as `Network.as_inputs` gives them).

    The host writes everything before the first layer and reads the results behind the last one, so
    that layer follows layer.

    Parameters
    ----------
    progress : Callable[[int, int], None]
        Told the number of the layer at work and its cycles so far.

    Raises
    ------
    JobError, JobHang
        From the chip.
    """
    store_array(chip.port, job.input_address, inputs.tobytes())
    for step in job.steps:
        _load(chip, step)
    figures = []
    for number, step in enumerate(job.steps):

        def show(cycles: int, number: int = number) -> None:
            progress(number, cycles)

        progress(number, 0)
        result = chip.run_job(step.spot.commands, bytes(step.plan.commands), progress=show)
        figures.append(gemm_figures(chip.config, step.plan, result, chip.counters()))
    return [
        LayerRun(step.layer, _result(chip, step), perf)
        for step, perf in zip(job.steps, figures, strict=True)
    ]


def _result(chip: Chip, step: _Step) -> NDArray[Any]:
    """What a layer left in memory."""
    problem = step.plan.problem
    data = chip.port.read(step.spot.c, _result_bytes(step))
    return np.frombuffer(data, DTYPES[problem.out_format]).reshape(problem.m, problem.n)


def _result_bytes(step: _Step) -> int:
    problem = step.plan.problem
    return problem.m * problem.n * problem.out_bytes


def _load(chip: Chip, step: _Step) -> None:
    """Weights and vectors of a layer, and check bits for the end of its result."""
    for address, array in (
        (step.spot.b, step.layer.weights),
        (step.spot.bias, step.vectors.bias),
        (step.spot.scales, step.vectors.scales),
    ):
        if array is not None:
            store_array(chip.port, address, np.ascontiguousarray(array).tobytes())
    clear_last_line(chip.port, step.spot.c, _result_bytes(step))


def as_real(values: NDArray[Any], fmt: Format, scale: float) -> NDArray[np.float64]:
    """What a layer's values stand for."""
    return values.astype(np.float64) * (1.0 if fmt.is_float else scale)

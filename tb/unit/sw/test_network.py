# SPDX-License-Identifier: Apache-2.0
"""Networks: files, inference on the functional device, quantisation, differences in numbers."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import get_config
from sw.cli.app import main
from sw.errors import UserError
from sw.runtime.compare import compare_layers
from sw.runtime.functional import FunctionalChip
from sw.runtime.infer import LayerRun, prepare_network, run_network
from sw.runtime.network import Layer, Network, load_network, save_network
from sw.runtime.quantize import FloatLayer, quantize_network
from sw.runtime.reference import float64_layers
from tb.common.seeds import numpy_rng
from tb.unit.sw.networks import by_integers, small_network


def infer(network: Network, inputs: NDArray[Any], config: str = "tiny") -> list[LayerRun]:
    """All layers on the functional device."""
    member = get_config(config)
    job = prepare_network(member, network, inputs.shape[0])
    return run_network(FunctionalChip(member), job, inputs)


@pytest.mark.parametrize("config", ["tiny", "odd", "mtia100-pe"])
@pytest.mark.parametrize("batch", [1, 6, 37])
def test_layers_give_what_integers_give(config: str, batch: int) -> None:
    """Would break if a layer read another's result, bias or scale, or batches were mixed up."""
    network = small_network()
    inputs = numpy_rng(f"{batch}").integers(0, 256, (batch, 20)).astype(np.uint8)
    for run, wanted in zip(
        infer(network, inputs, config), by_integers(network, inputs), strict=True
    ):
        assert run.output.dtype == wanted.dtype and np.array_equal(run.output, wanted)


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    """Would break if a field were lost on the way to the disk."""
    network = small_network()
    layers = (
        dataclasses.replace(network.layers[0], float_weights=np.ones((20, 33), np.float32)),
        network.layers[1],
        dataclasses.replace(network.layers[2], activation=Function.GELU),
    )
    network = dataclasses.replace(network, layers=layers)
    save_network(tmp_path / "net.npz", network)
    again = load_network(tmp_path / "net.npz")
    assert (again.name, again.in_format, again.in_scale) == ("small", Format.UINT8, 0.25)
    assert np.array_equal(again.examples, network.examples)
    for one, other in zip(again.layers, network.layers, strict=True):
        for field in dataclasses.fields(Layer):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_broken_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Would break if a wrong file were a traceback."""
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(UserError, match="is not a network"):
        load_network(tmp_path / "net.npz")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    """Would break if any .npz passed for a network."""
    np.savez(tmp_path / "net.npz", meta=np.array(json.dumps({"kind": "other", "version": 1})))
    with pytest.raises(UserError, match="is not a network"):
        load_network(tmp_path / "net.npz")


def test_layers_that_do_not_fit_are_named() -> None:
    """Would break if shapes or formats were found out by the device."""
    network = small_network()
    first, second, third = network.layers
    with pytest.raises(UserError, match="third takes 9 values; what comes before gives 33"):
        dataclasses.replace(network, layers=(first, third)).check()
    wide = dataclasses.replace(second, out=Format.FP32)
    with pytest.raises(UserError, match="third gets fp32"):
        dataclasses.replace(network, layers=(first, wide, third)).check()
    with pytest.raises(UserError, match="has no layers"):
        dataclasses.replace(network, layers=()).check()
    with pytest.raises(UserError, match="takes 20"):
        network.as_inputs(np.zeros((3, 21), np.uint8))
    with pytest.raises(UserError, match="takes uint8"):
        network.as_inputs(np.zeros((3, 20), np.int8))
    for shape in ((), (0,), (0, 20), (2, 0)):
        with pytest.raises(UserError, match="at least one input"):
            network.as_inputs(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": np.zeros(20, np.int8)}, "its weights must be a matrix"),
        ({"weights": np.zeros((20, 0), np.int8)}, "its weights must be a matrix"),
        ({"activation": Function.EXP}, "exp is no activation"),
        ({"out_scale": float("nan")}, "what 1 stands for"),
        ({"out_scale": 0.0}, "what 1 stands for"),
        ({"float_weights": np.zeros((20, 3))}, "weights as trained"),
        ({"float_bias": np.zeros(3)}, "bias as trained"),
        ({"float_bias": np.array(["a"] * 33)}, "bias as trained"),
    ],
)
def test_a_layer_that_cannot_be_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    """Would break if a damaged file were a traceback, or found out behind the run."""
    network = small_network()
    first = dataclasses.replace(network.layers[0], **change)
    with pytest.raises(UserError, match=f"first: .*{sentence}"):
        dataclasses.replace(network, layers=(first, *network.layers[1:])).check()


def test_a_network_that_is_too_large_is_refused() -> None:
    """Would break if memory were found too small by a trap."""
    with pytest.raises(UserError, match="small for 99999999 inputs needs .* bytes; tiny has"):
        prepare_network(get_config("tiny"), small_network(), 99_999_999)


def test_differences_are_counted_and_placed() -> None:
    """Would break if compare looked away: one changed element must be found in its layer."""
    network = small_network()
    inputs = network.as_inputs(network.examples)
    runs = infer(network, inputs)
    changed = runs[1].output.copy()
    changed[4, 2] ^= 1
    other = [runs[0], dataclasses.replace(runs[1], output=changed), runs[2]]
    found = compare_layers(network, inputs, runs, other)
    assert [layer.mismatches for layer in found] == [0, 1, 0]
    assert found[1].first_mismatch == (4, 2)
    assert found[0].first_mismatch is None


def test_errors_are_those_of_rounding() -> None:
    """Would break if float64 or real units were wrong: without clamping a layer errs by at most
    half a step of its result, and its SQNR follows from the errors."""
    layer = dataclasses.replace(small_network().layers[0], scale=2.0**-14, relu=False)
    layer = dataclasses.replace(layer, out=Format.INT8, bias=None)
    network = Network(layers=(layer,), in_scale=0.25)
    inputs = numpy_rng("half").integers(0, 64, (9, 20)).astype(np.uint8)
    runs = infer(network, inputs)
    (found,) = compare_layers(network, inputs, runs, runs)
    assert 0.2 * layer.out_scale < found.max_error <= 0.5 * layer.out_scale
    (real,) = float64_layers(network, inputs)
    error = runs[0].output * layer.out_scale - real
    assert found.sqnr_db == pytest.approx(10 * np.log10((real**2).sum() / (error**2).sum()))


def test_quantisation_keeps_a_network() -> None:
    """Would break if a scale were off: rounding to 8 bits leaves results within 5 % of the largest
    one (three roundings of at most 1/254 of a layer's range, times the layers' gains)."""
    rng = numpy_rng("quantise")
    layers = [
        FloatLayer(
            name=f"{n}", weights=rng.standard_normal(shape) / np.sqrt(shape[0]),
            bias=rng.standard_normal(shape[1]) * 0.1, relu=n < 2,
        )
        for n, shape in enumerate([(30, 40), (40, 40), (40, 7)])
    ]  # fmt: skip
    inputs = rng.integers(0, 256, (200, 30)).astype(np.uint8)
    network = quantize_network("q", layers, inputs, 1 / 255)
    assert [layer.out for layer in network.layers] == [Format.UINT8, Format.UINT8, Format.FP32]
    *_, real = float64_layers(network, inputs)
    result = infer(network, inputs, "mtia100-pe")[-1].output
    assert np.abs(result - real).max() < 0.05 * np.abs(real).max()


def test_compare_refuses_what_is_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if a wrong file were a traceback on the command line."""
    (tmp_path / "net.npz").write_bytes(b"x")
    assert main(["compare", str(tmp_path / "net.npz")]) == 1
    error = capsys.readouterr().err.strip()
    assert "is not a network" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("given", ["net.npz", "x.npy"])
def test_compare_writes_over_no_input(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would break if the figures replaced the network or its inputs without a word."""
    monkeypatch.chdir(tmp_path)
    network = small_network()
    save_network(Path("net.npz"), network)
    np.save("x.npy", np.zeros((2, network.n_inputs), np.uint8))
    before = Path(given).read_bytes()
    assert main(["compare", "net.npz", "--inputs", "x.npy", "--json", given]) == 1
    error = capsys.readouterr().err.strip()
    assert f"{given} is an input too" in error and len(error.splitlines()) == 1
    assert Path(given).read_bytes() == before

# SPDX-License-Identifier: Apache-2.0
"""The proof runner itself: what is false fails, what is missing is an error, passes are kept."""

from pathlib import Path

import pytest
from amaranth.hdl import Signal

from hw.lib.elastic import PipeStage
from tb.formal import common
from tb.formal.common import ABC_PDR, Z3_INDUCTION, Proof


def claim_about_stage(name: str, *, is_true: bool) -> Proof:
    """A stalled word stays valid; the false version says that it never does."""
    proof = Proof(name)
    dut = proof.add(PipeStage(shape=2))
    stalled = proof.past(dut.o.valid & ~dut.o.ready)
    proof.check(~stalled | (dut.o.valid == is_true), "the claim")
    return proof


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "_ROOT", tmp_path)
    monkeypatch.setattr(common, "_FOLDER", tmp_path / "proofs")


@pytest.mark.parametrize("engine", [ABC_PDR, Z3_INDUCTION])
def test_false_claim_fails_by_name(engine: str) -> None:
    """Both engines find the counterexample and name the check."""
    with pytest.raises(AssertionError, match="the_claim"):
        claim_about_stage("false_claim", is_true=False).prove(engine=engine)


def test_bound_limits_what_is_looked_at() -> None:
    """The false claim needs two cycles to show, so one cycle knows nothing of it."""
    claim_about_stage("bounded", is_true=False).prove(bound=1)
    with pytest.raises(AssertionError, match="the_claim"):
        claim_about_stage("bounded", is_true=False).prove(bound=5)


def test_unreachable_situation_fails_by_name() -> None:
    """A proof that holds for want of behaviour is noticed."""
    proof = claim_about_stage("unreachable", is_true=True)
    proof.assume(~proof.m.submodules.dut.i.valid)
    proof.reach(proof.m.submodules.dut.o.valid, "a word comes out", cycles=5)
    with pytest.raises(AssertionError, match="a_word_comes_out"):
        proof.prove()


def test_pass_is_kept_until_the_problem_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged problem needs no tool; a changed one does, and a missing tool is an error."""
    claim_about_stage("kept", is_true=True).prove()
    monkeypatch.setattr(common, "_scripts", lambda: Path("nowhere"))
    claim_about_stage("kept", is_true=True).prove()
    with pytest.raises(RuntimeError, match="'yowasp-sby' was not found; run 'make setup'"):
        claim_about_stage("kept", is_true=False).prove()


def test_constant_never_changes_and_inputs_are_open() -> None:
    """`constant` is any value for ever; inputs of the component take every value."""
    proof = Proof("constant")
    dut = proof.add(PipeStage(shape=2))
    constant = proof.constant(2, "value")
    past = proof.past(constant)
    proof.check(~proof.started | (constant == past), "it stays")
    proof.reach((constant == 3) & dut.i.valid & (dut.i.payload == 2), "any value", cycles=2)
    proof.prove()


def test_past_looks_back_even_inside_a_condition() -> None:
    """The value of the cycle before is kept in every cycle, wherever it is asked for."""
    proof = Proof("past_inside_if")
    count, enable = Signal(3), proof.free(1, "enable")
    proof.m.d.sync += count.eq(count + 1)
    with proof.m.If(enable & proof.started):
        proof.check(proof.past(count) + 1 == count + (count == 0) * 8, "one cycle before")
    proof.prove()


def test_open_reset_acts() -> None:
    """With `reset` registers start again from their initial values."""
    proof = Proof("open_reset", reset=True)
    dut = proof.add(PipeStage(shape=2))
    assert proof.reset is not None
    proof.reach(dut.o.valid & proof.reset, "reset of a full stage", cycles=3)
    proof.prove()


def test_wrong_names_are_refused() -> None:
    """Names that would clash or mean nothing have a sentence each."""
    with pytest.raises(ValueError, match=r"^Proof name 'a b' must be an identifier\.$"):
        Proof("a b")
    proof = Proof("names")
    with pytest.raises(ValueError, match=r"^Component 'dut' has no input 'i\.data' to drive\.$"):
        proof.add(PipeStage(shape=2), driven=("i.data",))
    proof.free(1, "go")
    with pytest.raises(ValueError, match=r"^Proof 'names' has two open inputs 'go'\.$"):
        proof.free(1, "go")
    proof.check(proof.started, "once")
    with pytest.raises(ValueError, match=r"^Proof 'names' has two properties 'once'\.$"):
        proof.check(proof.started, "once")

# SPDX-License-Identifier: Apache-2.0
"""Arbiters: who goes next among several requests.

`RoundRobin` and `AgedPriority` grant one bit of a request vector in the same cycle and are told in
`served` which grant was used. `RoundRobinArbiter` and `PriorityArbiter` put them in front of
streams and keep a choice until its word is taken.
"""

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AgedPriority", "PriorityArbiter", "RoundRobin", "RoundRobinArbiter"]

_MAX_REQUESTS = 64  # wider words cost far more in simulation
_FEW = 4  # so many take fewer lookup tables in a row without a carry chain


class _Chooser(wiring.Component):
    """Ports and checks that both ways of choosing share."""

    def __init__(self, *, n_requests: int) -> None:
        if not 1 <= n_requests <= _MAX_REQUESTS:
            raise ValueError(
                f"{type(self).__name__} n_requests must be 1 to {_MAX_REQUESTS}, "
                f"not {n_requests!r}."
            )
        self.n_requests = n_requests
        super().__init__(
            {
                "requests": In(n_requests),
                "served": In(n_requests),
                "grant": Out(n_requests),
            }
        )

    def _grant_preferred(self, m: Module, preferred: Value) -> None:
        """Grant the lowest of the preferred requests, or of all if none is preferred."""
        chosen = Signal(self.n_requests)
        m.d.comb += [
            chosen.eq(self.requests & preferred),
            self.grant.eq(chosen & (~chosen + 1)[: self.n_requests]),  # the lowest bit that is set
        ]
        with m.If((self.requests & preferred) == 0):
            m.d.comb += chosen.eq(self.requests)


class RoundRobin(_Chooser):
    """Grants one of several requests; whoever was served last comes last.

    Operation: the first request behind the one served last (cyclically) is granted. Requests may
    come and go at any time; a grant that is not used is reconsidered in the next cycle.

    Timing: `grant` follows `requests` in the same cycle (combinational path); one grant per cycle.
    Where grants are served, a request that stays sees at most `n_requests - 1` others served.

    Parameters
    ----------
    n_requests : number of requests, 1 to 64.
    serves_all : every grant is used, and `served` is not looked at.

    Members
    -------
    requests : In(n_requests), who asks.
    served : In(n_requests), who was served in this cycle: `grant` where it is used, else zero.
    grant : Out(n_requests), one-hot; zero while nobody asks.

    Raises: ValueError when `n_requests` is out of range.
    """

    def __init__(self, *, n_requests: int, serves_all: bool = False) -> None:
        super().__init__(n_requests=n_requests)
        self.serves_all = serves_all

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Where the search begins: behind the one served last.
        first = Signal(self.n_requests, init=1)
        find = self._first_of_few if self.n_requests <= _FEW else self._first_of_many
        m.d.comb += self.grant.eq(find(first))
        served = self.grant if self.serves_all else self.served
        # That there is a request is known long before whose turn it is.
        with m.If((self.requests if self.serves_all else served).any()):
            m.d.sync += first.eq(served.rotate_left(1))
        return m

    def _first_of_few(self, first: Signal) -> Value:
        """Who has nobody before it; whoever comes before whom follows from `first` alone."""
        n = self.n_requests
        blocked = []
        for i in range(n):
            starts = {
                j: [s for s in range(n) if (j - s) % n < (i - s) % n] for j in range(n) if j != i
            }
            before = [
                self.requests[j] & Cat(first[s] for s in places).any()
                for j, places in starts.items()
            ]
            blocked.append(Cat(before).any())
        return self.requests & ~Cat(blocked)

    def _first_of_many(self, first: Signal) -> Value:
        """One subtraction from the requests, written twice, comes round."""
        twice = Cat(self.requests, self.requests)
        below = (twice - first)[: 2 * self.n_requests]
        return self.requests & ~(below[: self.n_requests] & below[self.n_requests :])


class AgedPriority(_Chooser):
    """Grants the lowest request, but lets nobody lose for ever.

    Operation: request 0 has the highest priority. A request that saw others served `age_limit`
    times in a row is aged and goes before all that are not; among several aged ones the lowest goes
    first. Being served, and not asking, sets its count back.

    Timing: `grant` follows `requests` in the same cycle (combinational path); one grant per cycle.
    Where grants are served, a request that stays sees others served at most
    `age_limit + n_requests - 2` times in a row (never where it is the only one).

    Parameters
    ----------
    n_requests : number of requests, 1 to 64.
    age_limit : times a request is passed over before it goes first; at least 1, and at least
        `n_requests - 1`, since otherwise two requests could age in turns and keep a third one out.

    Members
    -------
    requests : In(n_requests), who asks.
    served : In(n_requests), who was served in this cycle: `grant` where it is used, else zero.
    grant : Out(n_requests), one-hot; zero while nobody asks.

    Raises: ValueError when a parameter is out of range.
    """

    def __init__(self, *, n_requests: int, age_limit: int) -> None:
        super().__init__(n_requests=n_requests)
        least = max(n_requests - 1, 1)
        if age_limit < least:
            raise ValueError(
                f"AgedPriority age_limit must be at least {least} for {n_requests} "
                f"requests, not {age_limit!r}."
            )
        self.age_limit = age_limit

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        aged = Signal(self.n_requests)
        self._grant_preferred(m, aged)
        any_served = Signal()
        m.d.comb += any_served.eq(self.served.any())
        for index in range(self.n_requests):
            n_passed = Signal(range(self.age_limit + 1), name=f"n_passed{index}")
            m.d.comb += aged[index].eq(n_passed == self.age_limit)
            with m.If(~self.requests[index] | self.served[index]):
                m.d.sync += n_passed.eq(0)
            with m.Elif(any_served & ~aged[index]):
                m.d.sync += n_passed.eq(n_passed + 1)
        return m


class _StreamArbiter(wiring.Component):
    """Several streams into one, in the order of a chooser."""

    def __init__(self, *, shape: ShapeLike, n_inputs: int, chooser: _Chooser) -> None:
        self.shape = shape
        self.n_inputs = n_inputs
        self._chooser = chooser
        super().__init__(
            {
                "i": In(stream.Signature(shape)).array(n_inputs),
                "o": Out(stream.Signature(shape)),
                "source": Out(range(max(n_inputs, 2))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.chooser = chooser = self._chooser
        kept = Signal(self.n_inputs)  # the choice whose word waits, so that it cannot change
        grant = Signal(self.n_inputs)
        m.d.comb += [
            chooser.requests.eq(Cat(port.valid for port in self.i)),
            grant.eq(chooser.grant),
            self.o.valid.eq(chooser.requests.any()),
        ]
        with m.If(kept.any()):
            m.d.comb += grant.eq(kept)
        with m.If(self.o.valid & self.o.ready):
            m.d.comb += chooser.served.eq(grant)
        with m.If(self.o.valid):
            with m.If(self.o.ready):
                m.d.sync += kept.eq(0)
            with m.Else():
                m.d.sync += kept.eq(grant)
        for bit in range(len(self.source)):
            members = [grant[index] for index in range(self.n_inputs) if index >> bit & 1]
            m.d.comb += self.source[bit].eq(Cat(*members).any())
        m.d.comb += [port.ready.eq(grant[k] & self.o.ready) for k, port in enumerate(self.i)]
        # By number, since a multiplexer of one-hot cases takes several times the logic.
        with m.Switch(self.source):
            for index, port in enumerate(self.i[:-1]):
                with m.Case(index):
                    m.d.comb += self.o.payload.eq(port.payload)
            with m.Default():
                m.d.comb += self.o.payload.eq(self.i[self.n_inputs - 1].payload)
        return m


class RoundRobinArbiter(_StreamArbiter):
    """Merges several streams into one, each input in its turn.

    Operation: offers the word of the first valid input behind the one served last. A word that is
    offered stays until it is taken, whatever comes in meanwhile.

    Timing: latency 0; one word per cycle. Combinational paths from every `i` to `o` and `source`,
    and from `o.ready` and `i.valid` to `i.ready`. A word at an input sees at most `n_inputs - 1`
    words of others taken.

    Parameters
    ----------
    shape : shape of the payload.
    n_inputs : number of inputs, 1 to 64.

    Members
    -------
    i : In(stream.Signature(shape)).array(n_inputs), streams to merge.
    o : Out(stream.Signature(shape)), the merged stream.
    source : Out(range(max(n_inputs, 2))), which input the word at `o` comes from.

    Raises: ValueError when `n_inputs` is out of range.
    """

    def __init__(self, *, shape: ShapeLike, n_inputs: int) -> None:
        super().__init__(shape=shape, n_inputs=n_inputs, chooser=RoundRobin(n_requests=n_inputs))


class PriorityArbiter(_StreamArbiter):
    """Merges several streams into one, input 0 first, but keeps no input waiting for ever.

    Operation: offers the word of the lowest valid input, unless an input has been passed over
    `age_limit` times in a row: that one goes first. A word that is offered stays until it is taken.

    Timing: latency 0; one word per cycle. Combinational paths from every `i` to `o` and `source`,
    and from `o.ready` and `i.valid` to `i.ready`. A word at an input sees at most
    `age_limit + n_inputs - 2` words of others taken (none where it is the only one).

    Parameters
    ----------
    shape : shape of the payload.
    n_inputs : number of inputs, 1 to 64.
    age_limit : times an input is passed over before it goes first; at least 1 and at least
        `n_inputs - 1`.

    Members
    -------
    i : In(stream.Signature(shape)).array(n_inputs), streams to merge.
    o : Out(stream.Signature(shape)), the merged stream.
    source : Out(range(max(n_inputs, 2))), which input the word at `o` comes from.

    Raises: ValueError when a parameter is out of range.
    """

    def __init__(self, *, shape: ShapeLike, n_inputs: int, age_limit: int) -> None:
        self.age_limit = age_limit
        super().__init__(
            shape=shape,
            n_inputs=n_inputs,
            chooser=AgedPriority(n_requests=n_inputs, age_limit=age_limit),
        )

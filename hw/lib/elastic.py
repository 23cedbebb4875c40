# SPDX-License-Identifier: Apache-2.0
"""Elastic stages: registers and queues that sit between two streams.

All of them pass payloads unchanged and in order, obey the four stream rules at their output when
the source obeys them at the input, and lose or repeat nothing. They differ in what they cut:

============  ======================  ==================  ===========
stage         path valid and payload  path of ready       words held
============  ======================  ==================  ===========
PipeStage     registered              combinational       1
SkidBuffer    registered              registered          2
PingPong...   chosen by a register    registered          2
StreamFifo    registered              registered          depth
============  ======================  ==================  ===========
"""

from typing import Any

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PingPongBuffer", "PipeStage", "SkidBuffer", "StreamFifo"]


class _Stage(wiring.Component):
    """What all stages of latency 1 have in common."""

    latency = 1
    """Cycles from a transfer at `i` to the first cycle in which the word is at `o`."""

    def __init__(self, *, shape: ShapeLike) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})


class PipeStage(_Stage):
    """One register between two streams; the cheapest way to cut the forward path.

    Operation: takes a word when it is empty or when its word leaves in the same cycle.

    Timing: latency 1; one word per cycle. Combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    shape : shape of the payload.

    Members
    -------
    i : In(stream.Signature(shape)), words to delay.
    o : Out(stream.Signature(shape)), the same words.
    """

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            # Idle cycles leave the payload as it is, so that nothing behind it toggles.
            with m.If(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        return m


class SkidBuffer(_Stage):
    """Two registers between two streams that cut every path and keep full throughput.

    Operation: words go through the output register. When the sink stalls, the word that the source
    sends in that cycle (it cannot know yet) skids into the spare register, and `i.ready` falls.

    Timing: latency 1; one word per cycle. No combinational path.

    Parameters
    ----------
    shape : shape of the payload.

    Members
    -------
    i : In(stream.Signature(shape)), words to delay.
    o : Out(stream.Signature(shape)), the same words.
    """

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spare = Signal(self.shape)
        spare_valid = Signal()
        # The opposite, in a register of its own: the other one has to choose every bit's source.
        ready = Signal(init=1)
        o_free = Signal()
        m.d.comb += [
            self.i.ready.eq(ready),
            o_free.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(o_free):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | spare_valid),
                spare_valid.eq(0),
                ready.eq(1),
            ]
            with m.If(spare_valid):
                m.d.sync += self.o.payload.eq(spare)
            with m.Elif(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid):
            m.d.sync += [spare_valid.eq(1), ready.eq(0)]
        # Whatever is there is copied, so that what enables the register waits for nobody.
        with m.If(~spare_valid):
            m.d.sync += spare.eq(self.i.payload)
        return m


class PingPongBuffer(_Stage):
    """Two registers between two streams that cut every path and keep full throughput.

    Operation: words go into the two registers in turn, and leave them in turn. So whether the sink
    stalls, which may be known late, decides of three flags only, while in a `SkidBuffer` it enables
    every bit of the payload. The price is a selection in front of `o.payload`.

    Timing: latency 1; one word per cycle. No combinational path.

    Parameters
    ----------
    shape : shape of the payload.

    Members
    -------
    i : In(stream.Signature(shape)), words to delay.
    o : Out(stream.Signature(shape)), the same words.
    """

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        words = [Signal(self.shape, name=f"word{place}") for place in range(2)]
        newest, oldest = Signal(), Signal()  # place of the next word to come, and to leave
        full, arrives, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            arrives.eq(self.i.valid & ~full),
            leaves.eq(self.o.valid & self.o.ready),
            Value.cast(self.o.payload).eq(Mux(oldest, *map(Value.cast, reversed(words)))),
        ]
        m.d.sync += [
            newest.eq(newest ^ arrives),
            oldest.eq(oldest ^ leaves),
            self.o.valid.eq(arrives | full | (self.o.valid & ~leaves)),
            full.eq(Mux(full, ~leaves, arrives & self.o.valid & ~leaves)),
        ]
        for place, word in enumerate(words):
            # Whatever is there is copied, so that what enables the register waits for nobody.
            with m.If((newest == place) & ~full):
                m.d.sync += word.eq(self.i.payload)
        return m


class StreamFifo(wiring.Component):
    """A queue of `depth` words between two streams.

    Operation: takes words while it holds fewer than `depth`; offers the oldest. Unlike a skid
    buffer it absorbs bursts; a full queue takes no word in the cycle in which one leaves.

    Timing: latency 1 without and 2 with `block`; throughput min(1, depth / (latency + 1)) words
    per cycle. No combinational path, except that without `block` the output payload is read from
    memory addressed by a register.

    Parameters
    ----------
    shape : shape of the payload.
    depth : number of words held at most, at least 1.
    block : use block RAM, whose read is registered, instead of lookup-table RAM or registers.
        Worth it above some 64 words.

    Members
    -------
    i : In(stream.Signature(shape)), words to queue.
    o : Out(stream.Signature(shape)), the same words.
    level : Out(range(depth + 1)), words held, the offered one included.

    Raises: ValueError when `depth` is less than 1.
    """

    def __init__(self, *, shape: ShapeLike, depth: int, block: bool = False) -> None:
        if depth < 1:
            raise ValueError(f"StreamFifo depth must be at least 1 word, not {depth!r}.")
        self.shape = shape
        self.depth = depth
        self.block = block
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a transfer at `i` to the first cycle in which the word is at `o`."""
        return 2 if self.block else 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = Shape.cast(self.shape).width  # payloads of any layout are stored as plain bits
        # At least two rows, since Verilog has no address of zero bits.
        m.submodules.mem = mem = memory.Memory(shape=width, depth=max(self.depth, 2), init=[])
        write = mem.write_port()
        push, pop = Signal(), Signal()
        # A depth that is a power of two is reached when the highest bit is set.
        whole = self.depth & (self.depth - 1) == 0
        m.d.comb += [
            self.i.ready.eq(~self.level[-1] if whole else self.level != self.depth),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            write.en.eq(push),
            write.addr.eq(self._pointer(m, push, name="w_addr")),
            write.data.eq(self.i.payload),
        ]
        with m.If(push != pop):
            m.d.sync += self.level.eq(Mux(push, self.level + 1, self.level - 1))
        if self.block:
            self._elaborate_registered_read(m, mem, pop)
        else:
            self._elaborate_direct_read(m, mem, pop)
        return m

    def _elaborate_direct_read(self, m: Module, mem: memory.Memory, pop: Signal) -> None:
        """The oldest word is offered from where it lies."""
        read = mem.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(self._pointer(m, pop, name="r_addr")),
            self.o.valid.eq(self.level != 0),
            Value.cast(self.o.payload).eq(read.data),
        ]

    def _elaborate_registered_read(self, m: Module, mem: memory.Memory, pop: Signal) -> None:
        """The memory's output register holds the oldest word, and is refilled when it leaves."""
        read = mem.read_port()
        n_behind = Signal(range(self.depth + 1))  # words that are not in the output register
        m.d.comb += [
            n_behind.eq(self.level - self.o.valid),
            read.en.eq((n_behind != 0) & (~self.o.valid | pop)),
            read.addr.eq(self._pointer(m, read.en, name="r_addr")),
            Value.cast(self.o.payload).eq(read.data),
        ]
        with m.If(read.en | pop):
            m.d.sync += self.o.valid.eq(read.en)

    def _pointer(self, m: Module, advance: Signal, *, name: str) -> Signal:
        """Address of a word, which goes to the next word with `advance`, from the last to 0."""
        pointer = Signal(range(max(self.depth, 2)), name=name)
        with m.If(advance):
            m.d.sync += pointer.eq(Mux(pointer == self.depth - 1, 0, pointer + 1))
        return pointer

# SPDX-License-Identifier: Apache-2.0
"""Work for the reduction engine, and what must come of it."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Destination, Opcode, Source
from hw.arch.formats import Format
from hw.iface.pe import BankState
from sim.golden.address import Buffer, Nest, walk
from sim.golden.re import AccumulatorModel, min_max
from tb.unit.re.agents import (
    BUFFER_UNITS,
    FIRST_UNIT,
    IN_CB,
    OUT_CB,
    SHAPE,
    ReBench,
    Visit,
    link_row,
    random_rows,
)

__all__ = ["Plan", "random_drain"]

ROW_WORDS = SHAPE.slots
BANK_UNITS = SHAPE.rows * SHAPE.columns * 4 // 64


def random_drain(rng: random.Random, **fixed: int) -> dict[str, int]:
    """Fields of a DRAIN to local memory of some banks, each bank a step."""
    n_banks = rng.randint(1, SHAPE.banks)
    n_rows = rng.choice((1, 2, SHAPE.rows - 1, SHAPE.rows, SHAPE.rows))
    fields = {
        "count0": n_rows,
        "count1": n_banks,
        "bank": rng.randrange(SHAPE.banks),
        "bank_stride1": rng.choice((1, SHAPE.banks - 1)),
        "m_level": rng.choice((1, 2, 3)),
        "m_tail": rng.choice((0, 0, 1, n_rows)),
        "n_level": rng.choice((1, 2)),
        "n_tail": rng.choice((0, 1, SHAPE.columns - 1)),
        "stride0": ROW_WORDS,
        "cb": OUT_CB,
        "step_level": 1,
        "need": BANK_UNITS,
    }
    if rng.random() < 0.5:  # the pointer moves with every bank
        fields |= {"adv_level": 1, "adv": BANK_UNITS}
    else:  # the whole block is one advance
        fields |= {"adv_level": 2, "adv": BANK_UNITS * n_banks, "stride1": SHAPE.rows * ROW_WORDS}
    fields |= {"tag": rng.getrandbits(16), "signal_en": 1, "signal_counter": rng.randrange(32)}
    return fields | fixed


def _counts_at(fields: dict[str, int], bank_index: int) -> tuple[int, int]:
    """Rows, and columns that count, of a DRAIN's bank number `bank_index`."""
    last = {
        level: bank_index == fields["count1"] - 1 if level == 1 else True for level in (1, 2, 3)
    }
    n_rows, n_valid = fields["count0"], SHAPE.columns
    if fields.get("m_tail", 0) and last[fields["m_level"]]:
        n_rows = fields["m_tail"]
    if fields.get("n_tail", 0) and last[fields["n_level"]]:
        n_valid = fields["n_tail"]
    return n_rows, n_valid


@dataclass
class Plan:
    """Queues visits and commands at a bench, and what they must result in."""

    re: ReBench
    label: str
    model: AccumulatorModel = field(init=False)
    n_commands: int = 0
    pointer: int = FIRST_UNIT
    """Reserve pointer of the result buffer."""
    claim: int = FIRST_UNIT
    """Claim pointer of the preload buffer."""
    sent: dict[str, list[int]] = field(default_factory=dict)
    """Rows that must leave by each link."""
    n_labels: int = 0
    n_preloaded: int = 0

    def __post_init__(self) -> None:
        self.model = AccumulatorModel(banks=SHAPE.banks, rows=SHAPE.rows, columns=SHAPE.columns)

    def rows(self, n_rows: int, fmt: Format) -> NDArray[np.uint32]:
        """New random rows."""
        self.n_labels += 1
        return random_rows(f"{self.label} {self.n_labels}", n_rows, fmt)

    def visit(
        self,
        bank: int,
        n_rows: int,
        fmt: Format,
        *,
        first: bool,
        last: bool,
        preloaded: bool = False,
        done: bool = True,
    ) -> None:
        """One visit of a bank."""
        partial = self.rows(n_rows, fmt)
        overwrite = first and not preloaded
        needs = BankState.OPEN
        if first:
            needs = BankState.READY if preloaded else BankState.FREE
        for row in range(n_rows):
            self.model.accumulate(bank, row, partial[row], fmt, overwrite=overwrite)
        self.re.dpe.send(
            Visit(
                bank=bank,
                partial=partial,
                fmt=fmt,
                needs=needs,
                overwrite=overwrite,
                last=last,
                done=done,
            )
        )

    def preload(self, banks: list[int], fmt: Format, **fields: int) -> None:
        """PRELOAD of banks that lie one behind the other, each with a row of its own."""
        buffer = self._buffer(IN_CB, self.claim)
        units = -(-4 * SHAPE.columns // 64)
        fields = {
            "count0": 1,
            "count1": len(banks),
            "bank": banks[0],
            "bank_stride1": 1,
            "cb": IN_CB,
            "stride1": 64 * units // SHAPE.word_bytes,
            "step_level": 1,
            "adv_level": 2,
            "need": units,
            "adv": units * len(banks),
            "tag": self.n_commands,
        } | fields
        per_unit = 64 // SHAPE.word_bytes
        for bank, place in zip(banks, self._places(fields, buffer), strict=True):
            row = self.rows(1, fmt)[0]
            data = row.astype("<u4").tobytes()
            for number in range(ROW_WORDS):
                start = number * SHAPE.word_bytes
                at = (place - buffer.base * per_unit + number) % (buffer.depth * per_unit)
                word = data[start : start + SHAPE.word_bytes]
                self.re.reader.memory[buffer.base * per_unit + at] = word
            self.n_preloaded += units
            assert self.n_preloaded <= buffer.depth, "a row would be overwritten before it is read"
            self.model.preload(bank, row)
        self.claim = buffer.pointer
        self.re.command(Opcode.PRELOAD, **fields)
        self.n_commands += 1

    def drain(self, fmt: Format, fields: dict[str, int]) -> None:
        """DRAIN; what it needs from a neighbour is queued too."""
        source = fields.get("source", Source.NONE)
        destination = fields.get("destination", Destination.LS)
        buffer = self._buffer(OUT_CB, self.pointer)
        places = self._places(fields, buffer) if destination == Destination.LS else None
        for index in range(fields["count1"]):
            bank = (fields["bank"] + index * fields.get("bank_stride1", 0)) % SHAPE.banks
            n_rows, n_valid = _counts_at(fields, index)
            incoming = None
            if source != Source.NONE:
                incoming = self.rows(n_rows, fmt)
                name = {Source.NORTH: "in_north", Source.WEST: "in_west"}[Source(source)]
                self.re.sources[name].send_all(link_row(row) for row in incoming)
            rows = self.model.drain(bank, n_rows, fmt, incoming)
            if fields.get("minmax"):
                rows = min_max(rows, fmt, n_valid)
            for row in rows:
                if places is not None:
                    self.re.expect_row(next(places), row)
                else:
                    name = {1: "out_south", 2: "out_east", 3: "to_se"}[destination]
                    self.sent.setdefault(name, []).append(link_row(row))
        if places is not None:
            assert next(places, None) is None
            self.pointer = buffer.pointer
        self.re.command(Opcode.DRAIN, **({"format": int(fmt)} | fields))
        self.n_commands += 1

    async def finish(self) -> None:
        """Wait for the end and compare everything."""
        await self.re.complete(self.n_commands)
        assert self.re.dpe.idle and self.re.idle, self.re.status()
        self.re.check_writes()
        for name, expected in self.sent.items():
            found = await self.re.sinks[name].receive(len(expected))
            assert found == expected, f"{name}: {len(found)} rows differ"
        self.sent = {}
        assert self.re.trap()["valid"] == 0, self.re.trap()

    def _buffer(self, cb: int, pointer: int) -> Buffer:
        """A buffer as the model of addresses knows it."""
        return Buffer(base=self.re.buffers[cb].base, depth=BUFFER_UNITS, pointer=pointer)

    @staticmethod
    def _places(fields: dict[str, int], buffer: Buffer) -> Any:
        """Word addresses of a command's items, in order; moves the buffer's pointer."""
        nest = Nest(
            counts=tuple(fields.get(f"count{level}", 1) for level in range(5)),
            strides=tuple(fields.get(f"stride{level}", 0) for level in range(5)),
            offset=fields.get("offset", 0),
            cb=fields["cb"],
            step_level=fields["step_level"],
            adv_level=fields["adv_level"],
            need=fields["need"],
            adv=fields["adv"],
            tail_level=fields.get("m_level", 0),
            tail_count=fields.get("m_tail", 0),
        )
        for step in walk(nest, buffer, SHAPE.word_bytes):
            for address in step.addresses:
                yield address.address

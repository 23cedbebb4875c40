# SPDX-License-Identifier: Apache-2.0
"""Local memory as a unit sees it in its bench: word-wide slots that answer in time."""

from collections.abc import Callable, Sequence

from hw.iface.pe import LsReadPort, LsWritePort
from tb.common.payload import pack
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import Bench, Pauses

__all__ = ["LocalMemorySlots"]


class LocalMemorySlots:
    """Local memory behind the read and write slots; `wrong` holds bytes with wrong parity.

    Answers come `latency` cycles after their request: 2, or the bench parameter `ls_latency`.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        word_bytes: int,
        size: int,
        reads: Sequence[str],
        writes: Sequence[str],
        pauses: Callable[[], Pauses],
    ) -> None:
        self.latency = int(bench_parameters().get("ls_latency", 2))
        self.data = bytearray(python_rng("local memory").randbytes(size))
        self.wrong: set[int] = set()
        self.n_writes = 0
        self.word_bytes = word_bytes
        sizes = {
            "address_width": (size // word_bytes - 1).bit_length(),
            "word_bytes": word_bytes,
        }
        self._response = LsReadPort(**sizes).members["response"].signature.members["payload"].shape
        write = LsWritePort(**sizes).members["request"].signature.members["payload"].shape
        self.writes = [bench.sink(f"{name}__request", write, pauses()) for name in writes]
        self.reads = [bench.sink(f"{name}__request", None, pauses()) for name in reads]
        self._pins = [
            (bench.port(f"{name}__response__valid"), bench.port(f"{name}__response__payload"))
            for name in reads
        ]
        self._in_reset = bench.port("rst")
        self.reset()
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Do what the last edge granted: reads see the writes of earlier cycles."""
        if self._in_reset.value:
            self.reset()
            return
        for slot, sink in enumerate(self.reads):
            for word in sink.items[self._n_reads[slot] :]:
                self._answers[slot].append((cycle + self.latency, self._read(word)))
            self._n_reads[slot] = len(sink.items)
        for slot, sink in enumerate(self.writes):
            for item in sink.items[self._n_writes[slot] :]:
                self._write(item)
            self._n_writes[slot] = len(sink.items)
        self._now = cycle + 1

    def drive(self) -> None:
        """Answers come exactly `latency` cycles after their request."""
        for answers, (valid, payload) in zip(self._answers, self._pins, strict=True):
            due = bool(answers) and answers[0][0] == self._now
            valid.value = int(due)
            if due:
                payload.value = pack(self._response, answers.pop(0)[1])

    def reset(self) -> None:
        """Forget the answers under way."""
        self._answers: list[list] = [[] for _ in self.reads]
        self._n_reads = [len(sink.items) for sink in self.reads]
        self._n_writes = [len(sink.items) for sink in self.writes]
        self._now = 0
        for valid, _ in self._pins:
            valid.value = 0

    @property
    def n_requests(self) -> int:
        """Words asked for or written so far."""
        return sum(len(sink.items) for sink in (*self.reads, *self.writes))

    def _read(self, word: int) -> dict[str, int]:
        at = word * self.word_bytes
        lanes = range(self.word_bytes)
        return {
            "data": int.from_bytes(self.data[at : at + self.word_bytes], "little"),
            "error": sum((at + lane in self.wrong) << lane for lane in lanes),
        }

    def _write(self, item: dict[str, int]) -> None:
        assert item["strobe"], "a word is written without a byte"
        at = item["address"] * self.word_bytes
        new = item["data"].to_bytes(self.word_bytes, "little")
        for lane in range(self.word_bytes):
            if item["strobe"] >> lane & 1:
                self.data[at + lane] = new[lane]
        self.n_writes += 1

# SPDX-License-Identifier: Apache-2.0
"""The assembler and disassembler: they agree with the encoding, and say where a mistake is."""

from pathlib import Path

import pytest

from hw.arch.codes import FIELD_CODES
from hw.arch.commands import COMMANDS, Function, Opcode, Reduce, SimdSource, Source, encode
from hw.arch.formats import Format
from sw.asm import AssemblyError, assemble, disassemble
from sw.cli.app import main
from tb.common.seeds import python_rng


@pytest.mark.parametrize("opcode", COMMANDS, ids=lambda opcode: opcode.name.lower())
def test_round_trip(opcode: Opcode) -> None:
    """Any field values survive disassembly and assembly, extremes and random ones."""
    rng = python_rng(f"asm {opcode}")
    fields = COMMANDS[opcode].fields[1:]
    choices = [{f.name: f.low for f in fields}, {f.name: f.high for f in fields}, {}]
    choices += [
        {f.name: rng.randint(f.low, f.high) for f in fields if rng.random() < share}
        for share in (0.1, 0.5, 1.0)
        for _ in range(30)
    ]
    data = b"".join(encode(opcode, **values) for values in choices)
    text = disassemble(data)
    assert assemble(text) == data
    assert len(text.splitlines()) == len(choices)
    assert disassemble(assemble(text)) == text


def test_codes_have_their_own_names() -> None:
    """The same word of two commands means two things, and a name beyond the codes is refused."""
    text = "simd source=re\ndrain source=west\nse_program function=gelu reduce=sum_squares out=both"
    assert assemble(text) == b"".join(
        [
            encode(Opcode.SIMD, source=SimdSource.RE),
            encode(Opcode.DRAIN, source=Source.WEST),
            encode(Opcode.SE_PROGRAM, function=Function.GELU, reduce=Reduce.SUM_SQUARES, out=2),
        ]
    )
    assert disassemble(assemble(text)).splitlines() == text.splitlines()
    with pytest.raises(AssemblyError, match="'north' is no value of simd.source"):
        assemble("simd source=north")
    for opcode, fields in FIELD_CODES.items():
        for name, codes in fields.items():
            assert max(codes) <= COMMANDS[opcode].field(name).high, name


def test_text_form() -> None:
    """Names, flags, signals, number bases, comments and empty lines mean what the module says."""
    text = """
    # a comment alone
    cb cb=1 base=0x40 depth=16
    mml a_cb=1 a_stride0=-32 a_format=int8 b_format=bf16 b_adv_level=never init done signal=3 # end
    dma_in mem_addr=0x10_0000_0000 column tag=0b101 signal=4@1,15

    fence units=dpe|re
    drain destination=south source=west format=fp32
    end
    """
    assert assemble(text) == b"".join(
        [
            encode(Opcode.CB, cb=1, base=64, depth=16),
            encode(
                Opcode.MML,
                a_cb=1,
                a_stride0=-32,
                a_format=Format.INT8,
                b_format=Format.BF16,
                init=1,
                done=1,
                signal_en=1,
                signal_counter=3,
            ),
            encode(
                Opcode.DMA_IN,
                mem_addr=1 << 36,
                column=1,
                tag=5,
                signal_en=1,
                signal_counter=4,
                signal_row=1,
                signal_col=15,
            ),
            encode(Opcode.FENCE, units=0x30),
            encode(Opcode.DRAIN, destination=1, source=2, format=5),
            encode(Opcode.END),
        ]
    )


def test_disassembly_leaves_defaults_out() -> None:
    """A command that says little is a short line."""
    data = (
        encode(Opcode.NOP)
        + encode(Opcode.FENCE, units=0x90)
        + encode(Opcode.WAIT, counter=2, value=70000)
        + encode(Opcode.SIGNAL, signal_counter=3)
    )
    assert disassemble(data) == (
        "nop\nfence units=dpe|0x80\nwait counter=2 value=0x11170\nsignal signal_counter=3\n"
    )
    assert disassemble(b"") == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nop\n  mlm a_cb=1", "line 2, column 3: there is no command 'mlm'; did you mean 'mml'?"),
        (
            "mml a_strid0=3",
            "line 1, column 5: mml has no field 'a_strid0'; did you mean 'a_stride0'?",
        ),
        ("nop opcode=3", "line 1, column 5: nop has no field 'opcode'."),
        ("mml a_cb=", "line 1, column 10: '' is no value of mml.a_cb."),
        ("mml a_cb", "line 1, column 5: 'a_cb' needs a value, as in a_cb=1."),
        ("mml a_cb=256", "line 1, column 10: mml.a_cb is 256; it must be from 0 to 255."),
        (
            "mml a_stride0=-32769",
            "line 1, column 15: mml.a_stride0 is -32769; it must be from -32768 to 32767.",
        ),
        (
            "mml a_format=int9",
            "line 1, column 14: 'int9' is no value of mml.a_format; did you mean 'int8'?",
        ),
        (
            "fence units=dpe|ree",
            "line 1, column 13: 'ree' is no value of fence.units; did you mean 're'?",
        ),
        ("end status=1 status=2", "line 1, column 14: 'status' is given twice."),
        ("nop signal=1 signal_en", "line 1, column 14: 'signal_en' is given twice."),
        (
            "nop signal=1@2",
            "line 1, column 12: '1@2' is no signal; write signal=3 or signal=3@1,15.",
        ),
        ("nop signal=1@2,16", "line 1, column 16: nop.signal_col is 16; it must be from 0 to 15."),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, sentence: str) -> None:
    """One sentence with line and column, and what was probably meant."""
    with pytest.raises(AssemblyError) as error:
        assemble(text)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            encode(Opcode.NOP) + b"\x3f" + bytes(15),
            "byte 16: 0x3f is not an opcode of this command set.",
        ),
        (encode(Opcode.MML)[:48], "byte 0: mml takes 64 bytes; only 48 are left."),
        (bytes(15) + b"\x80", "byte 0: nop has reserved bits set (bit 127)."),
    ],
)
def test_bytes_that_are_no_commands_are_refused(data: bytes, sentence: str) -> None:
    """One sentence with the byte offset."""
    with pytest.raises(AssemblyError) as error:
        disassemble(data)
    assert str(error.value) == sentence


def test_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`mtia asm` and `mtia disasm` undo each other, and tell mistakes in one sentence."""
    source, binary = tmp_path / "list.txt", tmp_path / "list.bin"
    source.write_text("nop tag=7\nend status=3\n")
    assert main(["asm", str(source), "-o", str(binary)]) == 0
    assert main(["disasm", str(binary)]) == 0
    assert capsys.readouterr().out == source.read_text()
    assert main(["disasm", str(binary), "-o", str(tmp_path / "again.txt")]) == 0
    assert (tmp_path / "again.txt").read_text() == source.read_text()
    before = binary.read_bytes()
    for content, sentence in (
        (b"nop\nnoop", "line 2, column 1: there is no command 'noop'; did you mean 'nop'?"),
        (b"nop\n\xff", "byte 4 is no UTF-8 text."),
    ):
        source.write_bytes(content)
        assert main(["asm", str(source), "-o", str(binary)]) == 1
        assert capsys.readouterr().err == f"mtia: {source}: {sentence}\n"
    assert binary.read_bytes() == before
    binary.write_bytes(b"\x42")
    assert main(["disasm", str(binary)]) == 1
    assert capsys.readouterr().err == (
        f"mtia: {binary}: byte 0: mml takes 64 bytes; only 1 are left.\n"
    )
    assert main(["disasm", str(tmp_path / "none")]) == 1

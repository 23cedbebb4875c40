// SPDX-License-Identifier: Apache-2.0
// What the native units share with Python: plain structures of 64-bit integers and pointers.
// `sim/functional/state.py` declares the same ones; keep the order.
#pragma once

#include <cstdint>
#include <cstring>

namespace functional {

using i64 = std::int64_t;
using u8 = std::uint8_t;
using u32 = std::uint32_t;

constexpr int kLevels = 5;
constexpr i64 kNever = 7;
constexpr i64 kUnitBytes = 64;
constexpr i64 kNotGrantable = 0xFFFF;

// What a call gives back.
enum Outcome : i64 { kDone, kBlocked, kFault };

// Why a command waits.
enum Wait : i64 {
    kNothing, kCbData, kCbRoom, kBankFree, kBankReady, kBankFull, kRowsData, kRowsRoom
};

// Faults: the hardware's trap causes, then rules that the hardware does not check.
enum Fault : i64 {
    kCbUninitialised = 3,
    kCbTooSmall = 4,
    kCbUnderflow = 5,
    kCbShared = 6,
    kMemoryError = 9,
    kMemoryRange = 17,
    kUnwrittenLs = 100,
    kUnwrittenMemory = 101,
    kOutsideStep = 102,
    kSecondProducer = 103,
    kOverlap = 104,
    kUnwrittenRow = 105,
};

enum BankState : i64 { kFree, kReady, kOpen, kFull };

// A circular buffer; pointers count 64-byte units since set-up and never wrap.
struct Buffer {
    i64 valid, base, depth, shared;
    i64 reserve, commit, claim, release;
    i64 producer, consumer;  // unit, -1: nobody yet
    i64 overlaps;            // whether another buffer lies in the same bytes
};

// A memory; `known` has a 1 for each byte that was written.
struct Region {
    u8* data;
    u8* known;
    i64 base, size;
};

// What is wrong, for Python to put in words.
struct Report {
    i64 fault, cb, address, info, relative, window;
};

struct Counters {
    i64 read_bytes, read_lines, write_bytes, write_lines, rows, held_blocks;
};

struct Machine {
    u8* ls;
    u8* ls_known;
    Region regions[3];
    u32* banks;
    u8* row_known;
    i64* bank_states;
    Buffer* buffers;
    void* scratch;
    const void* rom;
    i64 n_buffers, n_banks, tile_rows, columns, word, link, police, lanes;
    i64 ranges[4][3];  // first byte, byte after the last, access (1 read, 2 write)
    i64 steps;
    Counters counters;
    Report report;
};

// One operand: offset and strides in bytes; then the granted step.
struct Operand {
    i64 cb, producer, offset, strides[kLevels];
    i64 step_level, adv_level, need, adv, tail_adv;
    i64 active, pointer, window, advance;
};

// Fields of an SE_PROGRAM, immediates as bits.
struct Program {
    i64 a_format, b_format, out_format, b_mode, b_pair, pre, relu, factor, addend, function;
    i64 reduce, post, out, clamp, stochastic, stat_function;
    i64 imm_b, imm_c, imm_factor, imm_addend, clamp_low, clamp_high, stat_factor, stat_addend;
    i64 seed, tensor, index_base, index_pitch;
};

struct Command {
    i64 opcode, unit;
    i64 counts[kLevels], tail_level, tail_inner, tail_count;
    Operand a, b;
    i64 mem_addr, mem_strides[kLevels], zero_fill;
    i64 bank, bank_strides[kLevels];
    i64 held_level, k_level, n_level, k_tail, n_tail;
    i64 a_format, b_format, by_row, init, done, minmax, format, destination;
    Operand out;
    Program program;
    i64 source, accumulate;
    // Where it is.
    i64 index[kLevels];
    i64 is_held, is_open, has_row, rows_done;
    i64 wait, waits_for;
};

inline Outcome fail(Machine& m, i64 fault, i64 cb, i64 address, i64 info) {
    m.report = {fault, cb, address, info, 0, 0};
    return kFault;
}

}  // namespace functional

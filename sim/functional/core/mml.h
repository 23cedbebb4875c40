// SPDX-License-Identifier: Apache-2.0
// MML: holds blocks of B, streams rows of A past them into accumulator banks.
#pragma once

#include "scratch.h"
#include "walk.h"

namespace functional {

inline bool is_float(i64 format) { return format >= kFp16; }

inline i64 bank_of(const Machine& m, const Command& c) {
    i64 bank = c.bank;
    for (int level = 1; level < kLevels; ++level) bank += c.index[level] * c.bank_strides[level];
    return bank % m.n_banks;
}

inline bool is_first_k(const Command& c) { return !c.k_level || !c.index[c.k_level]; }

inline bool is_last_k(const Command& c) {
    return !c.k_level || c.index[c.k_level] == c.counts[c.k_level] - 1;
}

// Bytes of K that count in this visit; half a 16-bit element does not, and none left means all.
inline i64 k_bytes(const Machine& m, const Command& c) {
    const i64 tail = is_float(c.a_format) ? c.k_tail & ~i64{1} : c.k_tail;
    return tail && is_last_k(c) ? tail : m.word;
}

inline i64 n_columns(const Machine& m, const Command& c) {
    const bool tail = c.n_tail && c.index[c.n_level] == c.counts[c.n_level] - 1;
    return tail ? c.n_tail : m.columns;
}

// Decodes `n` elements of one k (a beat by columns) into the held block.
inline void put_columns(Held& held, const Command& c, i64 k, i64 first, const u8* data, i64 n) {
    if (!is_float(c.b_format)) {
        float* to = &held.integers[k][first];
        if (c.b_format == kInt8)
            for (i64 i = 0; i < n; ++i) to[i] = static_cast<std::int8_t>(data[i]);
        else
            for (i64 i = 0; i < n; ++i) to[i] = data[i];
        return;
    }
    held.special |= decode(data, static_cast<int>(n), c.b_format == kBf16, &held.values[k][first],
                           &held.exponents[k][first]);
    std::memcpy(&held.patterns[k][first], data, static_cast<std::size_t>(2 * n));
}

// Decodes the vector of one column (a beat by row).
inline void put_vector(Held& held, const Command& c, i64 column, const u8* data, i64 n) {
    const i64 size = is_float(c.b_format) ? 2 : 1;
    for (i64 k = 0; k < n; ++k) put_columns(held, c, k, column, data + k * size, 1);
}

// Zeros: what lies beyond the tails.
inline void clear(Held& held, bool floats, i64 depth) {
    held.special = false;
    for (i64 k = 0; k < depth; ++k) {
        if (!floats) {
            std::memset(held.integers[k], 0, sizeof held.integers[k]);
            continue;
        }
        std::memset(held.values[k], 0, sizeof held.values[k]);
        std::memset(held.patterns[k], 0, sizeof held.patterns[k]);
        std::fill(held.exponents[k], held.exponents[k] + kMaxColumns, kZeroExponent);
    }
}

// Load the held block of the current index: only the bytes inside the tails are looked at.
inline Outcome load_held(Machine& m, Command& c) {
    Held& held = scratch(m).held;
    const i64 size = is_float(c.b_format) ? 2 : 1;
    const i64 per_word = m.word / size, depth = k_bytes(m, c) / size, valid = n_columns(m, c);
    const i64 start = relative(c, c.b, static_cast<int>(c.held_level));
    held.special = false;
    if (valid < m.columns) clear(held, is_float(c.b_format), depth);
    ++m.counters.held_blocks;
    for (i64 beat = 0; beat < m.columns; ++beat) {
        // By row a beat is a column's vector; else beat `k` of a group holds one k of its columns.
        const i64 k = beat % per_word, n = c.by_row ? beat : beat / per_word * per_word;
        const i64 used = c.by_row ? (n < valid ? depth : 0)
                                  : (k < depth ? std::clamp<i64>(valid - n, 0, per_word) : 0);
        if (!used) continue;
        const u8* data = ls_read(m, c.b, start + beat * c.b.strides[0], used * size);
        if (!data) return kFault;
        c.by_row ? put_vector(held, c, n, data, used) : put_columns(held, c, k, n, data, used);
    }
    return kDone;
}

// Whether the next index of levels `held_level` and up lies in another step of B.
inline bool held_step_ends(const Command& c) {
    for (i64 level = c.held_level; level < c.b.step_level && level < kLevels; ++level)
        if (c.index[level] != c.counts[level] - 1) return false;
    return true;
}

inline Outcome hold(Machine& m, Command& c) {
    if (c.is_held) return kDone;
    if (const Outcome entered = enter(m, c, c.b); entered != kDone) return entered;
    if (const Outcome loaded = load_held(m, c); loaded != kDone) return loaded;
    c.is_held = 1;
    return held_step_ends(c) ? leave(m, c.b) : kDone;
}

// Open the visit's bank on its first visit.
inline Outcome open_bank(Machine& m, Command& c) {
    if (c.is_open || !is_first_k(c)) return kDone;
    const i64 bank = bank_of(m, c);
    if (m.bank_states[bank] != (c.init ? kFree : kReady)) {
        c.wait = c.init ? kBankFree : kBankReady;
        c.waits_for = bank;
        return kBlocked;
    }
    m.bank_states[bank] = kOpen;
    c.is_open = 1;
    ++m.steps;
    return kDone;
}

inline const u8* streamed_row(Machine& m, const Command& c, i64 start, i64 row, i64 n) {
    return ls_read(m, c.a, start + row * c.a.strides[0], n);
}

template <int N>
Outcome visit_integers(Machine& m, Command& c, i64 rows, u32* acc, bool overwrite) {
    alignas(64) static thread_local float a[kMaxColumns + 4][kMaxBytes];
    const Held& held = scratch(m).held;
    const i64 depth = k_bytes(m, c), start = relative(c, c.a, 1);
    for (i64 r = 0; r < rows; ++r) {
        const u8* data = streamed_row(m, c, start, r, depth);
        if (!data) return kFault;
        if (c.a_format == kInt8)
            for (i64 k = 0; k < depth; ++k) a[r][k] = static_cast<std::int8_t>(data[k]);
        else
            for (i64 k = 0; k < depth; ++k) a[r][k] = data[k];
    }
    integer_rows<N>(held, a, static_cast<int>(rows), static_cast<int>(depth), acc, m.columns,
                    overwrite);
    return kDone;
}

template <int N>
Outcome visit_floats(Machine& m, Command& c, i64 rows, u32* acc, bool overwrite) {
    const Held& held = scratch(m).held;
    const i64 depth = k_bytes(m, c) / 2, start = relative(c, c.a, 1);
    for (i64 r = 0; r < rows; ++r) {
        const u8* data = streamed_row(m, c, start, r, depth * 2);
        if (!data) return kFault;
        alignas(64) double values[kMaxChunk];
        alignas(64) std::int16_t exponents[kMaxChunk];
        alignas(64) float partial[N];
        const int n = static_cast<int>(depth);
        const bool special = decode(data, n, c.a_format == kBf16, values, exponents);
        float_row<N>(held, values, exponents, n, partial);
        if (special || held.special)
            special_row(held, data, c.a_format == kBf16, n, N, partial);
        accumulate_row<N>(partial, acc + r * m.columns, overwrite);
    }
    return kDone;
}

inline Outcome check_rows(Machine& m, i64 bank, i64 rows) {
    if (m.police && !all_known(m.row_known + bank * m.tile_rows, rows)) {
        i64 row = 0;
        while (m.row_known[bank * m.tile_rows + row]) ++row;
        return fail(m, kUnwrittenRow, -1, row, bank);
    }
    return kDone;
}

inline Outcome visit(Machine& m, Command& c) {
    const i64 rows = count_at(c, 0), bank = bank_of(m, c);
    const bool overwrite = c.init && is_first_k(c);
    if (overwrite)
        std::memset(m.row_known + bank * m.tile_rows, 1, static_cast<std::size_t>(rows));
    else if (const Outcome known = check_rows(m, bank, rows); known != kDone)
        return known;
    u32* acc = m.banks + bank * m.tile_rows * m.columns;
    m.counters.rows += rows;
    const bool floats = is_float(c.a_format);
    switch (m.columns) {
        case 8: return (floats ? visit_floats<8> : visit_integers<8>)(m, c, rows, acc, overwrite);
        case 16:
            return (floats ? visit_floats<16> : visit_integers<16>)(m, c, rows, acc, overwrite);
        case 32:
            return (floats ? visit_floats<32> : visit_integers<32>)(m, c, rows, acc, overwrite);
        default:
            return (floats ? visit_floats<64> : visit_integers<64>)(m, c, rows, acc, overwrite);
    }
}

inline Outcome mml(Machine& m, Command& c) {
    for (;;) {
        for (const auto step : {hold, open_bank})
            if (const Outcome ready = step(m, c); ready != kDone) return ready;
        if (const Outcome entered = enter(m, c, c.a); entered != kDone) return entered;
        if (const Outcome visited = visit(m, c); visited != kDone) return visited;
        if (is_last_k(c)) m.bank_states[bank_of(m, c)] = c.done ? kFull : kReady;
        c.is_open = 0;
        int highest;
        const bool more = next_index(c, highest);
        if (highest >= c.held_level) c.is_held = 0;
        if (highest >= c.a.step_level)
            if (const Outcome left = leave(m, c.a); left != kDone) return left;
        if (!more) return kDone;
    }
}

}  // namespace functional

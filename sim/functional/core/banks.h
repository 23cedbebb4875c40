// SPDX-License-Identifier: Apache-2.0
// DRAIN to local memory and PRELOAD.
#pragma once

#include "mml.h"

namespace functional {

// Order of FP32 patterns as numbers, -0 before +0.
inline std::int64_t order(u32 bits) {
    const std::int64_t magnitude = bits & 0x7FFFFFFF;
    return bits >> 31 ? -1 - magnitude : magnitude;
}

// Minimum and maximum of a row, as sim/golden/re.py.
inline void min_max(const u32* row, i64 n, bool floats, u32* pair) {
    pair[0] = pair[1] = row[0];
    bool nan = false;
    for (i64 i = 0; i < n; ++i) {
        nan |= floats && (row[i] & 0x7FFFFFFF) > 0x7F800000;
        const auto key = [&](u32 bits) -> std::int64_t {
            return floats ? order(bits) : static_cast<std::int32_t>(bits);
        };
        if (key(row[i]) < key(pair[0])) pair[0] = row[i];
        if (key(row[i]) > key(pair[1])) pair[1] = row[i];
    }
    if (nan) pair[0] = pair[1] = kCanonicalNan;
}

inline Outcome wait_bank(Machine& m, Command& c, i64 bank, i64 state, i64 wait) {
    if (m.bank_states[bank] == state) return kDone;
    c.wait = wait;
    c.waits_for = bank;
    return kBlocked;
}

inline Outcome drain_row(Machine& m, Command& c, i64 row, const u32* values) {
    const i64 start = relative(c, c.a, 1) + row * c.a.strides[0];
    u32 pair[2];
    if (c.minmax) min_max(values, n_columns(m, c), c.format == kFp32, pair);
    const u8* data = reinterpret_cast<const u8*>(c.minmax ? pair : values);
    const i64 size = c.minmax ? 8 : 4 * m.columns;
    for (i64 at = 0; at < size; at += m.word)
        if (!ls_write(m, c.a, start + at, data + at, std::min(m.word, size - at))) return kFault;
    return kDone;
}

inline Outcome end_visit(Machine& m, Command& c, bool& more) {
    ++m.steps;
    int highest;
    more = next_index(c, highest);
    return c.a.active && highest >= c.a.step_level ? leave(m, c.a) : kDone;
}

// The rows of a full bank to the SIMD engine; the hardware has room for few, here are two banks.
inline Outcome send_rows(Machine& m, Command& c, i64 bank, i64 rows) {
    auto& queue = scratch(m).rows;
    if (!queue.empty() && static_cast<i64>(queue.size()) + rows > 2 * m.tile_rows) {
        c.wait = kRowsRoom;
        return kBlocked;
    }
    if (const Outcome known = check_rows(m, bank, rows); known != kDone) return known;
    for (i64 row = 0; row < rows; ++row) {
        const u32* values = m.banks + (bank * m.tile_rows + row) * m.columns;
        if (!c.minmax) {
            queue.emplace_back(values, values + m.columns);
            continue;
        }
        Row pair(2);
        min_max(values, n_columns(m, c), c.format == kFp32, pair.data());
        queue.push_back(std::move(pair));
    }
    return kDone;
}

inline Outcome store_rows(Machine& m, Command& c, i64 bank, i64 rows) {
    if (const Outcome known = check_rows(m, bank, rows); known != kDone) return known;
    for (i64 row = 0; row < rows; ++row) {
        const u32* values = m.banks + (bank * m.tile_rows + row) * m.columns;
        if (const Outcome sent = drain_row(m, c, row, values); sent != kDone) return sent;
    }
    return kDone;
}

constexpr i64 kToEngine = 3;

inline Outcome drain(Machine& m, Command& c) {
    const bool stores = c.destination != kToEngine;
    for (bool more = true; more;) {
        if (!stores)
            c.a.active = 0;
        else if (const Outcome entered = enter(m, c, c.a); entered != kDone) return entered;
        const i64 bank = bank_of(m, c), rows = count_at(c, 0);
        if (const Outcome full = wait_bank(m, c, bank, kFull, kBankFull); full != kDone)
            return full;
        const Outcome moved = (stores ? store_rows : send_rows)(m, c, bank, rows);
        if (moved != kDone) return moved;
        m.bank_states[bank] = kFree;
        std::memset(m.row_known + bank * m.tile_rows, 0, static_cast<std::size_t>(m.tile_rows));
        if (const Outcome ended = end_visit(m, c, more); ended != kDone) return ended;
    }
    return kDone;
}

inline Outcome preload(Machine& m, Command& c) {
    for (bool more = true; more;) {
        if (const Outcome entered = enter(m, c, c.a); entered != kDone) return entered;
        const i64 bank = bank_of(m, c), size = 4 * m.columns;
        if (const Outcome free = wait_bank(m, c, bank, kFree, kBankFree); free != kDone)
            return free;
        u32* rows = m.banks + bank * m.tile_rows * m.columns;
        const i64 start = relative(c, c.a, 0);
        for (i64 at = 0; at < size; at += m.word) {
            const i64 n = std::min(m.word, size - at);
            const u8* data = ls_read(m, c.a, start + at, n);
            if (!data) return kFault;
            std::memcpy(reinterpret_cast<u8*>(rows) + at, data, static_cast<std::size_t>(n));
        }
        for (i64 row = 1; row < m.tile_rows; ++row)
            std::memcpy(rows + row * m.columns, rows, static_cast<std::size_t>(size));
        std::memset(m.row_known + bank * m.tile_rows, 1, static_cast<std::size_t>(m.tile_rows));
        m.bank_states[bank] = kReady;
        if (const Outcome ended = end_visit(m, c, more); ended != kDone) return ended;
    }
    return kDone;
}

}  // namespace functional

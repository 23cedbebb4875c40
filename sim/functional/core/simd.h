// SPDX-License-Identifier: Apache-2.0
// SIMD: rows through a program; the native form of sim/golden/simd.py, row by row.
#pragma once

#include "lanes_row.h"
#include "walk.h"

namespace functional {

constexpr i64 kFromEngine = 1;

// Bytes of a row of an operand, checked, in `bytes`; false with a report if a rule is broken.
inline bool row_bytes(Machine& m, const Operand& o, i64 offset, i64 n, std::vector<u8>& bytes) {
    bytes.resize(static_cast<std::size_t>(n));
    for (i64 at = 0; at < n;) {
        const i64 size = std::min(n - at, until_wrap(m, o, offset + at));
        const u8* data = ls_read(m, o, offset + at, size);
        if (!data) return false;
        std::memcpy(bytes.data() + at, data, static_cast<std::size_t>(size));
        at += size;
    }
    return true;
}

// Elements of a format as FP32, and as they are.
inline bool row_values(Machine& m, const Operand& o, i64 offset, i64 format, i64 n,
                       std::vector<float>& values, std::vector<u32>* raw) {
    std::vector<u8>& bytes = scratch(m).bytes;
    const i64 size = format_bytes(format);
    if (!row_bytes(m, o, offset, n * size, bytes)) return false;
    unpack(bytes.data(), format, n, values, raw);
    return true;
}

inline Outcome take_a(Machine& m, Command& c) {
    Scratch& s = scratch(m);
    const i64 n = c.counts[0];
    if (c.source != kFromEngine) {
        if (const Outcome entered = enter(m, c, c.a); entered != kDone) return entered;
        if (c.has_row) return kDone;
        std::vector<u32>* raw = keeps_integers(c.program) ? &s.row : nullptr;
        if (!row_values(m, c.a, relative(c, c.a, 1), c.program.a_format, n, s.a, raw))
            return kFault;
    } else {
        if (c.has_row) return kDone;
        if (s.rows.empty()) {
            c.wait = kRowsData;
            return kBlocked;
        }
        s.row = std::move(s.rows.front());
        s.rows.pop_front();
        ++m.steps;
        s.a.resize(static_cast<std::size_t>(n));
        for (i64 i = 0; i < n; ++i) s.a[i] = to_float(s.row[i], c.program.a_format);
    }
    c.has_row = 1;
    return kDone;
}

// The held row is one for all rows of level 1.
inline Outcome enter_held(Machine& m, Command& c) {
    const i64 count = c.counts[1];
    c.counts[1] = 1;
    const Outcome entered = enter(m, c, c.b);
    c.counts[1] = count;
    return entered;
}

inline Outcome hold_row(Machine& m, Command& c) {
    if (c.is_held) return kDone;
    if (const Outcome entered = enter_held(m, c); entered != kDone) return entered;
    Scratch& s = scratch(m);
    const i64 start = relative(c, c.b, 2), n = c.counts[0];
    if (!row_values(m, c.b, start, c.program.b_format, n, s.held_b, &s.raw_held)) return kFault;
    if (c.program.b_pair &&
        !row_values(m, c.b, start + 4 * m.columns, kFp32, n, s.held_c, nullptr))
        return kFault;
    c.is_held = 1;
    return kDone;
}

// b and c of the row at work, as arrays of its length.
inline Outcome take_b(Machine& m, Command& c) {
    Scratch& s = scratch(m);
    const Program& p = c.program;
    const auto n = static_cast<std::size_t>(c.counts[0]);
    if (p.b_mode == kHeld)
        if (const Outcome held = hold_row(m, c); held != kDone) return held;
    if (p.b_mode == kElement || p.b_mode == kRow)
        if (const Outcome entered = enter(m, c, c.b); entered != kDone) return entered;
    if (!(p.b_mode != kNone && p.b_pair)) s.c.assign(n, number(static_cast<u32>(p.imm_c)));
    const i64 start = relative(c, c.b, 1);
    switch (p.b_mode) {
        case kElement:
            return row_values(m, c.b, start, p.b_format, c.counts[0], s.b, &s.raw_b) ? kDone
                                                                                      : kFault;
        case kRow: {
            if (!row_bytes(m, c.b, start, p.b_pair ? 8 : 4, s.bytes)) return kFault;
            float pair[2] = {};
            std::memcpy(pair, s.bytes.data(), s.bytes.size());
            s.b.assign(n, pair[0]);
            if (p.b_pair) s.c.assign(n, pair[1]);
            return kDone;
        }
        case kHeld:
            s.b = s.held_b;
            s.raw_b = s.raw_held;
            if (p.b_pair) s.c = s.held_c;
            return kDone;
        default: s.b.assign(n, number(static_cast<u32>(p.imm_b))); return kDone;
    }
}

inline bool is_last_sum(const Command& c) {
    return !c.accumulate || c.index[2] == c.counts[2] - 1;
}

// Add the row's products to those of earlier iterations of level 2; they end up in `a`.
inline void add_sums(Scratch& s, const Command& c) {
    if (!c.accumulate) return;
    const auto row = static_cast<std::size_t>(c.index[1]);
    if (s.sums.size() <= row) s.sums.resize(row + 1);
    std::vector<float>& sums = s.sums[row];
    if (c.index[2] == 0) {
        sums = s.a;
        return;
    }
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = s.a[i] + sums[i];
    s.a = sums;
}

// Sums have no level 2.
inline Outcome enter_out(Machine& m, Command& c) {
    const i64 iteration = c.index[2], count = c.counts[2];
    if (c.accumulate) c.index[2] = 0, c.counts[2] = 1;
    const Outcome entered = enter(m, c, c.out);
    c.index[2] = iteration, c.counts[2] = count;
    return entered;
}

inline bool write_bytes(Machine& m, const Operand& o, i64 offset, const u8* data, i64 n) {
    for (i64 at = 0; at < n;) {
        const i64 size = std::min(n - at, until_wrap(m, o, offset + at));
        if (!ls_write(m, o, offset + at, data + at, size)) return false;
        at += size;
    }
    return true;
}

inline Outcome write_row(Machine& m, Command& c) {
    Scratch& s = scratch(m);
    const i64 iteration = c.index[2];
    if (c.accumulate) c.index[2] = 0;
    i64 start = relative(c, c.out, 1);
    c.index[2] = iteration;
    const RowResult result = run_row(m, c);
    const Program& p = c.program;
    if (p.out != kStatistics) {
        const i64 n = c.counts[0] * format_bytes(p.out_format);
        if (!write_bytes(m, c.out, start, s.bytes.data(), n)) return kFault;
        start += (n + m.word - 1) / m.word * m.word;
    }
    if (p.out != kElements) {
        const u32 value = pattern_of(p.out == kBoth ? result.appended : result.statistic);
        if (!write_bytes(m, c.out, start, reinterpret_cast<const u8*>(&value), 4)) return kFault;
    }
    ++c.rows_done;
    return kDone;
}

// Report steps done that end with the row; `highest` is the highest level that moved.
inline Outcome end_row(Machine& m, Command& c, int highest, bool was_last) {
    c.has_row = 0;
    Outcome left = kDone;
    if (c.a.active && highest >= c.a.step_level) left = leave(m, c.a);
    const bool by_row = c.program.b_mode != kHeld;
    if (highest >= 2) c.is_held = 0;
    if (left == kDone && c.b.active && highest >= std::max<i64>(c.b.step_level, by_row ? 1 : 2))
        left = leave(m, c.b);
    if (left == kDone && was_last && c.out.active && highest >= c.out.step_level)
        left = leave(m, c.out);
    return left;
}

inline Outcome simd(Machine& m, Command& c) {
    for (bool more = true; more;) {
        for (const auto take : {take_a, take_b})
            if (const Outcome taken = take(m, c); taken != kDone) return taken;
        const bool last = is_last_sum(c);
        if (last)
            if (const Outcome entered = enter_out(m, c); entered != kDone) return entered;
        front(m, c);
        add_sums(scratch(m), c);
        if (last)
            if (const Outcome written = write_row(m, c); written != kDone) return written;
        int highest;
        more = next_index(c, highest);
        if (const Outcome ended = end_row(m, c, highest, last); ended != kDone) return ended;
    }
    return kDone;
}

}  // namespace functional

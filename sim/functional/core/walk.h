// SPDX-License-Identifier: Apache-2.0
// Loop nests and steps: the native form of sim/golden/address.py and sim/golden/cb.py.
#pragma once

#include <algorithm>

#include "state.h"

namespace functional {

inline bool in_tail(const Command& c) {
    return c.tail_level >= 1 && c.tail_level < kLevels &&
           c.index[c.tail_level] == c.counts[c.tail_level] - 1;
}

inline i64 count_at(const Command& c, int level) {
    const bool tail = c.tail_count && level == c.tail_inner && c.tail_level > level && in_tail(c);
    return tail ? std::min(c.tail_count, c.counts[level]) : c.counts[level];
}

// Next index of levels 1 and up; false after the last. `lowest` is the lowest level that ended.
inline bool next_index(Command& c, int& highest) {
    for (int level = 1; level < kLevels; ++level) {
        highest = level;
        if (c.index[level] + 1 < count_at(c, level)) {
            ++c.index[level];
            return true;
        }
        c.index[level] = 0;
    }
    highest = kLevels;
    return false;
}

inline i64 relative(const Command& c, const Operand& o, int lowest) {
    i64 sum = o.offset;
    for (int level = lowest; level < kLevels; ++level) sum += c.index[level] * o.strides[level];
    return sum;
}

inline bool ends_group(const Command& c, const Operand& o) {
    if (o.adv_level == kNever) return false;
    for (i64 level = o.step_level; level < o.adv_level && level < kLevels; ++level)
        if (c.index[level] != c.counts[level] - 1) return false;
    return true;
}

// Whether [first, first + n) and the ring part that starts at `start` share a byte of local memory.
inline bool rings_meet(const Buffer& a, i64 a_first, i64 a_n, const Buffer& b, i64 b_first,
                       i64 b_n) {
    for (i64 i = 0; i < a_n; ++i) {
        const i64 unit = a.base + (a_first + i) % a.depth - b.base;
        if (unit < 0 || unit >= b.depth) continue;
        if (((unit - b_first) % b.depth + b.depth) % b.depth < b_n) return true;
    }
    return false;
}

inline Outcome check_overlap(Machine& m, const Operand& o, i64 first, i64 n) {
    const Buffer& mine = m.buffers[o.cb];
    for (i64 other = 0; other < m.n_buffers; ++other) {
        const Buffer& b = m.buffers[other];
        if (!b.valid || other == o.cb || b.reserve == b.release) continue;
        if (rings_meet(mine, first, n, b, b.release, b.reserve - b.release))
            return fail(m, kOverlap, o.cb, (mine.base + first % mine.depth) * kUnitBytes, other);
    }
    return kDone;
}

inline Outcome check_user(Machine& m, const Command& c, const Operand& o) {
    const Buffer& b = m.buffers[o.cb];
    if (!b.valid) return fail(m, kCbUninitialised, o.cb, 0, o.cb);
    const i64 owner = o.producer ? b.producer : b.consumer;
    if (owner < 0 || owner == c.unit) return kDone;
    if (!b.shared) return fail(m, kCbShared, o.cb, 0, owner);
    if (o.producer && m.police) return fail(m, kSecondProducer, o.cb, 0, owner);
    return kDone;
}

// Make the step of the current index current; kBlocked while it must wait.
inline Outcome enter(Machine& m, Command& c, Operand& o) {
    if (o.active) return kDone;
    if (const Outcome user = check_user(m, c, o); user != kDone) return user;
    Buffer& b = m.buffers[o.cb];
    const bool tail = o.tail_adv && in_tail(c);
    const i64 start = relative(c, o, static_cast<int>(o.step_level));
    // Rounded up, for any sign.
    i64 extent = (start >> 6) + ((start & 63) != 0) + (tail ? o.tail_adv : o.need);
    if (start < 0 || extent > kNotGrantable) extent = kNotGrantable;
    const i64 advance = ends_group(c, o) ? (tail ? o.tail_adv : o.adv) : 0;
    const i64 wanted = std::max(extent, advance);
    if (wanted > b.depth) return fail(m, kCbTooSmall, o.cb, 0, wanted);
    const i64 there = o.producer ? b.release + b.depth - b.reserve : b.commit - b.claim;
    if (wanted > there) {
        c.wait = o.producer ? kCbRoom : kCbData;
        c.waits_for = o.cb;
        return kBlocked;
    }
    i64& mover = o.producer ? b.reserve : b.claim;
    (o.producer ? b.producer : b.consumer) = c.unit;
    if (m.police && o.producer && b.overlaps)
        if (check_overlap(m, o, mover, wanted) != kDone) return kFault;
    o.pointer = mover % b.depth * kUnitBytes;
    o.window = wanted * kUnitBytes;
    o.advance = advance;
    o.active = 1;
    mover += advance;
    ++m.steps;
    return kDone;
}

// The current step's data has moved.
inline Outcome leave(Machine& m, Operand& o) {
    Buffer& b = m.buffers[o.cb];
    (o.producer ? b.commit : b.release) += o.advance;
    o.active = 0;
    if (b.commit > b.reserve || b.release > b.claim) return fail(m, kCbUnderflow, o.cb, 0, o.cb);
    return kDone;
}

// Local-memory byte of an offset from the granted pointer.
inline i64 ls_address(const Machine& m, const Operand& o, i64 offset) {
    const Buffer& b = m.buffers[o.cb];
    const i64 size = b.depth * kUnitBytes;
    i64 place = o.pointer + offset;
    if (place < 0 || place >= size) place = (place % size + size) % size;
    return b.base * kUnitBytes + place;
}

// Bytes from an offset on until the buffer begins again.
inline i64 until_wrap(const Machine& m, const Operand& o, i64 offset) {
    const Buffer& b = m.buffers[o.cb];
    return (b.base + b.depth) * kUnitBytes - ls_address(m, o, offset);
}

inline bool all_known(const u8* known, i64 n) {
    return std::memchr(known, 0, static_cast<std::size_t>(n)) == nullptr;
}

inline Outcome outside(Machine& m, const Operand& o, i64 offset, i64 address) {
    fail(m, kOutsideStep, o.cb, address, o.producer);
    m.report.relative = offset;
    m.report.window = o.window;
    return kFault;
}

inline bool in_window(const Operand& o, i64 offset, i64 n) {
    return offset >= 0 && offset + n <= o.window;
}

// A consumer's `n` bytes at an offset; they do not wrap.
inline const u8* ls_read(Machine& m, const Operand& o, i64 offset, i64 n) {
    const i64 address = ls_address(m, o, offset);
    if (m.police) {
        if (!in_window(o, offset, n)) return outside(m, o, offset, address), nullptr;
        if (!all_known(m.ls_known + address, n)) {
            i64 first = address;
            while (m.ls_known[first]) ++first;
            fail(m, kUnwrittenLs, o.cb, first, 0);
            return nullptr;
        }
    }
    return m.ls + address;
}

// A producer's `n` bytes at an offset; zeros without data. False if a rule is broken.
inline bool ls_write(Machine& m, const Operand& o, i64 offset, const u8* data, i64 n) {
    const i64 address = ls_address(m, o, offset);
    if (m.police && !in_window(o, offset, n)) return outside(m, o, offset, address), false;
    if (data)
        std::memcpy(m.ls + address, data, static_cast<std::size_t>(n));
    else
        std::memset(m.ls + address, 0, static_cast<std::size_t>(n));
    std::memset(m.ls_known + address, 1, static_cast<std::size_t>(n));
    return true;
}

}  // namespace functional

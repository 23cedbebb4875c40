// SPDX-License-Identifier: Apache-2.0
// DMA_IN and DMA_OUT: the native form of sim/golden/dma.py.
#pragma once

#include "walk.h"

namespace functional {

constexpr i64 kAddressMask = (i64{1} << 40) - 1;

constexpr i64 kRead = 1, kWrite = 2;

inline bool in_a_range(const Machine& m, i64 address, i64 n, i64 access) {
    for (const auto& range : m.ranges)
        if (range[0] <= address && address + n <= range[1] && range[2] & access) return true;
    return false;
}

// Whether a job may touch the bytes; as in the hardware every line for itself.
inline bool may_reach(const Machine& m, i64 address, i64 n, i64 access) {
    if (in_a_range(m, address, n, access)) return true;
    for (i64 at = address; at < address + n;) {
        const i64 next = std::min(address + n, (at / m.link + 1) * m.link);
        if (!in_a_range(m, at, next - at, access)) return false;
        at = next;
    }
    return true;
}

// The memory that holds all of [address, address + n); null with a report if none does.
inline const Region* find_region(Machine& m, i64 address, i64 n, i64 access) {
    if (!may_reach(m, address, n, access)) return fail(m, kMemoryRange, -1, address, n), nullptr;
    for (const Region& r : m.regions)
        if (r.base <= address && address + n <= r.base + r.size) return &r;
    fail(m, kMemoryError, -1, address, n);
    return nullptr;
}

inline i64 memory_address(const Command& c) {
    i64 address = c.mem_addr;
    for (int level = 1; level < kLevels; ++level) address += c.index[level] * c.mem_strides[level];
    return address & kAddressMask;
}

inline i64 lines(const Machine& m, i64 address, i64 n) {
    return (address + n - 1) / m.link - address / m.link + 1;
}

// Calls piece(offset in local memory, offset in the run, bytes) for each word that a run touches.
template <typename Piece>
bool pieces(const Machine& m, const Command& c, i64 total, Piece piece) {
    const i64 start = relative(c, c.a, 1);
    i64 lane = ((start % m.word) + m.word) % m.word;
    i64 offset = start - lane;
    for (i64 at = 0; at < total; offset += c.a.strides[0], lane = 0) {
        const i64 n = std::min(total - at, m.word - lane);
        if (!piece(offset + lane, at, n)) return false;
        at += n;
    }
    return true;
}

inline Outcome run_in(Machine& m, Command& c) {
    const i64 n = count_at(c, 0);
    const i64 address = memory_address(c);
    const Region* region = find_region(m, address, n, kRead);
    if (!region) return kFault;
    const u8* source = region->data + (address - region->base);
    if (m.police && !all_known(region->known + (address - region->base), n)) {
        i64 first = address;
        while (region->known[first - region->base]) ++first;
        return fail(m, kUnwrittenMemory, -1, first, 0);
    }
    m.counters.read_bytes += n;
    m.counters.read_lines += lines(m, address, n);
    const bool fine = pieces(m, c, n, [&](i64 offset, i64 at, i64 size) {
        return ls_write(m, c.a, offset, source + at, size);
    });
    if (!fine) return kFault;
    if (!c.zero_fill) return kDone;
    const i64 start = relative(c, c.a, 1);
    const i64 end = ((start % m.word) + m.word) % m.word + n;
    const i64 rest = (m.word - end % m.word) % m.word;
    const i64 offset = start - ((start % m.word) + m.word) % m.word;
    const bool filled =
        !rest || ls_write(m, c.a, offset + end / m.word * c.a.strides[0] + end % m.word, nullptr,
                          rest);
    return filled ? kDone : kFault;
}

inline Outcome run_out(Machine& m, Command& c) {
    const i64 n = count_at(c, 0);
    const i64 address = memory_address(c);
    const Region* region = find_region(m, address, n, kWrite);
    if (!region) return kFault;
    u8* target = region->data + (address - region->base);
    m.counters.write_bytes += n;
    m.counters.write_lines += lines(m, address, n);
    std::memset(region->known + (address - region->base), 1, static_cast<std::size_t>(n));
    const bool fine = pieces(m, c, n, [&](i64 offset, i64 at, i64 size) {
        const u8* data = ls_read(m, c.a, offset, size);
        if (data) std::memcpy(target + at, data, static_cast<std::size_t>(size));
        return data != nullptr;
    });
    return fine ? kDone : kFault;
}

inline Outcome dma(Machine& m, Command& c, Outcome (*run)(Machine&, Command&)) {
    for (;;) {
        if (const Outcome entered = enter(m, c, c.a); entered != kDone) return entered;
        if (const Outcome ran = run(m, c); ran != kDone) return ran;
        int highest;
        const bool more = next_index(c, highest);
        // The step ends with the level below which everything belongs to it.
        if (highest >= c.a.step_level)
            if (const Outcome left = leave(m, c.a); left != kDone) return left;
        if (!more) return kDone;
    }
}

}  // namespace functional

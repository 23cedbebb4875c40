// SPDX-License-Identifier: Apache-2.0
// Records how much passes and waits at a grid's sides and on its reduction links, in windows of cycles.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "Vtop.h"
#include "chip_ports.h"
#include "harness.h"

// Verilator writes the second of two underscores as its code.
#define PIN(name, signal) top.name##___05F##signal

// A lane's value is the number of cycles of a window in which a flit passed, and of those in which one waited; it is recorded
// at the window's first cycle when it differs from that of the window before.
class LaneRecorder {
    static constexpr uint32_t kWindow = 64, kFirstTrack = 1 << 16, kWaits = 1 << 16;
    static constexpr uint32_t kSide = 256, kLinks = 4 * kSide, kLanes = 32, kRow = 2 * kLanes;
    static constexpr uint32_t kTracks = kLinks + N_ROWS * kRow;
    std::vector<uint32_t> m_now, m_last;
    uint64_t m_first = 0;
    uint32_t m_cycles = 0;  // of the window so far

public:
    void start() {
        m_now.assign(N_ROWS ? kTracks : 0, 0);
        m_last = m_now;
        m_cycles = 0;
    }

    void sample(const Vtop& top, uint64_t cycle, std::vector<SimRecord>& records) {
        if (!N_ROWS) return;
        if (!m_cycles) m_first = cycle;
#define SAMPLE_SIDE(name, side) count(side * kSide, PIN(name, moves), PIN(name, waits));
        SIDES(SAMPLE_SIDE)
#undef SAMPLE_SIDE
#define SAMPLE_ROW(name, row)                                                                      \
    count(kLinks + row * kRow, PIN(name, south_moves), PIN(name, south_waits));                    \
    count(kLinks + row * kRow + kLanes, PIN(name, east_moves), PIN(name, east_waits));
        ROWS(SAMPLE_ROW)
#undef SAMPLE_ROW
        (void)top;
        if (++m_cycles == kWindow) flush(records);
    }

    void flush(std::vector<SimRecord>& records) {
        for (uint32_t track = 0; track < m_now.size(); ++track) {
            if (m_now[track] != m_last[track]) records.push_back({m_first, m_now[track], kFirstTrack + track});
            m_last[track] = m_now[track];
            m_now[track] = 0;
        }
        m_cycles = 0;
    }

private:
    template <typename Pin>
    void count(uint32_t first, const Pin& moves, const Pin& waits) {
        add(first, moves, 1);
        add(first, waits, kWaits);
    }

    // Pins of up to 64 bits are integers, wider ones arrays of words.
    template <std::size_t N>
    void add(uint32_t first, const VlWide<N>& bits, uint32_t amount) {
        for (std::size_t word = 0; word < N; ++word) add(first + 32 * word, uint64_t{bits[word]}, amount);
    }

    void add(uint32_t first, uint64_t bits, uint32_t amount) {
        for (; bits; bits &= bits - 1) m_now[first + std::countr_zero(bits)] += amount;
    }
};
#undef PIN

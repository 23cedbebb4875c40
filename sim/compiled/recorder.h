// SPDX-License-Identifier: Apache-2.0
// Records what the elements' units and circular buffers do, as changes, and how much passes at sides and on links.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "Vtop.h"
#include "harness.h"
#include "lane_recorder.h"

// Verilator writes the second of two underscores as its code.
#define TRACE(name, signal) top.name##___05F##signal
#define TRACE_UNIT(name, index) TRACE(name, units___05F##index)

// `sample` looks at the settled outputs once a cycle. A unit's outputs are kept when they change, a buffer's when it says so.
class Recorder {
    static constexpr uint32_t kUnits = 7;
    static constexpr uint32_t kBuffers = 64;  // track of CB 0
    static constexpr uint32_t kTracks = 128;  // of an element
    std::vector<SimRecord> m_records;

public:
    bool on = false;

    void start() {
        for (auto& units : m_last) units.fill(0);  // IDLE: a unit at work is recorded in the first cycle
        m_lanes.start();
        on = true;
    }
    void stop() {
        if (on) m_lanes.flush(m_records);
        on = false;
    }

    void sample(const Vtop& top, uint64_t cycle) {
#define SAMPLE_ELEMENT(name, element)                                                                      \
    sample_units(cycle, element,                                                                            \
                 {TRACE_UNIT(name, 0), TRACE_UNIT(name, 1), TRACE_UNIT(name, 2), TRACE_UNIT(name, 3),       \
                  TRACE_UNIT(name, 4), TRACE_UNIT(name, 5), TRACE_UNIT(name, 6)});                          \
    if (TRACE(name, buffer___05Fvalid)) sample_buffer(cycle, element, TRACE(name, buffer___05Fpayload));
        ELEMENTS(SAMPLE_ELEMENT)
#undef SAMPLE_ELEMENT
        m_lanes.sample(top, cycle, m_records);
    }

    // Moves the oldest records out.
    uint64_t take(SimRecord* records, uint64_t room) {
        const uint64_t n = std::min<uint64_t>(room, m_records.size());
        std::copy_n(m_records.begin(), n, records);
        m_records.erase(m_records.begin(), m_records.begin() + n);
        return n;
    }
    uint64_t size() const { return m_records.size(); }

private:
    using Units = std::array<uint32_t, kUnits>;
    LaneRecorder m_lanes;
    Units m_last[N_ELEMENTS] = {};

    void sample_units(uint64_t cycle, uint32_t element, const Units& now) {
        if (now == m_last[element]) return;
        for (uint32_t unit = 0; unit < kUnits; ++unit)
            if (now[unit] != m_last[element][unit]) m_records.push_back({cycle, now[unit], element * kTracks + unit});
        m_last[element] = now;
    }
    void sample_buffer(uint64_t cycle, uint32_t element, uint32_t payload) {  // fill, depth, cb
        m_records.push_back({cycle, payload & 0x3ffffff, element * kTracks + kBuffers + (payload >> 26)});
    }
};
#undef TRACE_UNIT
#undef TRACE

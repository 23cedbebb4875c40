// SPDX-License-Identifier: Apache-2.0
// Records what the element's units and circular buffers do, as changes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "Vtop.h"
#include "harness.h"

// Verilator writes the second of two underscores as its code.
#define TRACE_UNIT(index) top.trace___05Funits___05F##index

// `sample` looks at the settled outputs once a cycle. A unit's outputs are kept when they change, a buffer's when it says so.
class Recorder {
    static constexpr uint32_t kUnits = 7;
    static constexpr uint32_t kBuffers = 64;  // track of CB 0
    std::vector<SimRecord> m_records;
    uint32_t m_last[kUnits] = {};

public:
    bool on = false;

    void start() {
        std::memset(m_last, 0, sizeof m_last);  // IDLE: a unit at work is recorded in the first cycle
        on = true;
    }

    void sample(const Vtop& top, uint64_t cycle) {
        const uint32_t now[kUnits] = {TRACE_UNIT(0), TRACE_UNIT(1), TRACE_UNIT(2), TRACE_UNIT(3),
                                      TRACE_UNIT(4), TRACE_UNIT(5), TRACE_UNIT(6)};
        if (std::memcmp(now, m_last, sizeof now)) {
            for (uint32_t unit = 0; unit < kUnits; ++unit)
                if (now[unit] != m_last[unit]) m_records.push_back({cycle, now[unit], unit});
            std::memcpy(m_last, now, sizeof now);
        }
        if (top.trace___05Fbuffer___05Fvalid) {
            const uint32_t payload = top.trace___05Fbuffer___05Fpayload;  // fill, depth, cb
            m_records.push_back({cycle, payload & 0x3ffffff, kBuffers + (payload >> 26)});
        }
    }

    // Moves the oldest records out.
    uint64_t take(SimRecord* records, uint64_t room) {
        const uint64_t n = std::min<uint64_t>(room, m_records.size());
        std::copy_n(m_records.begin(), n, records);
        m_records.erase(m_records.begin(), m_records.begin() + n);
        return n;
    }
    uint64_t size() const { return m_records.size(); }
};
#undef TRACE_UNIT

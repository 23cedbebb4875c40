// SPDX-License-Identifier: Apache-2.0
// Drives one DRAM channel with a list of bursts, as a bridge would, and checks what it reads.
#include "dram.h"

#include <cstring>
#include <map>

static uint8_t stored(uint64_t offset) { return offset * 0x9E3779B97F4A7C15ull >> 56; }

// `order[i]` is a burst's place in the order in which bursts end, `ends[i]` its cycle. Returns 0, or 1 for a wrong byte,
// 2 for an answer to nobody, 3 for no end.
extern "C" int dram_run(const uint32_t* timing, uint64_t n, const uint64_t* offsets, const uint8_t* is_write, unsigned beats,
                        unsigned depth, uint64_t* ends, uint64_t* order) {
    constexpr unsigned kBus = DramModel::kBus;
    DramModel model;
    DramTiming wanted;
    std::memcpy(static_cast<void*>(&wanted), timing, sizeof(wanted));
    if (!wanted.rate) wanted.rate = DRAM_RATE;
    model.set_timing(wanted);
    std::map<uint64_t, bool> changed;
    for (uint64_t i = 0; i < n; ++i) {
        for (unsigned at = 0; at < beats * kBus; ++at) {
            const uint8_t byte = stored(offsets[i] + at);
            model.memory.write(offsets[i] + at, &byte, 1);
        }
    }
    std::vector<int64_t> reads(depth, -1), writes(depth, -1);
    std::vector<unsigned> seen(depth);
    std::deque<uint64_t> data;  // bursts whose data is to be sent
    unsigned beat = 0;
    uint64_t next = 0, done = 0;
    auto free_id = [](const std::vector<int64_t>& ids) {
        for (size_t id = 0; id < ids.size(); ++id)
            if (ids[id] < 0) return int(id);
        return -1;
    };
    for (uint64_t cycle = 0; done < n; ++cycle) {
        if (cycle > 1000 * (n + 100)) return 3;
        model.drive(cycle);
        DramPins& pins = model.pins;
        const bool write = next < n && is_write[next];
        const int id = next < n ? free_id(write ? writes : reads) : -1;
        pins.arvalid = id >= 0 && !write;
        pins.awvalid = id >= 0 && write;
        pins.araddr = pins.awaddr = next < n ? offsets[next] : 0;
        pins.arlen = pins.awlen = beats - 1;
        pins.arid = pins.awid = id;
        pins.rready = pins.bready = true;
        pins.wvalid = !data.empty();
        if (pins.wvalid) {
            for (unsigned i = 0; i < kBus; ++i) pins.wdata[i] = ~stored(offsets[data.front()] + beat * kBus + i);
            std::memset(pins.wstrb, 0xFF, sizeof(pins.wstrb));
        }
        if (pins.rvalid) {
            if (pins.rid >= depth || reads[pins.rid] < 0) return 2;
            const uint64_t burst = reads[pins.rid], offset = offsets[burst] + seen[pins.rid]++ * kBus;
            for (unsigned i = 0; i < kBus; ++i) {
                const uint8_t old = stored(offset + i);
                if (pins.rdata[i] != (changed.count(offsets[burst]) ? uint8_t(~old) : old)) return 1;
            }
            if (pins.rlast) reads[pins.rid] = -1, seen[pins.rid] = 0, ends[burst] = cycle, order[burst] = done++;
        }
        if (pins.bvalid) {
            if (pins.bid >= depth || writes[pins.bid] < 0) return 2;
            const uint64_t burst = writes[pins.bid];
            writes[pins.bid] = -1, ends[burst] = cycle, order[burst] = done++;
        }
        model.sample(cycle);
        if (pins.wvalid && pins.wready && ++beat == beats) changed[offsets[data.front()]] = true, data.pop_front(), beat = 0;
        if (pins.arvalid && pins.arready) reads[id] = next++;
        if (pins.awvalid && pins.awready) data.push_back(next), writes[id] = next++;
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// AXI4 at the two ports of the chip: a host that accesses memory and registers, and a DRAM that answers.
//
// Both work in two phases a cycle. `drive` sets the chip's inputs before the clock rises; `sample` looks, with the inputs
// settled and the clock still low, at which transfers the coming edge completes.
#pragma once
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vtop.h"
#include "memory.h"

template <typename Signal>
void set_bytes(Signal& signal, const uint8_t* data, unsigned n_bytes) {
    std::memcpy(&signal, data, std::min<size_t>(n_bytes, sizeof(signal)));
}
template <typename Signal>
void get_bytes(const Signal& signal, uint8_t* data, unsigned n_bytes) {
    std::memcpy(data, &signal, std::min<size_t>(n_bytes, sizeof(signal)));
}

// One burst at a time, at most 4 KiB, as AXI4 demands.
class HostModel {
    enum State { IDLE, WRITE, WRITE_RESPONSE, READ };
    State m_state = IDLE;
    bool m_address_done = false;
    uint64_t m_address = 0;   // of the first beat
    unsigned m_size = 0;      // log2 of bytes of a beat
    unsigned m_beats = 0, m_beat = 0;
    std::vector<uint8_t> m_data, m_strobe;  // beats of the bus's width
    int m_response = 0;

public:
    static constexpr unsigned kBus = HOST_BYTES;

    bool busy() const { return m_state != IDLE; }
    int response() const { return m_response; }
    const uint8_t* data() const { return m_data.data(); }

    // Starts a burst of whole bus beats, or of one narrow beat; `first` bytes in from the first beat's start.
    void start_write(uint64_t address, unsigned size, const uint8_t* data, unsigned first, unsigned n_bytes) {
        prepare(address, size, first, n_bytes);
        std::memcpy(m_data.data() + first, data, n_bytes);
        for (unsigned i = first; i < first + n_bytes; ++i) m_strobe[i / 8] |= 1u << (i % 8);
        m_state = WRITE;
    }
    void start_read(uint64_t address, unsigned size, unsigned first, unsigned n_bytes) {
        prepare(address, size, first, n_bytes);
        m_state = READ;
    }

    void drive(Vtop& top) {
        top.host__awvalid = m_state == WRITE && !m_address_done;
        top.host__arvalid = m_state == READ && !m_address_done;
        top.host__wvalid = m_state == WRITE && m_beat < m_beats;
        top.host__bready = m_state == WRITE || m_state == WRITE_RESPONSE;
        top.host__rready = m_state == READ;
        if (m_state == IDLE) return;
        top.host__awaddr = top.host__araddr = m_address;
        top.host__awlen = top.host__arlen = m_beats - 1;
        top.host__awsize = top.host__arsize = m_size;
        top.host__awburst = top.host__arburst = 1;
        top.host__awid = top.host__arid = 0;
        if (top.host__wvalid) {
            set_bytes(top.host__wdata, &m_data[m_beat * kBus], kBus);
            set_bytes(top.host__wstrb, &m_strobe[m_beat * kBus / 8], (kBus + 7) / 8);
            top.host__wlast = m_beat == m_beats - 1;
        }
    }

    void sample(Vtop& top) {
        if (m_state == IDLE) return;
        if ((top.host__awvalid && top.host__awready) || (top.host__arvalid && top.host__arready)) {
            m_address_done = true;
        }
        if (top.host__wvalid && top.host__wready) ++m_beat;
        if (m_state == WRITE && m_beat == m_beats && m_address_done) m_state = WRITE_RESPONSE;
        if (top.host__bvalid && top.host__bready) {
            m_response = top.host__bresp;
            m_state = IDLE;
        }
        if (top.host__rvalid && top.host__rready) {
            if (m_response == 0) m_response = top.host__rresp;
            get_bytes(top.host__rdata, &m_data[m_beat * kBus], kBus);
            if (++m_beat == m_beats) m_state = IDLE;
        }
    }

private:
    void prepare(uint64_t address, unsigned size, unsigned first, unsigned n_bytes) {
        m_beats = (first + n_bytes + kBus - 1) / kBus;
        m_data.assign(m_beats * kBus, 0);
        m_strobe.assign(m_beats * kBus / 8 + 1, 0);
        m_address = address;
        m_size = size;
        m_beat = 0;
        m_address_done = false;
        m_response = 0;
    }
};

// Serves bursts in order; reads and writes share the data bus's bandwidth.
class DramModel {
    struct Burst {
        uint64_t offset;
        unsigned beats, beat;
        unsigned id;
        uint64_t ready_cycle;
    };
    static constexpr unsigned kDepth = 64;
    std::deque<Burst> m_reads, m_writes;
    std::deque<unsigned> m_acks;
    uint64_t m_credit = 0;
    bool m_read_beat = false;

public:
    static constexpr unsigned kBus = DRAM_BYTES;
    SparseMemory memory;
    uint32_t latency = 60;
    uint32_t rate = kBus * 1024;  // bytes per 1024 cycles

    void drive(Vtop& top, uint64_t cycle) {
        m_credit = std::min<uint64_t>(m_credit + rate, 2ull * 1024 * kBus);
        top.dram__arready = m_reads.size() < kDepth;
        top.dram__awready = m_writes.size() < kDepth;
        top.dram__wready = !m_writes.empty() && m_credit >= 1024ull * kBus;
        top.dram__bvalid = !m_acks.empty();
        if (!m_acks.empty()) top.dram__bid = m_acks.front();
        top.dram__bresp = 0;
        // A beat on offer stays on offer, whatever the credit does.
        m_read_beat = m_read_beat || (!m_reads.empty() && m_reads.front().ready_cycle <= cycle
                                      && m_credit >= 1024ull * kBus);
        top.dram__rvalid = m_read_beat;
        if (m_read_beat) {
            const Burst& burst = m_reads.front();
            uint8_t data[kBus];
            memory.read(burst.offset + burst.beat * kBus, data, kBus);
            set_bytes(top.dram__rdata, data, kBus);
            top.dram__rid = burst.id;
            top.dram__rlast = burst.beat == burst.beats - 1;
            top.dram__rresp = 0;
        }
    }

    void sample(Vtop& top, uint64_t cycle) {
        if (top.dram__rvalid && top.dram__rready) {
            spend();
            m_read_beat = false;
            if (++m_reads.front().beat == m_reads.front().beats) m_reads.pop_front();
        }
        if (top.dram__bvalid && top.dram__bready) m_acks.pop_front();
        if (top.dram__wvalid && top.dram__wready) write_beat(top);
        if (top.dram__arvalid && top.dram__arready) {
            m_reads.push_back({offset(top.dram__araddr), top.dram__arlen + 1u, 0, unsigned(top.dram__arid),
                               cycle + latency});
        }
        if (top.dram__awvalid && top.dram__awready) {
            m_writes.push_back({offset(top.dram__awaddr), top.dram__awlen + 1u, 0, unsigned(top.dram__awid), 0});
        }
    }

private:
    static uint64_t offset(uint64_t address) { return address & ((1ull << 36) - 1); }
    void spend() { m_credit -= std::min<uint64_t>(m_credit, 1024ull * kBus); }
    void write_beat(Vtop& top) {
        Burst& burst = m_writes.front();
        uint8_t data[kBus], strobe[(kBus + 7) / 8];
        get_bytes(top.dram__wdata, data, kBus);
        get_bytes(top.dram__wstrb, strobe, sizeof(strobe));
        memory.write_strobed(burst.offset + burst.beat * kBus, data, strobe, kBus);
        spend();
        if (++burst.beat == burst.beats) {
            m_acks.push_back(burst.id);
            m_writes.pop_front();
        }
    }
};

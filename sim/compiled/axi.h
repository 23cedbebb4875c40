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

// Verilator writes the second of two underscores as its code.
#define HOST(signal) host___05F##signal
#define DRAM(signal) dram___05F##signal

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
    void give_up(int response) {
        m_state = IDLE;
        m_response = response;
    }
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
        top.HOST(awvalid) = m_state == WRITE && !m_address_done;
        top.HOST(arvalid) = m_state == READ && !m_address_done;
        top.HOST(wvalid) = m_state == WRITE && m_beat < m_beats;
        top.HOST(bready) = m_state == WRITE || m_state == WRITE_RESPONSE;
        top.HOST(rready) = m_state == READ;
        if (m_state == IDLE) return;
        top.HOST(awaddr) = top.HOST(araddr) = m_address;
        top.HOST(awlen) = top.HOST(arlen) = m_beats - 1;
        top.HOST(awsize) = top.HOST(arsize) = m_size;
        top.HOST(awburst) = top.HOST(arburst) = 1;
        top.HOST(awid) = top.HOST(arid) = 0;
        if (top.HOST(wvalid)) {
            set_bytes(top.HOST(wdata), &m_data[m_beat * kBus], kBus);
            set_bytes(top.HOST(wstrb), &m_strobe[m_beat * kBus / 8], (kBus + 7) / 8);
            top.HOST(wlast) = m_beat == m_beats - 1;
        }
    }

    void sample(Vtop& top) {
        if (m_state == IDLE) return;
        if ((top.HOST(awvalid) && top.HOST(awready)) || (top.HOST(arvalid) && top.HOST(arready))) {
            m_address_done = true;
        }
        if (top.HOST(wvalid) && top.HOST(wready)) ++m_beat;
        if (m_state == WRITE && m_beat == m_beats && m_address_done) m_state = WRITE_RESPONSE;
        if (top.HOST(bvalid) && top.HOST(bready)) {
            m_response = top.HOST(bresp);
            m_state = IDLE;
        }
        if (top.HOST(rvalid) && top.HOST(rready)) {
            if (m_response == 0) m_response = top.HOST(rresp);
            get_bytes(top.HOST(rdata), &m_data[m_beat * kBus], kBus);
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
        top.DRAM(arready) = m_reads.size() < kDepth;
        top.DRAM(awready) = m_writes.size() < kDepth;
        top.DRAM(wready) = !m_writes.empty() && m_credit >= 1024ull * kBus;
        top.DRAM(bvalid) = !m_acks.empty();
        if (!m_acks.empty()) top.DRAM(bid) = m_acks.front();
        top.DRAM(bresp) = 0;
        // A beat on offer stays on offer, whatever the credit does.
        m_read_beat = m_read_beat || (!m_reads.empty() && m_reads.front().ready_cycle <= cycle
                                      && m_credit >= 1024ull * kBus);
        top.DRAM(rvalid) = m_read_beat;
        if (m_read_beat) {
            const Burst& burst = m_reads.front();
            uint8_t data[kBus];
            memory.read(burst.offset + burst.beat * kBus, data, kBus);
            set_bytes(top.DRAM(rdata), data, kBus);
            top.DRAM(rid) = burst.id;
            top.DRAM(rlast) = burst.beat == burst.beats - 1;
            top.DRAM(rresp) = 0;
        }
    }

    void sample(Vtop& top, uint64_t cycle) {
        if (top.DRAM(rvalid) && top.DRAM(rready)) {
            spend();
            m_read_beat = false;
            if (++m_reads.front().beat == m_reads.front().beats) m_reads.pop_front();
        }
        if (top.DRAM(bvalid) && top.DRAM(bready)) m_acks.pop_front();
        if (top.DRAM(wvalid) && top.DRAM(wready)) write_beat(top);
        if (top.DRAM(arvalid) && top.DRAM(arready)) {
            m_reads.push_back({offset(top.DRAM(araddr)), top.DRAM(arlen) + 1u, 0, unsigned(top.DRAM(arid)),
                               cycle + latency});
        }
        if (top.DRAM(awvalid) && top.DRAM(awready)) {
            m_writes.push_back({offset(top.DRAM(awaddr)), top.DRAM(awlen) + 1u, 0, unsigned(top.DRAM(awid)), 0});
        }
    }

private:
    static uint64_t offset(uint64_t address) { return address & ((1ull << 36) - 1); }
    void spend() { m_credit -= std::min<uint64_t>(m_credit, 1024ull * kBus); }
    void write_beat(Vtop& top) {
        Burst& burst = m_writes.front();
        uint8_t data[kBus], strobe[(kBus + 7) / 8];
        get_bytes(top.DRAM(wdata), data, kBus);
        get_bytes(top.DRAM(wstrb), strobe, sizeof(strobe));
        memory.write_strobed(burst.offset + burst.beat * kBus, data, strobe, kBus);
        spend();
        if (++burst.beat == burst.beats) {
            m_acks.push_back(burst.id);
            m_writes.pop_front();
        }
    }
};

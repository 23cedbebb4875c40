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
#include "chip_ports.h"
#include "memory.h"

// Verilator writes the second of two underscores as its code.
#define HOST(signal) host___05F##signal

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

// What a DRAM channel's port shows and is given, without the port's name.
struct DramPins {
    static constexpr unsigned kBus = DRAM_BYTES;
    // From the chip.
    bool arvalid, awvalid, wvalid, rready, bready;
    uint64_t araddr, awaddr;
    unsigned arlen, awlen, arid, awid;
    uint8_t wdata[kBus], wstrb[(kBus + 7) / 8];
    // To the chip.
    bool arready, awready, wready, rvalid, rlast, bvalid;
    unsigned rid, bid;
    uint8_t rdata[kBus];
};

// One class for each channel: it alone knows the names of the port.
#define DRAM(name, signal) name##___05F##signal
#define DEFINE_PORT(name)                                                                                        \
    struct Port_##name {                                                                                         \
        static void look(const Vtop& top, DramPins& pins) {                                                      \
            pins.arvalid = top.DRAM(name, arvalid), pins.awvalid = top.DRAM(name, awvalid);                      \
            pins.wvalid = top.DRAM(name, wvalid), pins.rready = top.DRAM(name, rready);                          \
            pins.bready = top.DRAM(name, bready);                                                                \
            pins.araddr = top.DRAM(name, araddr), pins.arlen = top.DRAM(name, arlen);                            \
            pins.arid = top.DRAM(name, arid), pins.awaddr = top.DRAM(name, awaddr);                              \
            pins.awlen = top.DRAM(name, awlen), pins.awid = top.DRAM(name, awid);                                \
            if (!pins.wvalid) return;                                                                            \
            get_bytes(top.DRAM(name, wdata), pins.wdata, pins.kBus);                                             \
            get_bytes(top.DRAM(name, wstrb), pins.wstrb, sizeof(pins.wstrb));                                    \
        }                                                                                                        \
        static void show(Vtop& top, const DramPins& pins) {                                                      \
            top.DRAM(name, arready) = pins.arready, top.DRAM(name, awready) = pins.awready;                      \
            top.DRAM(name, wready) = pins.wready, top.DRAM(name, bvalid) = pins.bvalid;                          \
            top.DRAM(name, bid) = pins.bid, top.DRAM(name, bresp) = 0;                                           \
            top.DRAM(name, rvalid) = pins.rvalid;                                                                \
            if (!pins.rvalid) return;                                                                            \
            set_bytes(top.DRAM(name, rdata), pins.rdata, pins.kBus);                                             \
            top.DRAM(name, rid) = pins.rid, top.DRAM(name, rlast) = pins.rlast, top.DRAM(name, rresp) = 0;       \
        }                                                                                                        \
    };
CHANNELS(DEFINE_PORT)
#undef DEFINE_PORT

// Serves bursts in order from the channel's own memory; reads and writes share the data bus's bandwidth.
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
    DramPins pins = {};
    SparseMemory memory;
    uint32_t latency = 60;
    uint32_t rate = kBus * 1024;  // bytes per 1024 cycles

    void drive(uint64_t cycle) {
        m_credit = std::min<uint64_t>(m_credit + rate, 2ull * 1024 * kBus);
        pins.arready = m_reads.size() < kDepth;
        pins.awready = m_writes.size() < kDepth;
        pins.wready = !m_writes.empty() && m_credit >= 1024ull * kBus;
        pins.bvalid = !m_acks.empty();
        if (!m_acks.empty()) pins.bid = m_acks.front();
        // A beat on offer stays on offer, whatever the credit does.
        m_read_beat = m_read_beat || (!m_reads.empty() && m_reads.front().ready_cycle <= cycle
                                      && m_credit >= 1024ull * kBus);
        pins.rvalid = m_read_beat;
        if (m_read_beat) {
            const Burst& burst = m_reads.front();
            memory.read(burst.offset + burst.beat * kBus, pins.rdata, kBus);
            pins.rid = burst.id;
            pins.rlast = burst.beat == burst.beats - 1;
        }
    }

    void sample(uint64_t cycle) {
        if (pins.rvalid && pins.rready) {
            spend();
            m_read_beat = false;
            if (++m_reads.front().beat == m_reads.front().beats) m_reads.pop_front();
        }
        if (pins.bvalid && pins.bready) m_acks.pop_front();
        if (pins.wvalid && pins.wready) write_beat();
        if (pins.arvalid && pins.arready) {
            m_reads.push_back({offset(pins.araddr), pins.arlen + 1u, 0, pins.arid, cycle + latency});
        }
        if (pins.awvalid && pins.awready) m_writes.push_back({offset(pins.awaddr), pins.awlen + 1u, 0, pins.awid, 0});
    }

private:
    static uint64_t offset(uint64_t address) { return address & ((1ull << 36) - 1); }
    void spend() { m_credit -= std::min<uint64_t>(m_credit, 1024ull * kBus); }
    void write_beat() {
        Burst& burst = m_writes.front();
        memory.write_strobed(burst.offset + burst.beat * kBus, pins.wdata, pins.wstrb, kBus);
        spend();
        if (++burst.beat == burst.beats) {
            m_acks.push_back(burst.id);
            m_writes.pop_front();
        }
    }
};

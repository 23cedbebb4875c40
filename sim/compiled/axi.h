// SPDX-License-Identifier: Apache-2.0
// AXI4 at the ports of the chip: a host that accesses memory and registers, and the names of the DRAM channels' ports.
//
// The host works in two phases a cycle. `drive` sets the chip's inputs before the clock rises; `sample` looks, with the inputs
// settled and the clock still low, at which transfers the coming edge completes.
#pragma once
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vtop.h"
#include "chip_ports.h"
#include "dram.h"

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
    unsigned m_pauses = 0;    // of 256 cycles
    bool m_offers_address = false, m_offers_beat = false;  // what is on offer stays
    Dice m_dice;

public:
    static constexpr unsigned kBus = HOST_BYTES;

    bool busy() const { return m_state != IDLE; }
    int response() const { return m_response; }
    void give_up(int response) {
        m_state = IDLE;
        m_response = response;
    }
    // Between two accesses.
    void set_pauses(unsigned share) { m_pauses = share; }
    // Between two accesses it has nothing under way.
    template <typename Archive>
    void sync_state(Archive& archive) { sync_all(archive, m_pauses, m_dice); }
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
        m_offers_address = m_offers_address || !pauses();
        m_offers_beat = m_offers_beat || !pauses();
        top.HOST(awvalid) = m_state == WRITE && !m_address_done && m_offers_address;
        top.HOST(arvalid) = m_state == READ && !m_address_done && m_offers_address;
        top.HOST(wvalid) = m_state == WRITE && m_beat < m_beats && m_offers_beat;
        top.HOST(bready) = (m_state == WRITE || m_state == WRITE_RESPONSE) && !pauses();
        top.HOST(rready) = m_state == READ && !pauses();
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
        if (top.HOST(wvalid) && top.HOST(wready)) {
            ++m_beat;
            m_offers_beat = false;
        }
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
    bool pauses() { return m_pauses && m_dice.roll(256) < m_pauses; }
    void prepare(uint64_t address, unsigned size, unsigned first, unsigned n_bytes) {
        m_beats = (first + n_bytes + kBus - 1) / kBus;
        m_data.assign(m_beats * kBus, 0);
        m_strobe.assign(m_beats * kBus / 8 + 1, 0);
        m_address = address;
        m_size = size;
        m_beat = 0;
        m_address_done = m_offers_address = m_offers_beat = false;
        m_response = 0;
    }
};

// One class for each port to a memory: it alone knows the port's names.
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
MEMORIES(DEFINE_PORT)
#undef DEFINE_PORT

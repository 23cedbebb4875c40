// SPDX-License-Identifier: Apache-2.0
// A DRAM channel behind an AXI4 port: a latency and a rate alone, or banks with rows, refresh and reordering as well.
//
// It works in two phases a cycle. `drive` sets what the chip is shown before the clock rises; `sample` looks, with the
// chip's outputs settled, at which transfers the coming edge completes.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <vector>

#include "memory.h"
#include "state.h"

// What a channel's port shows and is given, without the port's name.
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

// All times in the chip's cycles.
struct DramTiming {
    uint32_t latency = 60;               // from an address to the first beat, without what banks add
    uint32_t rate = DRAM_RATE;           // bytes in 1024 cycles that reads and writes share
    uint32_t banks = 0;                  // 0: no banks; what follows does not count then
    uint32_t row_bytes = 2048;           // of one bank; rows lie in the banks in turn
    uint32_t activate = 0, precharge = 0;
    uint32_t refresh_every = 0;          // between refreshes of one bank and the next; 0: none
    uint32_t refresh_takes = 0;
    uint32_t turnaround = 0;             // between a read and a write
    uint32_t jitter = 0;                 // most cycles by which a random answer is later; 0: none is, and nothing pauses
};

// Numbers that look random; the same in every run.
class Dice {
    uint64_t m_state = 0x9E3779B97F4A7C15ull;

public:
    // Below n, which is not 0.
    uint64_t roll(uint64_t n) {
        m_state ^= m_state << 13, m_state ^= m_state >> 7, m_state ^= m_state << 17;
        return (m_state >> 16) % n;
    }
};

// Without banks: bursts in order. With banks: reads whose row is open go before others (first ready, first come), writes
// are acknowledged when they are in a queue of their own, which is emptied when it is long or nobody reads.
//
// With jitter whatever AXI4 allows for IDs that differ: answers late and in any order, what is written seen from its
// acknowledgement on and no earlier, pauses on every channel.
class DramModel {
    struct Burst {
        uint64_t offset = 0;
        unsigned beats = 0, beat = 0;
        unsigned id = 0;
        uint64_t ready_cycle = 0;
    };
    struct LateBeat {                               // to be written when the burst of this ID is acknowledged
        uint64_t offset;
        unsigned id;
        uint8_t data[DramPins::kBus], strobe[(DramPins::kBus + 7) / 8];
    };
    struct Bank {
        int64_t row = -1;
        uint64_t ready_cycle = 0;
    };
    static constexpr unsigned kDepth = 64, kDrainFrom = 16, kDrainTo = 2, kWriteRoom = 32;
    static constexpr unsigned kPostponed = 8;       // refreshes that may wait, as the standard has it
    std::deque<Burst> m_reads, m_writes, m_stores;  // m_stores: writes with data, on their way to the banks
    std::deque<unsigned> m_acks;
    std::deque<Burst> m_late;                       // writes with data that are to be acknowledged later
    std::deque<LateBeat> m_late_beats;
    Dice m_dice;
    std::vector<Bank> m_banks;
    Burst m_moving;                                 // on the data bus, if it has beats left
    bool m_moves_store = false, m_draining = false;
    uint64_t m_bus_cycle = 0, m_next_refresh = 0;
    uint64_t m_round = 0;                           // banks that this round of refreshes has not met, a bit each
    unsigned m_due = 0;
    uint64_t m_credit = 0;
    bool m_read_beat = false;

public:
    static constexpr unsigned kBus = DRAM_BYTES;
    DramPins pins = {};
    SparseMemory memory;
    DramTiming timing;

    // Rows open anew; what is under way goes on.
    void set_timing(const DramTiming& value) {
        timing = value;
        m_banks.assign(timing.banks, Bank());
    }

    void drive(uint64_t cycle) {
        m_credit = std::min<uint64_t>(m_credit + timing.rate, 2 * kBeat);
        choose(cycle);
        if (!m_late.empty()) acknowledge_late(cycle);
        pins.arready = m_reads.size() < kDepth && !pauses();
        pins.awready = m_writes.size() < kDepth && !pauses();
        pins.wready = !pauses() && !m_writes.empty() && (timing.banks ? m_stores.size() < kWriteRoom : m_credit >= kBeat);
        pins.bvalid = !m_acks.empty();
        if (!m_acks.empty()) pins.bid = m_acks.front();
        // A beat on offer stays on offer, whatever the credit does.
        m_read_beat = m_read_beat || (moving() && !m_moves_store && m_credit >= kBeat && !pauses());
        pins.rvalid = m_read_beat;
        if (m_read_beat) {
            memory.read(m_moving.offset + m_moving.beat * kBus, pins.rdata, kBus);
            pins.rid = m_moving.id;
            pins.rlast = m_moving.beat == m_moving.beats - 1;
        }
    }

    void sample(uint64_t cycle) {
        if (pins.rvalid && pins.rready) {
            spend();
            m_read_beat = false;
            ++m_moving.beat;
        }
        if (moving() && m_moves_store && m_credit >= kBeat) {
            spend();
            ++m_moving.beat;
        }
        if (pins.bvalid && pins.bready) m_acks.pop_front();
        if (pins.wvalid && pins.wready) write_beat(cycle);
        if (pins.arvalid && pins.arready) m_reads.push_back(burst(pins.araddr, pins.arlen, pins.arid, cycle));
        if (pins.awvalid && pins.awready) m_writes.push_back(burst(pins.awaddr, pins.awlen, pins.awid, cycle));
    }

    // Everything, see state.h.
    template <typename Archive>
    void sync_state(Archive& archive) {
        sync_all(archive, m_reads, m_writes, m_stores, m_acks, m_banks, m_moving, m_moves_store, m_draining);
        sync_all(archive, m_late, m_late_beats, m_dice);
        sync_all(archive, m_bus_cycle, m_next_refresh, m_round, m_due, m_credit, m_read_beat, pins, timing);
        memory.sync_state(archive);
    }

private:
    static constexpr uint64_t kBeat = 1024ull * kBus;

    Burst burst(uint64_t address, unsigned length, unsigned id, uint64_t cycle) {
        return {address, length + 1, 0, id, cycle + timing.latency + delay()};
    }
    uint64_t delay() { return timing.jitter ? m_dice.roll(timing.jitter + 1ull) : 0; }
    bool pauses() { return timing.jitter && m_dice.roll(4) == 0; }
    bool moving() const { return m_moving.beat < m_moving.beats; }
    void spend() { m_credit -= std::min<uint64_t>(m_credit, kBeat); }
    unsigned bank_of(const Burst& burst) const { return burst.offset / timing.row_bytes % timing.banks; }
    int64_t row_of(const Burst& burst) const { return burst.offset / timing.row_bytes / timing.banks; }
    bool is_open(const Burst& burst) const { return m_banks[bank_of(burst)].row == row_of(burst); }

    void write_beat(uint64_t cycle) {
        Burst& burst = m_writes.front();
        const uint64_t offset = burst.offset + burst.beat * kBus;
        // Also of what was late when the jitter ended, the rest waits for it.
        const bool late = timing.jitter || !m_late_beats.empty();
        if (late) {
            m_late_beats.push_back({offset, burst.id, {}, {}});
            std::copy_n(pins.wdata, sizeof(pins.wdata), m_late_beats.back().data);
            std::copy_n(pins.wstrb, sizeof(pins.wstrb), m_late_beats.back().strobe);
        } else {
            memory.write_strobed(offset, pins.wdata, pins.wstrb, kBus);
        }
        if (!timing.banks) spend();
        if (++burst.beat < burst.beats) return;
        if (late) {
            m_late.push_back(burst);
            m_late.back().ready_cycle = cycle + delay();
        } else {
            m_acks.push_back(burst.id);
        }
        if (timing.banks) {
            m_stores.push_back(burst);
            m_stores.back().beat = 0;
        }
        m_writes.pop_front();
    }

    // One at most, of any age.
    void acknowledge_late(uint64_t cycle) {
        const auto chosen = m_late.begin() + m_dice.roll(m_late.size());
        if (chosen->ready_cycle > cycle) return;
        const unsigned id = chosen->id;
        for (const LateBeat& beat : m_late_beats)
            if (beat.id == id) memory.write_strobed(beat.offset, beat.data, beat.strobe, kBus);
        std::erase_if(m_late_beats, [&](const LateBeat& beat) { return beat.id == id; });
        m_acks.push_back(id);
        m_late.erase(chosen);
    }

    // Which burst has the data bus next.
    void choose(uint64_t cycle) {
        if (!timing.banks) {
            if (moving() || m_reads.empty()) return;
            const auto next = m_reads.begin() + (timing.jitter ? m_dice.roll(m_reads.size()) : 0);
            if (next->ready_cycle <= cycle) take(m_reads, next, false);
            return;
        }
        refresh(cycle);
        m_draining = m_stores.size() >= kDrainFrom || (!m_stores.empty() && m_reads.empty())
                     || (m_draining && m_stores.size() > kDrainTo);
        auto& queue = m_draining ? m_stores : m_reads;
        open_a_row(queue, cycle);
        if (moving() || queue.empty()) return;
        if (m_draining != m_moves_store) {
            m_moves_store = m_draining;
            m_bus_cycle = cycle + timing.turnaround;
        }
        if (cycle < m_bus_cycle) return;
        for (auto it = queue.begin(); it != queue.end(); ++it) {
            const bool is_there = m_draining || it->ready_cycle <= cycle;
            if (is_there && is_open(*it) && m_banks[bank_of(*it)].ready_cycle <= cycle) return take(queue, it, m_draining);
        }
    }

    void take(std::deque<Burst>& queue, std::deque<Burst>::iterator it, bool is_store) {
        m_moving = *it;
        m_moves_store = is_store;
        queue.erase(it);
    }

    // Every bank once in a round, best one that nobody wants; a refresh that is due may wait for such a bank, but not for ever.
    // It closes the bank's row.
    void refresh(uint64_t cycle) {
        if (!timing.refresh_every) return;
        if (cycle >= m_next_refresh) {
            m_next_refresh = cycle + timing.refresh_every;
            ++m_due;
        }
        if (!m_due) return;
        if (!m_round) m_round = timing.banks == 64 ? ~0ull : (1ull << timing.banks) - 1;
        const uint64_t calm = m_round & ~wanted_banks();
        if (!calm && m_due <= kPostponed) return;
        const unsigned number = std::countr_zero(calm ? calm : m_round);
        --m_due;
        m_round &= ~(1ull << number);
        m_banks[number].row = -1;
        m_banks[number].ready_cycle = std::max(m_banks[number].ready_cycle, cycle) + timing.refresh_takes;
    }

    uint64_t wanted_banks() const {
        uint64_t wanted = moving() ? 1ull << bank_of(m_moving) : 0;
        for (const auto* queue : {&m_reads, &m_stores})
            for (const Burst& burst : *queue) wanted |= 1ull << bank_of(burst);
        return wanted;
    }

    // The oldest burst whose row is closed opens it, unless an older one still needs what is open in its bank.
    void open_a_row(const std::deque<Burst>& queue, uint64_t cycle) {
        uint64_t needed = 0;  // banks, a bit each
        if (moving()) needed |= 1ull << bank_of(m_moving);
        for (const Burst& burst : queue) {
            const unsigned number = bank_of(burst);
            Bank& bank = m_banks[number];
            if (!(needed >> number & 1) && !is_open(burst) && bank.ready_cycle <= cycle) {
                bank.ready_cycle = cycle + (bank.row >= 0 ? timing.precharge : 0) + timing.activate;
                bank.row = row_of(burst);
                return;
            }
            needed |= 1ull << number;
        }
    }
};

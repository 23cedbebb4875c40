// SPDX-License-Identifier: Apache-2.0
// The thin C interface of the compiled simulator. All calls return 0 on success unless they say otherwise.
#pragma once
#include <cstdint>

extern "C" {
struct Sim;

// A reset chip. `seed` fills what nothing initialises (builds with --x-initial unique).
Sim* sim_create(uint64_t seed);
void sim_destroy(Sim* sim);

// Timing of every DRAM channel, in cycles. A rate of 0: what the member's `dram.total_bytes_per_cycle` leaves to each channel.
// No banks: latency and rate are all. At most 64 banks. `jitter`: answers are later by up to so many cycles, in any order.
struct SimDramTiming {
    uint32_t latency, bytes_per_1024_cycles;
    uint32_t banks, row_bytes, activate, precharge, refresh_every, refresh_takes, turnaround, jitter;
};
void sim_dram_timing(Sim* sim, const SimDramTiming* timing);

// Host accesses through the AXI4 port; they take cycles. Nonzero: the AXI response of the first beat that failed, or
// 16 when no answer came.
int sim_host_write(Sim* sim, uint64_t address, const uint8_t* data, uint64_t n_bytes);
int sim_host_read(Sim* sim, uint64_t address, uint8_t* data, uint64_t n_bytes);
int sim_register_write(Sim* sim, uint64_t address, uint32_t value);
int sim_register_read(Sim* sim, uint64_t address, uint32_t* value);

// From now on the host offers and takes nothing in a random share of the cycles, of 256; at first in none.
void sim_host_pauses(Sim* sim, uint32_t share);

// DRAM contents, by the back door; they take no cycles.
void sim_dram_write(Sim* sim, uint64_t offset, const uint8_t* data, uint64_t n_bytes);
void sim_dram_read(Sim* sim, uint64_t offset, uint8_t* data, uint64_t n_bytes);

// Contents of the host's memory, which a grid's DMA engine reads and writes; they take no cycles. A chip of one element has none.
void sim_host_memory_write(Sim* sim, uint64_t address, const uint8_t* data, uint64_t n_bytes);
void sim_host_memory_read(Sim* sim, uint64_t address, uint8_t* data, uint64_t n_bytes);
void sim_host_memory_timing(Sim* sim, const SimDramTiming* timing);

// Clock until the interrupt rises or `n_cycles` have passed; returns whether it is high.
int sim_run(Sim* sim, uint64_t n_cycles);
uint64_t sim_cycles(const Sim* sim);

// How many threads clock a grid's tiles, the caller's among them; at first one. Nothing else changes.
void sim_threads(Sim* sim, unsigned n_threads);

// What units and circular buffers did. `track` is a unit's code, `value` then its state | opcode << 4 | tag << 12; or 64 and
// a CB's number, `value` then its fill | depth << 13 in 64-byte units. Element n of a grid has tracks from 128 n on. Sides and
// links have tracks from 65536 on, see lane_recorder.h; `value` is then the cycles of a window in which something passed | those
// in which something waited << 16, and `cycle` the window's first.
struct SimRecord {
    uint64_t cycle;
    uint32_t value;
    uint32_t track;
};

// Start or stop recording; moves up to `room` of the oldest records out and returns their number. Without an array it
// returns how many there are.
void sim_record(Sim* sim, int on);
uint64_t sim_records(Sim* sim, SimRecord* records, uint64_t room);

// The whole state, to and from a file; 1: it cannot be opened, 2: this build cannot. A file that the same build has not written
// ends the process. Waveforms and records go on as they were.
int sim_save(Sim* sim, const char* path);
int sim_restore(Sim* sim, const char* path);

// Waveform of cycles from..to below instance `scope`, a path from the chip ("" for all); 1: no file or no tracing build.
int sim_trace(Sim* sim, const char* path, const char* scope, uint64_t from, uint64_t to);
}

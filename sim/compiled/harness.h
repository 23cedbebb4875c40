// SPDX-License-Identifier: Apache-2.0
// The thin C interface of the compiled simulator. All calls return 0 on success unless they say otherwise.
#pragma once
#include <cstdint>

extern "C" {
struct Sim;

// A reset chip. `seed` fills what nothing initialises (builds with --x-initial unique).
Sim* sim_create(uint64_t seed);
void sim_destroy(Sim* sim);

// DRAM model: cycles from the last address beat to the first data beat; bytes that the model serves per 1024 cycles.
void sim_dram_timing(Sim* sim, uint32_t latency, uint32_t bytes_per_1024_cycles);

// Host accesses through the AXI4 port; they take cycles. Nonzero: the AXI response of the first beat that failed, or
// 16 when no answer came.
int sim_host_write(Sim* sim, uint64_t address, const uint8_t* data, uint64_t n_bytes);
int sim_host_read(Sim* sim, uint64_t address, uint8_t* data, uint64_t n_bytes);
int sim_register_write(Sim* sim, uint64_t address, uint32_t value);
int sim_register_read(Sim* sim, uint64_t address, uint32_t* value);

// DRAM contents, by the back door; they take no cycles.
void sim_dram_write(Sim* sim, uint64_t offset, const uint8_t* data, uint64_t n_bytes);
void sim_dram_read(Sim* sim, uint64_t offset, uint8_t* data, uint64_t n_bytes);

// Clock until the interrupt rises or `n_cycles` have passed; returns whether it is high.
int sim_run(Sim* sim, uint64_t n_cycles);
uint64_t sim_cycles(const Sim* sim);

// Waveform of cycles from..to below `scope` ("" for all); 1: no file or no tracing build.
int sim_trace(Sim* sim, const char* path, const char* scope, uint64_t from, uint64_t to);
}

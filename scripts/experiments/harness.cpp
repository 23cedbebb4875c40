// SPDX-License-Identifier: Apache-2.0
// Drives the experiment's engine: `harness MODE CYCLES`, MODE one of int8, fp16, idle.
// Prints a checksum over all drained results, so that equal forms can be told from different ones.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "Vengine.h"
#include "verilated.h"

static uint32_t g_seed = 0x2545f491;

static uint32_t random_word() {
    g_seed ^= g_seed << 13;
    g_seed ^= g_seed >> 17;
    g_seed ^= g_seed << 5;
    return g_seed;
}

// FP16 pairs get small exponents and no special values.
static uint32_t operand(bool is_float) {
    const uint32_t word = random_word();
    return is_float ? (word & 0x8fff8fff) | 0x30003000 : word;
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const bool is_float = !std::strcmp(argv[1], "fp16"), is_idle = !std::strcmp(argv[1], "idle");
    const long n_cycles = std::atol(argv[2]);
    static uint32_t table[64][16];
    for (auto& row : table)
        for (auto& word : row) word = operand(is_float);
    VerilatedContext context;
    Vengine top{&context};
    top.rst = 1;
    top.clk = 0;
    for (int i = 0; i < 8; ++i) {
        top.clk ^= 1;
        top.eval();
    }
    top.rst = 0;
    top.is_float = is_float;
    uint64_t checksum = 0;
    const std::clock_t start = std::clock();
    for (long cycle = 0; cycle < n_cycles; ++cycle) {
        // The first cycles work in every mode, so that no mode runs on empty registers.
        const bool works = !is_idle || cycle < 256;
        const uint32_t* const words = table[(cycle * 7) & 63];
        if (works) {
            for (int i = 0; i < 8; ++i) {
                top.row_data[i] = words[i];
                top.load_data[i] = words[8 + i];
            }
        }
        top.load_column = cycle & (N_COLUMNS > 32 ? 63 : 31);
        top.load_en = works;
        top.valid = works;
        top.swap = works && (cycle & 31) == 31;
        top.row = cycle & 31;
        top.bank = (cycle >> 5) & 3;
        top.drain_row = cycle >> 1 & 31;
        top.drain_bank = ((cycle >> 5) + 2) & 3;
        top.drain_column = cycle & 31;
        top.clk = 1;
        top.eval();
        checksum = checksum * 0x9e3779b97f4a7c15 + top.drain;
        top.clk = 0;
        top.eval();
    }
    const double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%016lx %.0f\n", checksum, n_cycles / seconds);
}

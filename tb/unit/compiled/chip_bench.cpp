// SPDX-License-Identifier: Apache-2.0
// Clocks a small chip, see test_tiles.py: inputs go in before the clock rises, outputs are looked at with the inputs settled.
#include <cstdint>

#include "chip.h"
#include "verilated.h"

extern "C" void chip_run(uint32_t threads, uint32_t n_cycles, const uint8_t* inputs, uint32_t* outputs) {
    VerilatedContext context;
    ChipModel chip(&context);
    chip.set_threads(threads);
    for (uint32_t i = 0; i < n_cycles; ++i) {
        chip.top.rst = i < 2;
        chip.top.ready = inputs[i] & 1;
        chip.top.x = inputs[i] >> 1;
        chip.fall();
        outputs[i] = chip.top.y | uint32_t(chip.top.taken) << 24;
        chip.rise();
        if (i % 100 == 99) chip.pause();
    }
    chip.final();
}

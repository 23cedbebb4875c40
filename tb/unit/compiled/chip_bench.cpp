// SPDX-License-Identifier: Apache-2.0
// Clocks a small chip, see test_tiles.py: inputs go in before the clock rises, outputs are looked at with the inputs settled.
#include <cstdint>

#include "chip.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif

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

#if VM_TRACE_FST
extern "C" void chip_trace(const char* path, const char* scope, uint32_t n_cycles) {
    VerilatedContext context;
    context.traceEverOn(true);
    ChipModel chip(&context);
    VerilatedFstC trace;
    const std::string full = ChipModel::trace_path(scope);
    if (!full.empty()) trace.dumpvars(99, full);
    chip.add_trace(&trace, scope);
    trace.open(path);
    for (uint32_t i = 0; i < n_cycles; ++i) {
        chip.top.rst = i < 2;
        chip.top.ready = 1;
        chip.top.x = i;
        chip.fall();
        trace.dump(2 * i);
        chip.rise();
        trace.dump(2 * i + 1);
    }
    trace.close();
    chip.final();
}
#endif

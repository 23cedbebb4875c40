// SPDX-License-Identifier: Apache-2.0
// The program around a Verilated bench: cocotb's own main, with a window and a scope on its waves.
//
//   WAVES_FROM_NS, WAVES_TO_NS   record only in between
//   WAVES_SCOPE                  record only below this instance, e.g. dpe_8.column

#if VM_TRACE_FST
#include <cstdint>
#include <cstdlib>

#include <verilated_fst_c.h>

class WindowedFst final : public VerilatedFstC {
    static uint64_t number(const char* name, uint64_t otherwise) {
        const char* const text = std::getenv(name);
        return (text && *text) ? std::strtoull(text, nullptr, 10) : otherwise;
    }
    const uint64_t m_from = number("WAVES_FROM_NS", 0);
    const uint64_t m_to = number("WAVES_TO_NS", UINT64_MAX);

public:
    void open(const char* filename) VL_MT_SAFE override {
        const char* const scope = std::getenv("WAVES_SCOPE");
        if (scope && *scope) dumpvars(99, scope);
        VerilatedFstC::open(filename);
    }
    void dump(uint64_t time) {
        if (m_from <= time && time <= m_to) VerilatedFstC::dump(time);
    }
};
#define VerilatedFstC WindowedFst
#endif

#include "verilator.cpp"

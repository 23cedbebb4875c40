// SPDX-License-Identifier: Apache-2.0
// The native units of the functional simulator: resumes commands until one ends or none can go on.

#include "banks.h"
#include "dma.h"

namespace functional {

constexpr i64 kDmaIn = 0x40, kDmaOut = 0x41, kMml = 0x42, kDrain = 0x43, kPreload = 0x44;

static Outcome resume(Machine& m, Command& c) {
    c.wait = kNothing;
    switch (c.opcode) {
        case kDmaIn: return dma(m, c, run_in);
        case kDmaOut: return dma(m, c, run_out);
        case kMml: return mml(m, c);
        case kDrain: return drain(m, c);
        default: return preload(m, c);
    }
}

}  // namespace functional

extern "C" {

using functional::i64;

i64 functional_machine_bytes() { return sizeof(functional::Machine); }
i64 functional_command_bytes() { return sizeof(functional::Command); }
i64 functional_scratch_bytes() { return sizeof(functional::Held); }

// Index of a command that ended, or n + its index if it is at fault, or -1: all wait.
i64 functional_run(functional::Machine* m, functional::Command** commands, i64 n) {
    for (;;) {
        const i64 before = m->steps;
        for (i64 i = 0; i < n; ++i) {
            const functional::Outcome outcome = functional::resume(*m, *commands[i]);
            if (outcome == functional::kDone) return i;
            if (outcome == functional::kFault) return n + i;
        }
        if (m->steps == before) return -1;
    }
}

// Partial sums of one chunk for rows of 16-bit patterns a[rows][depth], b[depth][64]: for tests.
void functional_dot(const std::uint16_t* a, const std::uint16_t* b, i64 rows, i64 depth, i64 bf16,
                    float* out) {
    using namespace functional;
    static Held held;
    clear(held);
    Command c{};
    c.b_format = bf16 ? kBf16 : kFp16;
    for (i64 k = 0; k < depth; ++k)
        for (i64 n = 0; n < kMaxColumns; ++n)
            put(held, c, k, n, reinterpret_cast<const u8*>(b + k * kMaxColumns + n));
    for (i64 r = 0; r < rows; ++r) {
        double values[kMaxChunk], signs[kMaxChunk];
        std::int16_t exponents[kMaxChunk];
        for (i64 k = 0; k < depth; ++k) {
            const Element e = element(a[r * depth + k], bf16);
            values[k] = e.value, signs[k] = e.sign, exponents[k] = e.exponent;
        }
        float* row = out + r * kMaxColumns;
        float_row<kMaxColumns>(held, values, exponents, static_cast<int>(depth), row);
        special_row(held, signs, static_cast<int>(depth), kMaxColumns, row);
    }
}
}

// SPDX-License-Identifier: Apache-2.0
// The native units of the functional simulator: resumes commands until one ends or none can go on.

#include "banks.h"
#include "dma.h"
#include "simd.h"

namespace functional {

constexpr i64 kDmaIn = 0x40, kDmaOut = 0x41, kMml = 0x42, kDrain = 0x43, kPreload = 0x44;
constexpr i64 kSimd = 0x46;

static Outcome resume(Machine& m, Command& c) {
    c.wait = kNothing;
    switch (c.opcode) {
        case kDmaIn: return dma(m, c, run_in);
        case kDmaOut: return dma(m, c, run_out);
        case kMml: return mml(m, c);
        case kDrain: return drain(m, c);
        case kSimd: return simd(m, c);
        default: return preload(m, c);
    }
}

}  // namespace functional

extern "C" {

using functional::i64;

i64 functional_machine_bytes() { return sizeof(functional::Machine); }
i64 functional_command_bytes() { return sizeof(functional::Command); }

void* functional_scratch_new() { return new functional::Scratch(); }
void functional_scratch_delete(void* scratch) { delete static_cast<functional::Scratch*>(scratch); }
void functional_scratch_reset(void* scratch) {
    static_cast<functional::Scratch*>(scratch)->rows.clear();
}

// A function of every element, by its table: for tests.
void functional_evaluate(const functional::Rom* rom, i64 function, const float* x, i64 n,
                         functional::u32* out) {
    for (i64 i = 0; i < n; ++i)
        out[i] = functional::pattern_of(functional::evaluate(*rom, function, x[i]));
}

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

// Partial sums of one chunk, a[rows][depth] times b[depth][64] of 16-bit patterns: for tests.
void functional_dot(const functional::u8* a, const functional::u8* b, i64 rows, i64 depth, i64 bf16,
                    float* out) {
    using namespace functional;
    static Held held;
    Command c{};
    c.b_format = bf16 ? kBf16 : kFp16;
    held.special = false;
    const int n = static_cast<int>(depth);
    for (i64 k = 0; k < depth; ++k)
        put_columns(held, c, k, 0, b + 2 * k * kMaxColumns, kMaxColumns);
    for (i64 r = 0; r < rows; ++r) {
        alignas(64) double values[kMaxChunk];
        alignas(64) std::int16_t exponents[kMaxChunk];
        const u8* data = a + 2 * r * depth;
        float* row = out + r * kMaxColumns;
        const bool special = decode(data, n, bf16, values, exponents);
        float_row<kMaxColumns>(held, values, exponents, n, row);
        if (special || held.special) special_row(held, data, bf16, n, kMaxColumns, row);
    }
}
}

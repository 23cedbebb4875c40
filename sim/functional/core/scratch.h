// SPDX-License-Identifier: Apache-2.0
// Memory of the units themselves: the held block, rows on their way to the SIMD engine, sums.
#pragma once

#include <deque>
#include <vector>

#include "dot.h"

namespace functional {

using Row = std::vector<u32>;

struct Scratch {
    Held held;
    std::deque<Row> rows;           // from the reduction engine to the SIMD engine
    Row row;                        // the row at work
    std::vector<float> a, b, c, held_b, held_c;
    std::vector<u32> raw_b, raw_held;
    std::vector<std::vector<float>> sums;
    std::vector<u8> bytes;
};

inline Scratch& scratch(const Machine& m) { return *static_cast<Scratch*>(m.scratch); }

}  // namespace functional

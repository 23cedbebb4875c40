// SPDX-License-Identifier: Apache-2.0
// Products of one visit, bit for bit as sim/golden/dot.py computes them.
//
// Everything is laid out for the compiler's vectoriser: loops over columns have a constant count.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "state.h"

namespace functional {

enum Format : i64 { kInt8, kUint8, kFp16, kBf16, kInt32, kFp32 };

constexpr int kMaxColumns = 64;
constexpr int kMaxBytes = 64;
constexpr int kMaxChunk = kMaxBytes / 2;
constexpr int kKeptBits = 28;
constexpr std::int16_t kZeroExponent = -4096;
constexpr u32 kCanonicalNan = 0x7FC00000;

// The held block, decoded.
struct Held {
    alignas(64) float integers[kMaxBytes][kMaxColumns];
    alignas(64) double values[kMaxChunk][kMaxColumns];
    alignas(64) double signs[kMaxChunk][kMaxColumns];  // as values, infinities and NaNs kept
    alignas(64) std::int16_t exponents[kMaxChunk][kMaxColumns];
    bool special;
};

inline double power_of_two(int exponent) {
    const std::int64_t bits = static_cast<std::int64_t>(1023 + exponent) << 52;
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
}

// Exact value of a 16-bit pattern.
inline double decode(u32 bits, bool bf16) {
    if (bf16) {
        const u32 wide = bits << 16;
        float value;
        std::memcpy(&value, &wide, 4);
        return value;
    }
    const double sign = bits >> 15 ? -1.0 : 1.0;
    const int exponent = bits >> 10 & 31;
    const double fraction = bits & 1023;
    if (exponent == 31)
        return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                             : sign * std::numeric_limits<double>::infinity();
    if (exponent == 0) return sign * fraction * 0x1p-24;
    return sign * (1024 + fraction) * power_of_two(exponent - 25);
}

struct Element {
    double value, sign;
    std::int16_t exponent;
    bool special;
};

inline Element element(u32 bits, bool bf16) {
    const double value = decode(bits, bf16);
    if (!std::isfinite(value)) return {0.0, value, kZeroExponent, true};
    if (value == 0) return {0.0, 0.0, kZeroExponent, false};
    std::int64_t pattern;
    std::memcpy(&pattern, &value, 8);
    const auto exponent = static_cast<std::int16_t>((pattern >> 52 & 2047) - 1023);
    return {value, value < 0 ? -1.0 : 1.0, exponent, false};
}

inline u32 pattern(float value) {
    u32 bits;
    std::memcpy(&bits, &value, 4);
    return std::isnan(value) ? kCanonicalNan : bits;
}

inline float number(u32 bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// One row of integers times the held block, added to (or put in place of) an accumulator row.
template <int N>
void integer_rows(const Held& held, const float (*a)[kMaxBytes], int rows, int depth, u32* acc,
                  i64 pitch, bool overwrite) {
    constexpr int kBlock = 4;
    for (int top = 0; top < rows; top += kBlock) {
        alignas(64) float sum[kBlock][N] = {};
        for (int k = 0; k < depth; ++k)
            for (int r = 0; r < kBlock; ++r)
                for (int c = 0; c < N; ++c) sum[r][c] += a[top + r][k] * held.integers[k][c];
        // Exact: at most 64 products of at most 255 * 255 each stay below 2^24.
        for (int r = 0; r < std::min(kBlock, rows - top); ++r) {
            u32* row = acc + (top + r) * pitch;
            for (int c = 0; c < N; ++c) {
                const u32 part = static_cast<u32>(static_cast<std::int32_t>(sum[r][c]));
                row[c] = overwrite ? part : row[c] + part;
            }
        }
    }
}

// Partial sums of one row of a chunk, rounded once.
template <int N>
void float_row(const Held& held, const double* a, const std::int16_t* exponents, int depth,
               float* partial) {
    alignas(64) std::int16_t e_max[N];
    for (int c = 0; c < N; ++c) e_max[c] = std::numeric_limits<std::int16_t>::min();
    for (int k = 0; k < depth; ++k) {
        const std::int16_t ea = exponents[k];
        for (int c = 0; c < N; ++c) {
            const auto sum = static_cast<std::int16_t>(ea + held.exponents[k][c]);
            e_max[c] = e_max[c] > sum ? e_max[c] : sum;
        }
    }
    alignas(64) double scale[N], inverse[N], total[N];
    for (int c = 0; c < N; ++c) {
        // With no product but zeros any finite scale will do.
        const int e = e_max[c] < -2048 ? 0 : e_max[c];
        scale[c] = power_of_two(kKeptBits - e);
        inverse[c] = power_of_two(e - kKeptBits);
        total[c] = 0;
    }
    for (int k = 0; k < depth; ++k) {
        const double left = a[k];
        for (int c = 0; c < N; ++c)
            total[c] += __builtin_trunc(left * held.values[k][c] * scale[c]);
    }
    // Multiplying by a power of two is exact; the conversion rounds. Adding zero drops -0.
    for (int c = 0; c < N; ++c) partial[c] = static_cast<float>(total[c] * inverse[c]) + 0.0f;
}

// Replaces partial sums that an infinity or a NaN takes part in.
inline void special_row(const Held& held, const double* signs, int depth, int columns,
                        float* partial) {
    for (int c = 0; c < columns; ++c) {
        double total = 0;
        for (int k = 0; k < depth; ++k) total += signs[k] * held.signs[k][c];
        if (!std::isfinite(total)) partial[c] = number(pattern(static_cast<float>(total)));
    }
}

template <int N>
void accumulate_row(const float* partial, u32* row, bool overwrite) {
    for (int c = 0; c < N; ++c) {
        const float old = overwrite ? 0.0f : number(row[c]);
        const float sum = old + partial[c];
        u32 bits;
        std::memcpy(&bits, &sum, 4);
        row[c] = sum != sum ? kCanonicalNan : bits;
    }
}

}  // namespace functional

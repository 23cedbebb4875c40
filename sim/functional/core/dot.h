// SPDX-License-Identifier: Apache-2.0
// Products of one visit, bit for bit as sim/golden/dot.py computes them.
//
// Columns are a template parameter, so that loops over them have a constant count.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "lanes.h"
#include "state.h"

namespace functional {

enum Format : i64 { kInt8, kUint8, kFp16, kBf16, kInt32, kFp32 };

constexpr int kMaxColumns = 64;
constexpr int kMaxBytes = 64;
constexpr int kMaxChunk = kMaxBytes / 2;
constexpr int kKeptBits = 28;
constexpr std::int16_t kZeroExponent = -4096;
constexpr u32 kCanonicalNan = 0x7FC00000;

// The held block, decoded: 16-bit formats as exact values (infinities and NaNs as 0) and their
// exponents; the patterns themselves are for `special_row`.
struct Held {
    alignas(64) float integers[kMaxBytes][kMaxColumns];
    alignas(64) double values[kMaxChunk][kMaxColumns];
    alignas(64) std::int16_t exponents[kMaxChunk][kMaxColumns];
    alignas(64) std::uint16_t patterns[kMaxChunk][kMaxColumns];
    bool special;
};

inline double power_of_two(std::int64_t exponent) {
    const std::int64_t bits = (1023 + exponent) << 52;
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
}

inline float number(u32 bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Pattern of a value; every NaN as the canonical one.
inline u32 pattern_of(float value) {
    u32 bits;
    std::memcpy(&bits, &value, 4);
    return value != value ? kCanonicalNan : bits;
}

inline u32 special_mask(bool bf16) { return bf16 ? 0x7F80 : 0x7C00; }

// Exact value of a finite pattern; one without branches, for the vectoriser.
inline float finite_value(u32 bits, bool bf16) {
    if (bf16) return number(bits << 16);
    // The exponent is rebiased by a multiplication, which normalises subnormal numbers, too.
    const float magnitude = number((bits & 0x7FFF) << 13) * 0x1p112f;
    u32 pattern;
    std::memcpy(&pattern, &magnitude, 4);
    return number(pattern | (bits & 0x8000) << 16);
}

template <bool kIsBf16>
bool decode_as(const u8* data, int n, double* values, std::int16_t* exponents) {
    constexpr bool bf16 = kIsBf16;
    const u32 mask = special_mask(bf16);
    u32 special = 0;
    for (int i = 0; i < n; ++i) {
        const u32 bits = data[2 * i] | static_cast<u32>(data[2 * i + 1]) << 8;
        const bool is_special = (bits & mask) == mask;
        special |= is_special;
        const double value = is_special ? 0.0 : static_cast<double>(finite_value(bits, bf16));
        std::int64_t pattern;
        std::memcpy(&pattern, &value, 8);
        values[i] = value;
        exponents[i] = value == 0 ? kZeroExponent
                                  : static_cast<std::int16_t>((pattern >> 52 & 2047) - 1023);
    }
    return special != 0;
}

// Decodes `n` elements; whether one is an infinity or a NaN.
inline bool decode(const u8* data, int n, bool bf16, double* values, std::int16_t* exponents) {
    return bf16 ? decode_as<true>(data, n, values, exponents)
                : decode_as<false>(data, n, values, exponents);
}

// Sign of a finite pattern as -1, 0 or 1; infinities and NaNs as they are.
inline double sign_of(u32 bits, bool bf16) {
    const u32 magnitude = bits & 0x7FFF, mask = special_mask(bf16);
    if (magnitude > mask) return std::numeric_limits<double>::quiet_NaN();
    const double size = magnitude == mask ? std::numeric_limits<double>::infinity()
                                          : static_cast<double>(magnitude != 0);
    return bits >> 15 ? -size : size;
}

inline u32 half_word(const u8* data) { return data[0] | static_cast<u32>(data[1]) << 8; }

constexpr int kRowBlock = 4;

// Rows of integers times the held block, added to (or put in place of) accumulator rows.
template <int N>
void integer_rows(const Held& held, const float (*a)[kMaxBytes], int rows, int depth, u32* acc,
                  i64 pitch, bool overwrite) {
    constexpr int kVectors = std::max(N / kFloats, 1);
    for (int top = 0; top < rows; top += kRowBlock) {
        Floats sum[kRowBlock][kVectors] = {};
        for (int k = 0; k < depth; ++k)
            for (int v = 0; v < kVectors; ++v) {
                const Floats b = *reinterpret_cast<const Floats*>(&held.integers[k][v * kFloats]);
                for (int r = 0; r < kRowBlock; ++r)
                    sum[r][v] = multiply_add(Floats{} + a[top + r][k], b, sum[r][v]);
            }
        // Exact: at most 64 products of at most 255 * 255 each stay below 2^24.
        for (int r = 0; r < std::min(kRowBlock, rows - top); ++r) {
            alignas(64) float part[kVectors * kFloats];
            std::memcpy(part, sum[r], sizeof part);
            u32* row = acc + (top + r) * pitch;
            for (int c = 0; c < N; ++c) {
                const u32 value = static_cast<u32>(static_cast<std::int32_t>(part[c]));
                row[c] = overwrite ? value : row[c] + value;
            }
        }
    }
}

// Factor that makes the kept bits of each column's products integers, and its inverse.
template <int N>
void scales(const Held& held, const std::int16_t* exponents, int depth, double* scale,
            double* inverse) {
    alignas(64) std::int16_t e_max[N];
    for (int c = 0; c < N; ++c) e_max[c] = std::numeric_limits<std::int16_t>::min();
    for (int k = 0; k < depth; ++k) {
        const std::int16_t ea = exponents[k];
        for (int c = 0; c < N; ++c) {
            const auto sum = static_cast<std::int16_t>(ea + held.exponents[k][c]);
            e_max[c] = e_max[c] > sum ? e_max[c] : sum;
        }
    }
    for (int c = 0; c < N; ++c) {
        // With no product but zeros any finite scale will do.
        const std::int64_t e = e_max[c] < -2048 ? 0 : e_max[c];
        scale[c] = power_of_two(kKeptBits - e);
        inverse[c] = power_of_two(e - kKeptBits);
    }
}

// Partial sums of one row of a chunk, rounded once.
template <int N>
void float_row(const Held& held, const double* a, const std::int16_t* exponents, int depth,
               float* partial) {
    constexpr int kVectors = std::max(N / kDoubles, 1);
    constexpr int kAtOnce = std::min(kVectors, 4);
    alignas(64) double scale[kVectors * kDoubles] = {}, inverse[kVectors * kDoubles] = {};
    scales<N>(held, exponents, depth, scale, inverse);
    for (int first = 0; first < kVectors; first += kAtOnce) {
        Doubles total[kAtOnce] = {}, factor[kAtOnce];
        std::memcpy(factor, scale + first * kDoubles, sizeof factor);
        for (int k = 0; k < depth; ++k) {
            const Doubles left = Doubles{} + a[k];
            for (int v = 0; v < kAtOnce; ++v) {
                const double* b = &held.values[k][(first + v) * kDoubles];
                const Doubles product = left * *reinterpret_cast<const Doubles*>(b);
                total[v] += truncated(product * factor[v]);
            }
        }
        std::memcpy(scale + first * kDoubles, total, sizeof total);
    }
    // Multiplying by a power of two is exact; the conversion rounds. Adding zero drops -0.
    for (int c = 0; c < N; ++c) partial[c] = static_cast<float>(scale[c] * inverse[c]) + 0.0f;
}

// Replaces partial sums that an infinity or a NaN takes part in; `data` is the streamed row.
inline void special_row(const Held& held, const u8* data, bool bf16, int depth, int columns,
                        float* partial) {
    for (int c = 0; c < columns; ++c) {
        double total = 0;
        for (int k = 0; k < depth; ++k)
            total += sign_of(half_word(data + 2 * k), bf16) * sign_of(held.patterns[k][c], bf16);
        if (std::isfinite(total)) continue;
        partial[c] = std::isnan(total) ? number(kCanonicalNan) : static_cast<float>(total);
    }
}

template <int N>
void accumulate_row(const float* partial, u32* row, bool overwrite) {
    for (int c = 0; c < N; ++c) {
        const float sum = (overwrite ? 0.0f : number(row[c])) + partial[c];
        u32 bits;
        std::memcpy(&bits, &sum, 4);
        row[c] = sum != sum ? kCanonicalNan : bits;
    }
}

}  // namespace functional

// SPDX-License-Identifier: Apache-2.0
// Table functions of the SIMD engine: the native form of sim/golden/functions.py. The tables come
// from Python; the fixed-point formats are those of hw/arch/functions/datapath.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "dot.h"

namespace functional {

enum Function : i64 { kNoFunction, kExp, kLog, kReciprocal, kRsqrt, kSigmoid, kTanh, kGelu, kSilu };

enum TableRegion : i64 {
    kRegionExp = 0,
    kRegionLogNear = 1,
    kRegionLogAbove = 2,
    kRegionReciprocal = 4,
    kRegionRsqrt = 5,
    kRegionTanh = 7,
    kRegionSigmoidPositive = 12,
    kRegionSigmoidNegative = 17,
    kRegionPhiPositive = 22,
    kRegionPhiNegative = 26,
};

// The table by columns, and what belongs to each region.
struct Rom {
    const i64* coefficients[4];
    const double* scale;
    const i64* base;
    const i64* segments_log2;
    i64 log2_e, ln_2;
};

constexpr int kArgumentInteger = 7, kArgumentFraction = 26, kLog2eFraction = 30;
constexpr int kPowerFraction = 23, kLn2Fraction = 32, kOctaves = 5, kPositionFraction = 29;
constexpr int kTFraction = 18, kValueFraction = 44, kFractionWidth = 23;
constexpr double kBig = 16, kPhiEnd = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline double polynomial(const Rom& rom, i64 region, i64 position, i64 exponent = 0,
                         i64 addend = 0) {
    const i64 log2 = rom.segments_log2[region], half = i64{1} << (kTFraction - 1);
    const i64 row = rom.base[region] | position >> (kPositionFraction - log2);
    const i64 mask = (i64{1} << kPositionFraction) - 1;
    i64 t = ((position << log2) & mask) >> (kPositionFraction - kTFraction);
    const i64 segment = row - rom.base[region];
    const bool last = segment == (i64{1} << log2) - 1;
    // Near ln 1 = 0 the first and last segment are half as long, and t is 0 where x is 1.
    if (region == kRegionLogNear && (segment == 0 || last))
        t = (t >> 1) - half * last;
    else
        t -= half;
    const i64 q2 = rom.coefficients[2][row] * 2 + ((rom.coefficients[3][row] * t) >> 16);
    const i64 q1 = rom.coefficients[1][row] + ((q2 * t) >> 16);
    i64 value = rom.coefficients[0][row] * 32768 + ((q1 * t) >> 2);
    value += addend * (i64{1} << (kValueFraction - kLn2Fraction));
    return static_cast<double>(value) * rom.scale[row] * power_of_two(exponent);
}

// |x| = 2^exponent (1 + fraction / 2^23); x is finite and not zero.
struct Significand {
    i64 exponent, fraction;
};

inline Significand significand(float x) {
    const double wide = std::fabs(static_cast<double>(x));
    i64 bits;
    std::memcpy(&bits, &wide, 8);
    return {(bits >> 52) - 1023, bits >> (52 - kFractionWidth) & ((1 << kFractionWidth) - 1)};
}

inline i64 fixed(float x) {
    const double top = 1 << kArgumentInteger;
    return static_cast<i64>(std::min(std::fabs(static_cast<double>(x)), top) *
                            (1 << kArgumentFraction));
}

inline i64 as_position(i64 fraction) { return fraction << (kPositionFraction - kFractionWidth); }

inline float exp_value(const Rom& rom, float x) {
    if (std::fabs(x) >= 1 << kArgumentInteger) return std::signbit(x) ? 0.0f : kInfinity;
    constexpr int dropped = kArgumentFraction + kLog2eFraction - kPowerFraction;
    const auto product = static_cast<std::uint64_t>(fixed(x)) * static_cast<std::uint64_t>(rom.log2_e);
    i64 power = static_cast<i64>((product + (std::uint64_t{1} << (dropped - 1))) >> dropped);
    if (std::signbit(x)) power = -power;
    const i64 fraction = power & ((1 << kPowerFraction) - 1);
    return static_cast<float>(
        polynomial(rom, kRegionExp, as_position(fraction), power >> kPowerFraction));
}

inline float log_value(const Rom& rom, float x) {
    if (x == 0) return -kInfinity;
    if (x < 0) return kNan;
    if (x == kInfinity) return x;
    const auto [exponent, fraction] = significand(x);
    const bool below = exponent < 0, upper = fraction >> (kFractionWidth - 1) == 1;
    const bool near = (exponent == 0 && !upper) || (exponent == -1 && upper);
    const i64 addend = (below ? ~exponent : exponent) * rom.ln_2;
    const i64 position = as_position(fraction);
    const double value = near ? polynomial(rom, kRegionLogNear, position)
                              : polynomial(rom, kRegionLogAbove + below, position, 0, addend);
    return static_cast<float>(below ? -value : value);
}

inline float reciprocal_value(const Rom& rom, float x) {
    if (x == 0) return std::copysign(kInfinity, x);
    if (std::isinf(x)) return std::copysign(0.0f, x);
    const auto [exponent, fraction] = significand(x);
    const double value = polynomial(rom, kRegionReciprocal, as_position(fraction), -exponent);
    return std::copysign(static_cast<float>(value), x);
}

inline float rsqrt_value(const Rom& rom, float x) {
    if (x == 0) return std::copysign(kInfinity, x);
    if (x < 0) return kNan;
    if (x == kInfinity) return 0;
    const auto [exponent, fraction] = significand(x);
    return static_cast<float>(polynomial(rom, kRegionRsqrt + (exponent & 1), as_position(fraction),
                                         -(exponent >> 1)));
}

// A curve of |x| by octaves; x beyond the last octave is somewhere in it.
inline float octave_value(const Rom& rom, i64 first, float x, int last) {
    int exponent = 0;
    std::frexp(x, &exponent);
    const int octave = std::clamp(exponent, 0, last);
    const i64 mask = (i64{1} << kPositionFraction) - 1;
    const i64 position = (fixed(x) << (kOctaves - 1 - std::max(octave, 1))) & mask;
    return static_cast<float>(polynomial(rom, first + octave, position));
}

inline float sigmoid_value(const Rom& rom, float x) {
    if (std::fabs(x) >= kBig) return x > 0 ? 1.0f : exp_value(rom, x);
    const i64 first = std::signbit(x) ? kRegionSigmoidNegative : kRegionSigmoidPositive;
    return octave_value(rom, first, x, kOctaves - 1);
}

inline float phi_value(const Rom& rom, float x) {
    if (std::fabs(x) >= kPhiEnd) return x > 0;
    const i64 first = std::signbit(x) ? kRegionPhiNegative : kRegionPhiPositive;
    return octave_value(rom, first, x, kOctaves - 2);
}

inline float tanh_value(const Rom& rom, float x) {
    if (std::fabs(x) >= kBig) return std::copysign(1.0f, x);
    const float value = octave_value(rom, kRegionTanh, x, kOctaves - 1);
    return std::fabs(x) < 1 ? value * x : std::copysign(value, x);
}

// A function as an element leaves the engine; any NaN stands for the canonical one.
inline float evaluate(const Rom& rom, i64 function, float x) {
    if (x != x) return kNan;
    switch (function) {
        case kExp: return exp_value(rom, x);
        case kLog: return log_value(rom, x);
        case kReciprocal: return reciprocal_value(rom, x);
        case kRsqrt: return rsqrt_value(rom, x);
        case kSigmoid: return sigmoid_value(rom, x);
        case kTanh: return tanh_value(rom, x);
        case kGelu: return x > -kInfinity ? phi_value(rom, x) * x : -0.0f;
        case kSilu: return x > -kInfinity ? sigmoid_value(rom, x) * x : -0.0f;
        default: return x;
    }
}

}  // namespace functional

// SPDX-License-Identifier: Apache-2.0
// Conversions of the SIMD engine: the native form of sim/golden/convert.py and sim/golden/hash.py.
#pragma once

#include "dot.h"

namespace functional {

// The 32-bit word by which element `index` of a tensor is rounded: Threefry-2x32, 8 rounds.
inline u32 rounding_hash(u32 seed, u32 tensor, u32 index) {
    constexpr int kRotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const u32 keys[3] = {seed, tensor, seed ^ tensor ^ 0x1BD11BDA};
    u32 first = index + keys[0], second = keys[1];
    for (u32 number = 0; number < 8; ++number) {
        const int rotation = kRotations[number];
        first += second;
        second = (second << rotation | second >> (32 - rotation)) ^ first;
        if (number % 4 != 3) continue;
        const u32 turn = (number + 1) / 4;
        first += keys[turn % 3];
        second += keys[(turn + 1) % 3] + turn;
    }
    return second;
}

inline u32 bits_of(float value) {
    u32 bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline float to_float(u32 bits, i64 format) {
    switch (format) {
        case kInt8: return static_cast<std::int8_t>(bits);
        case kUint8: return static_cast<u8>(bits);
        case kInt32: return static_cast<float>(static_cast<std::int32_t>(bits));
        case kFp32: return number(bits);
        default: {
            const bool bf16 = format == kBf16;
            const u32 mask = special_mask(bf16);
            if ((bits & mask) != mask) return finite_value(bits, bf16);
            return static_cast<float>(sign_of(bits, bf16));
        }
    }
}

// FP16 or BF16 of a value that is no NaN; `random` rounds, or null: to nearest even.
inline u32 to_half(float value, bool bf16, const u32* random) {
    const int fraction_bits = bf16 ? 7 : 10;
    const i64 least = bf16 ? 1 : 113;
    const u32 bits = bits_of(value), sign = bits >> 16 & 0x8000;
    i64 biased = bits >> 23 & 0xFF;
    std::uint64_t significand = bits & 0x7FFFFF;
    if (biased) significand |= 1 << 23;
    biased = std::max<i64>(biased, 1);
    const i64 target = std::max(biased, least);
    const i64 drop = std::min<i64>(23 - fraction_bits + target - biased, 63);
    std::uint64_t whole;
    if (random) {
        whole = (((significand << 32) >> drop) + *random) >> 32;
    } else {
        whole = significand >> drop;
        const std::uint64_t rest = significand - (whole << drop), half = std::uint64_t{1} << (drop - 1);
        whole += rest > half || (rest == half && whole & 1);
    }
    const std::uint64_t field = static_cast<std::uint64_t>(target - least) << fraction_bits;
    return static_cast<u32>(std::min<std::uint64_t>(whole + field, special_mask(bf16))) | sign;
}

// An 8-bit integer, clamped to its range; NaN gives 0.
inline u32 to_byte(float value, i64 format, const u32* random) {
    if (value != value) return 0;
    const double finite = std::clamp<double>(value, -512, 512);
    double whole;
    if (random) {
        const double magnitude = std::fabs(finite), floor = std::floor(magnitude);
        const bool carry = std::floor((magnitude - floor) * 0x1p32) + *random >= 0x1p32;
        whole = std::copysign(floor + carry, finite);
    } else {
        whole = std::nearbyint(finite);
    }
    const double low = format == kInt8 ? -128 : 0, high = format == kInt8 ? 127 : 255;
    return static_cast<u32>(static_cast<std::int32_t>(std::clamp(whole, low, high))) & 0xFF;
}

inline u32 from_float(float value, i64 format, const u32* random) {
    if (format == kFp32) return pattern_of(value);
    if (format == kInt8 || format == kUint8) return to_byte(value, format, random);
    if (value != value) return format == kBf16 ? 0x7FC0 : 0x7E00;
    return to_half(value, format == kBf16, random);
}

}  // namespace functional

// SPDX-License-Identifier: Apache-2.0
// What a program makes of one row; the steps are numbered in docs/units/simd_engine.md.
#pragma once

#include "convert.h"
#include "functions.h"
#include "scratch.h"

namespace functional {

enum BMode : i64 { kNone, kElement, kRow, kHeld };
enum Pre : i64 { kPass, kAdd, kSub, kRsub, kMin, kMax, kSelect, kSelectPositive };
enum Factor : i64 { kFactorNone, kFactorImmediate, kFactorB, kFactorC, kFactorSelf };
enum Addend : i64 { kAddendNone, kAddendImmediate, kAddendB, kAddendC };
enum Reduce : i64 { kReduceNone, kSum, kReduceMax, kReduceMin, kAbsMax, kSumSquares };
enum Post : i64 { kPostNone, kPostStatistic, kPostB, kPostC };
enum Out : i64 { kElements, kStatistics, kBoth };

constexpr int kPartials = 8;
constexpr i64 kAtOnce = 16;

struct RowResult {
    float statistic, appended;
};

inline i64 format_bytes(i64 format) { return format <= kUint8 ? 1 : format <= kBf16 ? 2 : 4; }

template <typename Element, i64 kFormat>
void unpack_as(const u8* bytes, i64 n, float* values, u32* raw) {
    for (i64 i = 0; i < n; ++i) {
        Element element;
        std::memcpy(&element, bytes + i * static_cast<i64>(sizeof element), sizeof element);
        values[i] = to_float(element, kFormat);
        if (raw) raw[i] = element;
    }
}

inline void unpack(const u8* bytes, i64 format, i64 n, std::vector<float>& values,
                   std::vector<u32>* raw) {
    values.resize(static_cast<std::size_t>(n));
    if (raw) raw->resize(values.size());
    u32* patterns = raw ? raw->data() : nullptr;
    switch (format) {
        case kInt8: return unpack_as<u8, kInt8>(bytes, n, values.data(), patterns);
        case kUint8: return unpack_as<u8, kUint8>(bytes, n, values.data(), patterns);
        case kFp16: return unpack_as<std::uint16_t, kFp16>(bytes, n, values.data(), patterns);
        case kBf16: return unpack_as<std::uint16_t, kBf16>(bytes, n, values.data(), patterns);
        case kInt32: return unpack_as<u32, kInt32>(bytes, n, values.data(), patterns);
        default: return unpack_as<u32, kFp32>(bytes, n, values.data(), patterns);
    }
}

inline bool adds_integers(const Program& p) {
    const bool typed = p.b_mode == kElement || p.b_mode == kHeld;
    return p.pre == kAdd && p.a_format == kInt32 && typed && p.b_format == kInt32;
}

inline bool keeps_integers(const Program& p) {
    return p.out_format == kInt32 || adds_integers(p);
}

// NaN if either is one; -0 lies below +0.
inline float lesser(float a, float b) {
    if (a != a || b != b) return kNan;
    return a < b || (a == b && std::signbit(a)) ? a : b;
}

inline float greater(float a, float b) {
    if (a != a || b != b) return kNan;
    return a > b || (a == b && !std::signbit(a)) ? a : b;
}

template <typename Operation>
void each(std::vector<float>& values, Operation operation) {
    float* data = values.data();
    const std::size_t n = values.size();
    for (std::size_t i = 0; i < n; ++i) data[i] = operation(data[i], i);
}

// Steps 1 and 2.
inline void apply_pre(Scratch& s, const Program& p) {
    const float *b = s.b.data(), *c = s.c.data();
    if (adds_integers(p)) {
        for (std::size_t i = 0; i < s.row.size(); ++i) s.row[i] += s.raw_b[i];
        each(s.a, [&](float, std::size_t i) { return to_float(s.row[i], kInt32); });
        return;
    }
    switch (p.pre) {
        case kAdd: return each(s.a, [=](float a, std::size_t i) { return a + b[i]; });
        case kSub: return each(s.a, [=](float a, std::size_t i) { return a - b[i]; });
        case kRsub: return each(s.a, [=](float a, std::size_t i) { return b[i] - a; });
        case kMin: return each(s.a, [=](float a, std::size_t i) { return lesser(a, b[i]); });
        case kMax: return each(s.a, [=](float a, std::size_t i) { return greater(a, b[i]); });
        case kSelect:
            return each(s.a, [=](float a, std::size_t i) { return a != 0 ? b[i] : c[i]; });
        case kSelectPositive:
            return each(s.a, [=](float a, std::size_t i) { return a > 0 ? b[i] : c[i]; });
        default: return;
    }
}

// Step 4.
inline void apply_factor(Scratch& s, const Program& p) {
    const float *b = s.b.data(), *c = s.c.data();
    const float immediate = number(static_cast<u32>(p.imm_factor));
    switch (p.factor) {
        case kFactorImmediate:
            return each(s.a, [=](float a, std::size_t) { return a * immediate; });
        case kFactorB: return each(s.a, [=](float a, std::size_t i) { return a * b[i]; });
        case kFactorC: return each(s.a, [=](float a, std::size_t i) { return a * c[i]; });
        case kFactorSelf: return each(s.a, [](float a, std::size_t) { return a * a; });
        default: return;
    }
}

// Steps 1 to 4.
inline void front(Machine& m, const Command& c) {
    Scratch& s = scratch(m);
    const Program& p = c.program;
    apply_pre(s, p);
    if (p.relu) each(s.a, [](float a, std::size_t) { return std::signbit(a) && a == a ? 0.0f : a; });
    apply_factor(s, p);
}

// Step 5.
inline void apply_addend(Scratch& s, const Program& p) {
    const float *b = s.b.data(), *c = s.c.data();
    const float immediate = number(static_cast<u32>(p.imm_addend));
    switch (p.addend) {
        case kAddendImmediate:
            return each(s.a, [=](float a, std::size_t) { return a + immediate; });
        case kAddendB: return each(s.a, [=](float a, std::size_t i) { return a + b[i]; });
        case kAddendC: return each(s.a, [=](float a, std::size_t i) { return a + c[i]; });
        default: return;
    }
}

// A sum over the row in the order of the hardware: lanes in a tree, beats into partial sums.
template <typename Value>
float row_sum(i64 n, i64 lanes, Value value) {
    float partial[kPartials];
    std::fill(partial, partial + kPartials, -0.0f);
    for (i64 beat = 0; beat * lanes < n; ++beat) {
        float lane[64];
        for (i64 i = 0; i < lanes; ++i)
            lane[i] = beat * lanes + i < n ? value(beat * lanes + i) : -0.0f;
        for (i64 half = lanes / 2; half; half /= 2)
            for (i64 i = 0; i < half; ++i) lane[i] += lane[i + half];
        partial[beat % kPartials] =
            beat < kPartials ? lane[0] : partial[beat % kPartials] + lane[0];
    }
    for (int half = kPartials / 2; half; half /= 2)
        for (int i = 0; i < half; ++i) partial[i] += partial[i + half];
    return partial[0];
}

// Step 7 without the stat lane; `opened` is the row after step 3, `values` what the function gave.
inline float reduced(const Program& p, i64 lanes, const std::vector<float>& values,
                     const std::vector<float>& opened) {
    const i64 n = static_cast<i64>(values.size());
    if (p.reduce == kSum) return row_sum(n, lanes, [&](i64 i) { return values[i]; });
    if (p.reduce == kSumSquares)
        return row_sum(n, lanes, [&](i64 i) { return opened[i] * opened[i]; });
    const auto at = [&](i64 i) { return p.reduce == kAbsMax ? std::fabs(values[i]) : values[i]; };
    const bool least = p.reduce == kReduceMin;
    // The order does not matter; several at once can be compared side by side.
    float found[kAtOnce];
    for (i64 i = 0; i < kAtOnce; ++i) found[i] = at(std::min(i, n - 1));
    for (i64 first = kAtOnce; first < n; first += kAtOnce)
        for (i64 i = 0; i < kAtOnce; ++i) {
            const float value = at(std::min(first + i, n - 1));
            found[i] = least ? lesser(found[i], value) : greater(found[i], value);
        }
    for (i64 i = 1; i < kAtOnce; ++i)
        found[0] = least ? lesser(found[0], found[i]) : greater(found[0], found[i]);
    return found[0];
}

// Step 8.
inline void apply_post(Scratch& s, const Program& p, float statistic) {
    const float *b = s.b.data(), *c = s.c.data();
    switch (p.post) {
        case kPostStatistic:
            return each(s.a, [=](float a, std::size_t) { return a * statistic; });
        case kPostB: return each(s.a, [=](float a, std::size_t i) { return a * b[i]; });
        case kPostC: return each(s.a, [=](float a, std::size_t i) { return a * c[i]; });
        default: return;
    }
}

// Step 10.
template <typename Element, i64 kFormat>
void pack_as(Scratch& s, const Command& c) {
    const Program& p = c.program;
    const i64 n = c.counts[0];
    const float* values = s.a.data();
    u8* bytes = s.bytes.data();
    if (!p.stochastic || kFormat == kFp32) {
        for (i64 i = 0; i < n; ++i) {
            const auto element = static_cast<Element>(from_float(values[i], kFormat, nullptr));
            std::memcpy(bytes + i * static_cast<i64>(sizeof element), &element, sizeof element);
        }
        return;
    }
    u32 index = static_cast<u32>(p.index_base + c.rows_done * p.index_pitch);
    for (i64 i = 0; i < n; ++i, ++index) {
        const u32 random =
            rounding_hash(static_cast<u32>(p.seed), static_cast<u32>(p.tensor), index);
        const auto element = static_cast<Element>(from_float(values[i], kFormat, &random));
        std::memcpy(bytes + i * static_cast<i64>(sizeof element), &element, sizeof element);
    }
}

// Steps 9 and 10: the row's bytes.
inline void convert_row(Scratch& s, const Command& c) {
    const Program& p = c.program;
    const float low = number(static_cast<u32>(p.clamp_low));
    const float high = number(static_cast<u32>(p.clamp_high));
    if (p.clamp)
        each(s.a, [=](float a, std::size_t) { return lesser(greater(a, low), high); });
    s.bytes.resize(static_cast<std::size_t>(c.counts[0] * format_bytes(p.out_format)));
    switch (p.out_format) {
        case kInt8: return pack_as<u8, kInt8>(s, c);
        case kUint8: return pack_as<u8, kUint8>(s, c);
        case kFp16: return pack_as<std::uint16_t, kFp16>(s, c);
        case kBf16: return pack_as<std::uint16_t, kBf16>(s, c);
        default: return pack_as<u32, kFp32>(s, c);
    }
}

// Steps 1 to 3 alone: the integers themselves leave.
inline void integer_row(Scratch& s, const Command& c) {
    s.bytes.resize(static_cast<std::size_t>(4 * c.counts[0]));
    for (u32& value : s.row)
        if (c.program.relu && value >> 31) value = 0;
    std::memcpy(s.bytes.data(), s.row.data(), s.bytes.size());
}

// Steps 5 to 10 of the row in `a`.
inline RowResult run_row(Machine& m, const Command& c) {
    Scratch& s = scratch(m);
    const Program& p = c.program;
    const Rom& rom = *static_cast<const Rom*>(m.rom);
    if (p.out_format == kInt32) return integer_row(s, c), RowResult{};
    std::vector<float> opened;
    if (p.reduce == kSumSquares) opened = s.a;
    apply_addend(s, p);
    if (p.function)
        each(s.a, [&](float a, std::size_t) { return evaluate(rom, p.function, a); });
    RowResult result{};
    if (p.reduce) {
        const float value = reduced(p, m.lanes, s.a, opened);
        const float product = value * number(static_cast<u32>(p.stat_factor));
        result.appended = product + number(static_cast<u32>(p.stat_addend));
        result.statistic = evaluate(rom, p.stat_function, result.appended);
    }
    apply_post(s, p, result.statistic);
    convert_row(s, c);
    return result;
}

}  // namespace functional

// SPDX-License-Identifier: Apache-2.0
// Vectors as wide as the processor's registers; the compiler does the arithmetic.
#pragma once

#if defined(__AVX512F__) || defined(__AVX__)
#include <immintrin.h>
#endif

#include <cmath>

namespace functional {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#else
constexpr int kVectorBytes = 32;
#endif

typedef float Floats __attribute__((vector_size(kVectorBytes)));
typedef double Doubles __attribute__((vector_size(kVectorBytes)));

constexpr int kFloats = kVectorBytes / 4;
constexpr int kDoubles = kVectorBytes / 8;

// Toward zero.
inline Doubles truncated(Doubles x) {
#if defined(__AVX512F__)
    return reinterpret_cast<Doubles>(_mm512_roundscale_pd(reinterpret_cast<__m512d>(x), 0x0B));
#elif defined(__AVX__)
    return reinterpret_cast<Doubles>(_mm256_round_pd(reinterpret_cast<__m256d>(x), 0x0B));
#else
    for (int i = 0; i < kDoubles; ++i) x[i] = __builtin_trunc(x[i]);
    return x;
#endif
}

// a * b + c for integers below 2^24, which are exact with or without a rounding in between.
inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_fmadd_ps(reinterpret_cast<__m512>(a),
                                                    reinterpret_cast<__m512>(b),
                                                    reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
    return reinterpret_cast<Floats>(_mm256_fmadd_ps(reinterpret_cast<__m256>(a),
                                                    reinterpret_cast<__m256>(b),
                                                    reinterpret_cast<__m256>(c)));
#else
    return a * b + c;
#endif
}

}  // namespace functional

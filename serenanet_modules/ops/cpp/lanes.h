// Vectors as wide as the processor's registers: one channel per lane. Only the compilers' portable vector types, no
// instructions of one processor.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "vec.h"

#if defined(__AVX512F__)
#define SERENA_VECTOR_BYTES 64
#elif defined(__AVX__)
#define SERENA_VECTOR_BYTES 32
#else
#define SERENA_VECTOR_BYTES 16
#endif

typedef float FloatLanes __attribute__((vector_size(SERENA_VECTOR_BYTES)));
typedef double DoubleLanes __attribute__((vector_size(SERENA_VECTOR_BYTES)));
typedef int32_t FloatBits __attribute__((vector_size(SERENA_VECTOR_BYTES)));
typedef int64_t DoubleBits __attribute__((vector_size(SERENA_VECTOR_BYTES)));

template <>
struct Number<FloatLanes> {
    using Scalar = float;
    using Bits = FloatBits;
};

template <>
struct Number<DoubleLanes> {
    using Scalar = double;
    using Bits = DoubleBits;
};

template <class T>
struct LanesOf;
template <>
struct LanesOf<float> {
    using Type = FloatLanes;
};
template <>
struct LanesOf<double> {
    using Type = DoubleLanes;
};

template <class T>
using Lanes = typename LanesOf<T>::Type;

template <class T>
constexpr int WIDTH = SERENA_VECTOR_BYTES / sizeof(T);

template <class T>
inline Lanes<T> load(const T* from) {
    Lanes<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class T>
inline void store(T* to, Lanes<T> v) {
    std::memcpy(to, &v, sizeof v);
}

// Both halves of two vectors' lanes taken in turns: a0 b0 a1 b1 ...
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SERENA_SHUFFLE 1
#endif
#endif

#ifdef SERENA_SHUFFLE
template <class V, int... I>
inline void interleave(V a, V b, V& low, V& high, std::integer_sequence<int, I...>) {
    constexpr int width = sizeof...(I);
    low = __builtin_shufflevector(a, b, (I / 2 + (I % 2) * width)...);
    high = __builtin_shufflevector(a, b, (width / 2 + I / 2 + (I % 2) * width)...);
}
#endif

// The square of WIDTH vectors, transposed in place.
template <class T>
inline void transpose(Lanes<T>* square) {
    constexpr int width = WIDTH<T>;
    Lanes<T> other[width];
#ifdef SERENA_SHUFFLE
#pragma GCC unroll 4
    for (int round = 1; round < width; round *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < width / 2; ++i)
            interleave(square[i], square[i + width / 2], other[2 * i], other[2 * i + 1],
                       std::make_integer_sequence<int, width>());
#pragma GCC unroll 16
        for (int i = 0; i < width; ++i) square[i] = other[i];
    }
#else
    for (int i = 0; i < width; ++i)
        for (int j = 0; j < width; ++j) other[j][i] = square[i][j];
    for (int i = 0; i < width; ++i) square[i] = other[i];
#endif
}

// Rows of `lanes` channels for `steps` times, wherever they lie in memory; lanes without a channel are zero.
template <class T>
inline void load_tile(Lanes<T>* tile, const T* from, int64_t channel_stride, int64_t time_stride, int lanes, int steps) {
    constexpr int width = WIDTH<T>;
    int t = 0;
    if (lanes == width && channel_stride == 1) {
        for (; t < steps; ++t) tile[t] = load(from + t * time_stride);
    } else if (lanes == width && time_stride == 1) {
        for (; t + width <= steps; t += width) {
            for (int c = 0; c < width; ++c) tile[t + c] = load(from + c * channel_stride + t);
            transpose<T>(tile + t);
        }
    }
    for (; t < steps; ++t) {
        T row[width] = {};
        for (int c = 0; c < lanes; ++c) row[c] = from[c * channel_stride + t * time_stride];
        tile[t] = load(row);
    }
}

// The reverse of `load_tile`; may leave the tile transposed.
template <class T>
inline void store_tile(Lanes<T>* tile, T* to, int64_t channel_stride, int64_t time_stride, int lanes, int steps) {
    constexpr int width = WIDTH<T>;
    int t = 0;
    if (lanes == width && channel_stride == 1) {
        for (; t < steps; ++t) store(to + t * time_stride, tile[t]);
    } else if (lanes == width && time_stride == 1) {
        for (; t + width <= steps; t += width) {
            transpose<T>(tile + t);
            for (int c = 0; c < width; ++c) store(to + c * channel_stride + t, tile[t + c]);
        }
    }
    for (; t < steps; ++t) {
        T row[width];
        store(row, tile[t]);
        for (int c = 0; c < lanes; ++c) to[c * channel_stride + t * time_stride] = row[c];
    }
}

// sums[i] = sum of the lanes of vectors[i]; count is a multiple of WIDTH, and the vectors are lost.
template <class T>
inline void sum_lanes(Lanes<T>* vectors, T* sums, int64_t count) {
    constexpr int width = WIDTH<T>;
    for (int64_t i = 0; i < count; i += width) {
        transpose<T>(vectors + i);
        Lanes<T> sum = vectors[i];
        for (int c = 1; c < width; ++c) sum += vectors[i + c];
        store(sums + i, sum);
    }
}

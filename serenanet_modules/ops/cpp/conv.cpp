// Depthwise convolution over time, y[t] = act(bias + sum_w weight[w] x[t - left + w]), forward and backward.
//
// "last": x (B, L, D), vectorised over channels; "first": x (B, D, L), vectorised over time. What lies before x is
// `initial` (`left` steps) or zero, what lies after it is zero. Sums over the batch run in a fixed order, so no result
// depends on the number of threads.
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "vec.h"

namespace {

constexpr int TAPS = 8;            // formed at once in registers

// Calls f with a compile-time number of taps for each group of taps [k, k + K).
template <class F>
inline void for_taps(int64_t width, F f) {
    int64_t k = 0;
    for (; k + TAPS <= width; k += TAPS) f(k, std::make_index_sequence<TAPS>{});
    if (width - k >= 4) f(k, std::make_index_sequence<4>{}), k += 4;
    if (width - k >= 2) f(k, std::make_index_sequence<2>{}), k += 2;
    if (width - k >= 1) f(k, std::make_index_sequence<1>{});
}

template <class T>
inline T silu_slope(T x) {
    const T s = vsigmoid(x);
    return s * (T(1) + x * (T(1) - s));
}

template <class T>
inline void fill(T* y, T value, int64_t n) {
    std::fill(y, y + n, value);
}

template <class T>
inline void silu_(T* y, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = vsilu(y[i]);
}

// slope[i] = g[i] silu'(slope[i])
template <class T>
inline void silu_backward(T* slope, const T* g, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) slope[i] = g[i] * silu_slope(slope[i]);
}

// ---------------------------------------------------------------- channels last

template <class T>
struct Last {
    const T *x, *weight, *bias, *initial;  // (B, L, D) by strides; (W, D); (D); (B, left, D)
    const int32_t* seq;                    // (B, L)
    const T* zeros;                        // (D)
    int64_t block;                         // channels that a task takes: rows of all taps fit into the L1 cache
    int64_t channels, length, width, left, x_batch, x_row;
    bool silu;

    // Input row that tap w reads for the output at t.
    const T* row(int64_t b, int64_t t, int64_t w) const {
        const int64_t s = t - left + w;
        if (s < 0) return initial ? initial + (b * left + left + s) * channels : zeros;
        if (s >= length || (seq && seq[b * length + s] != seq[b * length + t])) return zeros;
        return x + b * x_batch + s * x_row;
    }

    bool masked(int64_t b, int64_t t) const { return seq && seq[b * length + t] < 0; }

    // bias + sum over taps, for n channels from c0
    void sum(T* y, int64_t b, int64_t t, int64_t c0, int64_t n) const {
        if (bias) {
            std::copy(bias + c0, bias + c0 + n, y);
        } else {
            fill(y, T(0), n);
        }
        for_taps(width, [&](int64_t k, auto taps) { add(y, b, t, c0, n, k, taps); });
    }

    template <std::size_t... J>
    void add(T* y, int64_t b, int64_t t, int64_t c0, int64_t n, int64_t k, std::index_sequence<J...>) const {
        const T* const rows[] = {row(b, t, k + J) + c0...};
        const T* const w[] = {weight + (k + J) * channels + c0...};
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) y[c] += (... + (w[J][c] * rows[J][c]));
    }
};

template <class T>
void last_forward(const Last<T>& p, T* y, int64_t batch, int threads) {
    const int64_t blocks = (p.channels + p.block - 1) / p.block, spans = (p.length + 255) / 256;
#pragma omp parallel for collapse(3) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t span = 0; span < spans; ++span) {
            for (int64_t block = 0; block < blocks; ++block) {
                const int64_t c0 = block * p.block, n = std::min(p.block, p.channels - c0);
                for (int64_t t = span * 256; t < std::min(p.length, span * 256 + 256); ++t) {
                    T* out = y + (b * p.length + t) * p.channels + c0;
                    if (p.masked(b, t)) {
                        fill(out, T(0), n);
                    } else {
                        p.sum(out, b, t, c0, n);
                        if (p.silu) silu_(out, n);
                    }
                }
            }
        }
    }
}

template <class T>
struct LastGradient {
    const T* g;
    T *x, *weight, *bias, *initial;  // (B, L, D); (B, W, D); (B, D); (B, left, D); weight and bias hold zeros at first
    int64_t g_batch, g_row;
};

template <class T, std::size_t... J>
inline void add_weight_gradient(const Last<T>& p, T* grad, const T* slope, int64_t b, int64_t t, int64_t c0, int64_t n,
                                int64_t k, std::index_sequence<J...>) {
    const T* const rows[] = {p.row(b, t, k + J) + c0...};
    T* const to[] = {grad + (k + J) * p.channels...};
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) ((to[J][c] += slope[c] * rows[J][c]), ...);
}

// to += what the outputs t, t - 1, ... say about the input at t - left, their gradients being in the ring
template <class T, std::size_t... J>
inline void add_input_gradient(const Last<T>& p, T* to, const T* ring, const int32_t* seq, int64_t t, int64_t c0,
                               int64_t n, int64_t k, std::index_sequence<J...>) {
    const int64_t s = t - p.left;
    auto from = [&](int64_t at) -> const T* {
        const bool cut = at < 0 || (seq && (at >= p.length || s < 0 || seq[at] != seq[s]));
        return cut ? p.zeros : ring + (at % p.width) * n;
    };
    const T* const rows[] = {from(t - k - int64_t(J))...};
    const T* const w[] = {p.weight + (k + J) * p.channels + c0...};
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) to[c] += (... + (w[J][c] * rows[J][c]));
}

// One walk over time: `ring` keeps the last W gradients of the sums, which is all that the input `left` steps earlier
// still waits for.
template <class T>
void last_backward_task(const Last<T>& p, const LastGradient<T>& d, int64_t b, int64_t c0, T* ring) {
    const int64_t n = std::min(p.block, p.channels - c0), length = p.length, width = p.width;
    T* weight = d.weight + b * width * p.channels + c0;
    T* bias = d.bias ? d.bias + b * p.channels + c0 : nullptr;
    const int32_t* seq = p.seq ? p.seq + b * length : nullptr;
    fill(ring, T(0), width * n);
    for (int64_t t = 0; t < length + p.left; ++t) {
        T* slope = ring + (t % width) * n;
        if (t >= length || p.masked(b, t)) {
            fill(slope, T(0), n);
        } else {
            const T* g = d.g + b * d.g_batch + t * d.g_row + c0;
            if (p.silu) {
                p.sum(slope, b, t, c0, n);
                silu_backward(slope, g, n);
            } else {
                std::copy(g, g + n, slope);
            }
            if (bias) {
#pragma omp simd
                for (int64_t c = 0; c < n; ++c) bias[c] += slope[c];
            }
            for_taps(width, [&](int64_t k, auto taps) { add_weight_gradient(p, weight, slope, b, t, c0, n, k, taps); });
        }
        const int64_t s = t - p.left;
        if (s < 0 && !d.initial) continue;
        T* to = (s < 0 ? d.initial + (b * p.left + t) * p.channels : d.x + (b * length + s) * p.channels) + c0;
        fill(to, T(0), n);
        for_taps(width, [&](int64_t k, auto taps) { add_input_gradient(p, to, ring, seq, t, c0, n, k, taps); });
    }
}

// Sums the per-utterance parts (B, size) in order.
template <class T>
void sum_parts(const T* parts, T* sum, int64_t batch, int64_t size, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < size; ++i) {
        T s = 0;
        for (int64_t b = 0; b < batch; ++b) s += parts[b * size + i];
        sum[i] = s;
    }
}

template <class T>
void last_backward(const Last<T>& p, const LastGradient<T>& d, T* grad_weight, T* grad_bias, T* scratch, int64_t batch,
                   int threads) {
    const int64_t blocks = (p.channels + p.block - 1) / p.block;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t block = 0; block < blocks; ++block) {
            last_backward_task(p, d, b, block * p.block, scratch + omp_get_thread_num() * p.width * p.block);
        }
    }
    sum_parts(d.weight, grad_weight, batch, p.width * p.channels, threads);
    if (grad_bias) sum_parts(d.bias, grad_bias, batch, p.channels, threads);
}

// ---------------------------------------------------------------- channels first

template <class T>
struct First {
    const T *x, *weight, *bias, *initial;  // (B, D, L) by strides; (D, W); (D); (B, D, left)
    int64_t channels, length, width, left, x_batch, x_row;
    bool silu;

    // Scratch: the row with what surrounds it, L + W - 1 steps.
    void load(T* padded, int64_t b, int64_t d) const {
        const T* before = initial ? initial + (b * channels + d) * left : nullptr;
        for (int64_t i = 0; i < left; ++i) padded[i] = before ? before[i] : T(0);
        const T* row = x + b * x_batch + d * x_row;
        std::copy(row, row + length, padded + left);
        fill(padded + left + length, T(0), width - 1 - left);
    }
};

// y[t] += sum_j w[k + j] x[t + k + j]
template <class T, std::size_t... J>
inline void slide(T* y, const T* x, const T* w, int64_t n, int64_t k, std::index_sequence<J...>) {
    const T weights[] = {w[k + J]...};
    const T* from = x + k;
#pragma omp simd
    for (int64_t t = 0; t < n; ++t) y[t] += (... + (weights[J] * from[t + J]));
}

template <class T>
inline void slide(T* y, const T* x, const T* w, int64_t n, int64_t width) {
    for_taps(width, [&](int64_t k, auto taps) { slide(y, x, w, n, k, taps); });
}

// out[k] += sum_t g[t] x[t + k], four taps at once
template <class T>
inline void correlate(T* out, const T* g, const T* x, int64_t n, int64_t width) {
    int64_t k = 0;
    for (; k + 4 <= width; k += 4) {
        T a = 0, b = 0, c = 0, d = 0;
        const T* from = x + k;
#pragma omp simd reduction(+ : a, b, c, d)
        for (int64_t t = 0; t < n; ++t) {
            a += g[t] * from[t];
            b += g[t] * from[t + 1];
            c += g[t] * from[t + 2];
            d += g[t] * from[t + 3];
        }
        out[k] += a, out[k + 1] += b, out[k + 2] += c, out[k + 3] += d;
    }
    for (; k < width; ++k) {
        T a = 0;
        const T* from = x + k;
#pragma omp simd reduction(+ : a)
        for (int64_t t = 0; t < n; ++t) a += g[t] * from[t];
        out[k] += a;
    }
}

template <class T>
void first_forward(const First<T>& p, T* y, T* scratch, int64_t batch, int threads) {
    const int64_t padded = p.length + p.width - 1;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t d = 0; d < p.channels; ++d) {
            T *row = scratch + omp_get_thread_num() * padded, *out = y + (b * p.channels + d) * p.length;
            p.load(row, b, d);
            fill(out, p.bias ? p.bias[d] : T(0), p.length);
            slide(out, row, p.weight + d * p.width, p.length, p.width);
            if (p.silu) silu_(out, p.length);
        }
    }
}

template <class T>
struct FirstGradient {
    const T* g;
    T *x, *weight, *bias, *initial;  // (B, D, L); (D, W); (D); (B, D, left); weight and bias hold zeros at first
    int64_t g_batch, g_row;
};

template <class T>
void first_backward(const First<T>& p, const FirstGradient<T>& d, T* scratch, int64_t batch, int threads) {
    const int64_t length = p.length, width = p.width, before = width - 1;
    const int64_t size = 2 * (length + before) + p.left + width;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t c = 0; c < p.channels; ++c) {
        T* row = scratch + omp_get_thread_num() * size;
        T* padded = row + length + before;  // gradients of the sums, W - 1 zeros before, `left` after
        T *slope = padded + before, *mirrored = slope + length + p.left;
        std::reverse_copy(p.weight + c * width, p.weight + (c + 1) * width, mirrored);
        fill(padded, T(0), before + length + p.left);
        for (int64_t b = 0; b < batch; ++b) {
            p.load(row, b, c);
            const T* g = d.g + b * d.g_batch + c * d.g_row;
            if (p.silu) {
                fill(slope, p.bias ? p.bias[c] : T(0), length);
                slide(slope, row, p.weight + c * width, length, width);
                silu_backward(slope, g, length);
            } else {
                std::copy(g, g + length, slope);
            }
            if (d.bias) {
                T sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t t = 0; t < length; ++t) sum += slope[t];
                d.bias[c] += sum;
            }
            correlate(d.weight + c * width, slope, row, length, width);
            T* to = d.x + (b * p.channels + c) * length;
            fill(to, T(0), length);
            slide(to, padded + p.left, mirrored, length, width);
            if (d.initial) {
                to = d.initial + (b * p.channels + c) * p.left;
                fill(to, T(0), p.left);
                slide(to, padded, mirrored, p.left, width);
            }
        }
    }
}

// ---------------------------------------------------------------- a few steps with a carried window

// A window of `size` steps per channel, (B, D, size) by strides, changed in place.
template <class T>
struct Window {
    T* state;
    const int64_t* start;  // (B): where a circular window is written next; null for a window that is shifted
    int64_t size, batch, channel, step;
};

template <class T>
void update(const T* x, const T* weight, const T* bias, const Window<T>& window, T* y, int64_t batch, int64_t channels,
            int64_t steps, int64_t width, bool silu, int threads) {
    const int64_t size = window.size, before = width - 1;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t b = 0; b < batch; ++b) {
        // A window that is shifted reads as a circular one whose next write is at its start.
        const int64_t next = window.start && size ? (window.start[b] % size + size) % size : 0;
        for (int64_t c = 0; c < channels; ++c) {
            const T *in = x + (b * channels + c) * steps, *w = weight + c * width;
            T *out = y + (b * channels + c) * steps, *held = window.state + b * window.batch + c * window.channel;
            for (int64_t t = 0; t < steps; ++t) {
                T sum = bias ? bias[c] : T(0);
                for (int64_t k = 0; k < width; ++k) {
                    const int64_t at = t + k - before;  // relative to the first of these steps
                    sum += w[k] * (at >= 0 ? in[at] : held[((next + at + size) % size) * window.step]);
                }
                out[t] = silu ? vsilu(sum) : sum;
            }
            if (!window.start) {
                for (int64_t i = 0; i < size; ++i) {
                    const int64_t from = i + steps;
                    held[i * window.step] = from < size ? held[from * window.step] : in[from - size];
                }
            } else if (size) {
                for (int64_t t = 0; t < steps; ++t) held[(next + t) % size * window.step] = in[t];
            }
        }
    }
}
}  // namespace

// What both layouts and both directions take, in the order in which Python passes it.
#define SERENA_INPUTS(T)                                                                                          \
    const T *x, const T *weight, const T *bias, const T *initial, int64_t channels, int64_t length, int64_t width, \
        int64_t left, int64_t x_batch, int64_t x_row, int64_t silu, int64_t batch, int64_t threads, T *scratch
#define SERENA_SIZES channels, length, width, left, x_batch, x_row, silu != 0

#define SERENA_CONV(T, SUFFIX)                                                                                         \
    extern "C" void serena_conv_last_##SUFFIX(SERENA_INPUTS(T), const int32_t* seq, int64_t block, T* y) {             \
        (void)scratch;                                                                                                 \
        const std::vector<T> zeros(channels);                                                                          \
        last_forward<T>({x, weight, bias, initial, seq, zeros.data(), block, SERENA_SIZES}, y, batch, int(threads));   \
    }                                                                                                                  \
    extern "C" void serena_conv_last_backward_##SUFFIX(                                                                \
        SERENA_INPUTS(T), const int32_t* seq, int64_t block, const T* g, int64_t g_batch, int64_t g_row, T* grad_x,    \
        T* grad_weight, T* grad_bias, T* grad_initial, T* weight_parts, T* bias_parts) {                               \
        const std::vector<T> zeros(channels);                                                                          \
        last_backward<T>({x, weight, bias, initial, seq, zeros.data(), block, SERENA_SIZES},                           \
                         {g, grad_x, weight_parts, bias_parts, grad_initial, g_batch, g_row}, grad_weight, grad_bias,  \
                         scratch, batch, int(threads));                                                                \
    }                                                                                                                  \
    extern "C" void serena_conv_first_##SUFFIX(SERENA_INPUTS(T), T* y) {                                               \
        first_forward<T>({x, weight, bias, initial, SERENA_SIZES}, y, scratch, batch, int(threads));                   \
    }                                                                                                                  \
    extern "C" void serena_conv_first_backward_##SUFFIX(SERENA_INPUTS(T), const T* g, int64_t g_batch, int64_t g_row,  \
                                                        T* grad_x, T* grad_weight, T* grad_bias, T* grad_initial) {    \
        first_backward<T>({x, weight, bias, initial, SERENA_SIZES},                                                    \
                          {g, grad_x, grad_weight, grad_bias, grad_initial, g_batch, g_row}, scratch, batch,           \
                          int(threads));                                                                               \
    }                                                                                                                  \
    extern "C" void serena_conv_update_##SUFFIX(                                                                       \
        const T* x, const T* weight, const T* bias, T* state, const int64_t* start, int64_t size, int64_t state_batch, \
        int64_t state_channel, int64_t state_step, T* y, int64_t batch, int64_t channels, int64_t steps,               \
        int64_t width, int64_t silu, int64_t threads) {                                                                \
        update<T>(x, weight, bias, {state, start, size, state_batch, state_channel, state_step}, y, batch, channels,   \
                  steps, width, silu != 0, int(threads));                                                              \
    }

SERENA_CONV(float, f32)
SERENA_CONV(double, f64)

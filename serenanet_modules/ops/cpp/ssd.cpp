// Mamba-2's recurrence for one head, h = a h + (dt x) B' and y = h C, with the channels of the head in the lanes: a
// tile of the state, N rows of V vectors, stays in the first-level cache while time runs. B and C are then scalars,
// and only sums over channels (the gradients of B and C) cross lanes.
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lanes.h"

namespace {

// Element (b, t) of a tensor (batch, length, rows...) starts at data + b * batch + t * time; the rest is contiguous.
template <class T>
struct Rows {
    T* data;
    int64_t batch, time;
    T* at(int64_t b, int64_t t) const { return data + b * batch + t * time; }
};

struct Sizes {
    int64_t batch, length, heads, channels, groups, states, chunk;
    int64_t chunks() const { return (length + chunk - 1) / chunk; }
    int64_t padded() const { return (channels + 15) / 16 * 16; }
    int64_t group(int64_t head) const { return head / (heads / groups); }
};

template <class T>
struct Inputs {
    Rows<const T> x, B, C;   // (batch, length, heads, channels), (batch, length, groups, states)
    const T *dt, *decay, *D;  // (batch, heads, length) twice; (heads, channels) or null
};

// The part of a head that one call of a kernel walks through time with.
template <class T, int V>
struct Tile {
    static constexpr int width = WIDTH<T>;
    int64_t b, head, first, count;  // `count` channels from `first`, at most V * width

    void read(Lanes<T>* to, const T* from) const {
        if (count == V * width) {
            for (int v = 0; v < V; ++v) to[v] = load(from + v * width);
            return;
        }
        T row[V * width] = {};
        std::memcpy(row, from, count * sizeof(T));
        for (int v = 0; v < V; ++v) to[v] = load(row + v * width);
    }

    void write(T* to, const Lanes<T>* from) const {
        if (count == V * width) {
            for (int v = 0; v < V; ++v) store(to + v * width, from[v]);
            return;
        }
        T row[V * width];
        for (int v = 0; v < V; ++v) store(row + v * width, from[v]);
        std::memcpy(to, row, count * sizeof(T));
    }

    // The tile's place in a tensor (batch, heads, channels, states), and in (chunks, batch, heads, padded, states)
    int64_t in_state(const Sizes& s) const { return ((b * s.heads + head) * s.channels + first) * s.states; }
    int64_t in_starts(const Sizes& s, int64_t chunk) const {
        return (((chunk * s.batch + b) * s.heads + head) * s.padded() + first) * s.states;
    }

    // Between channels x states in memory and the tile's states x lanes; null stands for zeros.
    void read_state(T* tile, const T* from, int64_t states) const {
        std::memset(tile, 0, states * V * width * sizeof(T));
        if (from == nullptr) return;
        for (int64_t p = 0; p < count; ++p)
            for (int64_t n = 0; n < states; ++n) tile[n * V * width + p] = from[p * states + n];
    }
    void write_state(T* to, const T* tile, int64_t states) const {
        for (int64_t p = 0; p < count; ++p)
            for (int64_t n = 0; n < states; ++n) to[p * states + n] = tile[n * V * width + p];
    }
};

// `starts` may be null; else the state before every chunk is written there.
template <class T, int V>
void forward_tile(const Sizes& s, const Inputs<T>& in, const Tile<T, V>& tile, const T* initial, T* y, T* last,
                  T* starts, T* state) {
    constexpr int width = WIDTH<T>, row = V * width;
    const int64_t head_offset = tile.head * s.channels + tile.first, group_offset = s.group(tile.head) * s.states;
    const int64_t per_head = (tile.b * s.heads + tile.head) * s.length, states = s.states;
    Lanes<T> skip[V] = {};
    if (in.D != nullptr) tile.read(skip, in.D + head_offset);
    tile.read_state(state, initial == nullptr ? nullptr : initial + tile.in_state(s), states);
    for (int64_t t = 0; t < s.length; ++t) {
        if (starts != nullptr && t % s.chunk == 0)
            std::memcpy(starts + tile.in_starts(s, t / s.chunk), state, states * row * sizeof(T));
        const T* B = in.B.at(tile.b, t) + group_offset;
        const T* C = in.C.at(tile.b, t) + group_offset;
        const T dt = in.dt[per_head + t];
        const Lanes<T> a = Lanes<T>{} + in.decay[per_head + t];
        Lanes<T> u[V], out[V];
        tile.read(u, in.x.at(tile.b, t) + head_offset);
        for (int v = 0; v < V; ++v) {
            out[v] = skip[v] * u[v];
            u[v] *= dt;
        }
        for (int64_t n = 0; n < states; ++n) {
            T* h = state + n * row;
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
                const Lanes<T> now = a * load(h + v * width) + B[n] * u[v];
                store(h + v * width, now);
                out[v] += C[n] * now;
            }
        }
        tile.write(y + (tile.b * s.length + t) * s.heads * s.channels + head_offset, out);
    }
    tile.write_state(last + tile.in_state(s), state, s.states);
}

template <class T>
struct Gradients {
    T *x, *dt, *decay, *B, *C;  // B and C: (length, groups, states), for the heads of one task
    T *D, *initial;             // (batch, heads, channels) and (batch, heads, channels, states)
};

template <class T, int V>
void add_sums(Lanes<T>* parts, T* sums, T* to, int64_t count) {
    constexpr int width = WIDTH<T>;
    sum_lanes<T>(parts, sums, (count + width - 1) / width * width);
    for (int64_t i = 0; i < count; ++i) to[i] += sums[i];
}

// Chunks from the last to the first: the states of a chunk are formed again from the one that `forward_tile` kept,
// and gradients walk back through them.
template <class T, int V>
void backward_tile(const Sizes& s, const Inputs<T>& in, const Tile<T, V>& tile, const Rows<const T>& grad_y,
                   const T* grad_last, const T* starts, const Gradients<T>& grad, T* scratch) {
    constexpr int width = WIDTH<T>, row = V * width;
    const int64_t head_offset = tile.head * s.channels + tile.first, group_offset = s.group(tile.head) * s.states;
    const int64_t per_head = (tile.b * s.heads + tile.head) * s.length, states = s.states;
    const int64_t size = states * row, per_time = s.groups * states;
    const int64_t rounded = (std::max(states, s.chunk) + width - 1) / width * width;
    T* kept = scratch;                         // chunk + 1 tiles: the state before every step, and after the last
    T* carry = kept + (s.chunk + 1) * size;    // gradient of the state after the step at hand
    T* sums = carry + size;                    // rounded, and so the three that follow
    Lanes<T>* parts = reinterpret_cast<Lanes<T>*>(sums + rounded);
    Lanes<T>* for_dt = parts + rounded;
    Lanes<T>* for_decay = for_dt + rounded;

    Lanes<T> skip[V] = {}, grad_skip[V] = {};
    if (in.D != nullptr) tile.read(skip, in.D + head_offset);
    tile.read_state(carry, grad_last == nullptr ? nullptr : grad_last + tile.in_state(s), s.states);
    for (int64_t c = s.chunks() - 1; c >= 0; --c) {
        const int64_t begin = c * s.chunk, end = std::min(s.length, begin + s.chunk);
        std::memcpy(kept, starts + tile.in_starts(s, c), size * sizeof(T));
        for (int64_t t = begin; t < end; ++t) {
            const T* B = in.B.at(tile.b, t) + group_offset;
            const T* before = kept + (t - begin) * size;
            T* after = kept + (t - begin + 1) * size;
            const Lanes<T> a = Lanes<T>{} + in.decay[per_head + t];
            Lanes<T> u[V], gy[V];
            tile.read(u, in.x.at(tile.b, t) + head_offset);
            tile.read(gy, grad_y.at(tile.b, t) + head_offset);
            for (int v = 0; v < V; ++v) u[v] *= in.dt[per_head + t];
            for (int64_t n = 0; n < states; ++n) {
                Lanes<T> part = {};
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) {
                    const Lanes<T> now = a * load(before + n * row + v * width) + B[n] * u[v];
                    store(after + n * row + v * width, now);
                    part += gy[v] * now;
                }
                parts[n] = part;
            }
            add_sums<T, V>(parts, sums, grad.C + t * per_time + group_offset, states);
        }
        for (int64_t t = end - 1; t >= begin; --t) {
            const T* B = in.B.at(tile.b, t) + group_offset;
            const T* C = in.C.at(tile.b, t) + group_offset;
            const T* before = kept + (t - begin) * size;
            const T dt = in.dt[per_head + t];
            const Lanes<T> a = Lanes<T>{} + in.decay[per_head + t];
            Lanes<T> x[V], u[V], gy[V], gu[V] = {}, gdecay[V] = {}, gdt = {};
            tile.read(x, in.x.at(tile.b, t) + head_offset);
            tile.read(gy, grad_y.at(tile.b, t) + head_offset);
            for (int v = 0; v < V; ++v) u[v] = x[v] * dt;
            for (int64_t n = 0; n < states; ++n) {
                Lanes<T> part = {};
                T* g = carry + n * row;
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) {
                    const Lanes<T> now = load(g + v * width) + C[n] * gy[v];
                    gu[v] += B[n] * now;
                    part += u[v] * now;
                    gdecay[v] += now * load(before + n * row + v * width);  // V sums: one would be waited for
                    store(g + v * width, a * now);
                }
                parts[n] = part;
            }
            add_sums<T, V>(parts, sums, grad.B + t * per_time + group_offset, states);
            for (int v = 0; v < V; ++v) {
                if (v > 0) gdecay[0] += gdecay[v];
                gdt += gu[v] * x[v];
                grad_skip[v] += gy[v] * x[v];
                gu[v] = gu[v] * dt + skip[v] * gy[v];
            }
            tile.write(grad.x + (tile.b * s.length + t) * s.heads * s.channels + head_offset, gu);
            for_dt[t - begin] = gdt;
            for_decay[t - begin] = gdecay[0];
        }
        add_sums<T, V>(for_dt, sums, grad.dt + per_head + begin, end - begin);
        add_sums<T, V>(for_decay, sums, grad.decay + per_head + begin, end - begin);
    }
    tile.write(grad.D + tile.b * s.heads * s.channels + head_offset, grad_skip);
    tile.write_state(grad.initial + tile.in_state(s), carry, s.states);
}

// f(a tile) for every tile of a head; four vectors where they fit the head, for the least work on B and C.
template <class T, class F>
void for_tiles(int64_t b, int64_t head, int64_t channels, const F& f) {
    constexpr int width = WIDTH<T>;
    for (int64_t first = 0; first < channels;) {
        const int64_t left = channels - first;
        if (left > 3 * width) {
            f(Tile<T, 4>{b, head, first, std::min<int64_t>(left, 4 * width)});
            first += 4 * width;
        } else if (left > width) {
            f(Tile<T, 2>{b, head, first, std::min<int64_t>(left, 2 * width)});
            first += 2 * width;
        } else {
            f(Tile<T, 1>{b, head, first, left});
            first += width;
        }
    }
}

template <class T>
void forward(const Sizes& s, const Inputs<T>& in, const T* initial, T* y, T* last, T* starts, T* scratch,
             int64_t scratch_size, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < s.batch * s.heads; ++task) {
        T* state = scratch + omp_get_thread_num() * scratch_size;
        for_tiles<T>(task / s.heads, task % s.heads, s.channels,
                     [&](const auto& tile) { forward_tile(s, in, tile, initial, y, last, starts, state); });
    }
}

// A task is some heads of one group; each of the `splits` of a group sums its own gradients of B and C.
template <class T>
void backward(const Sizes& s, int64_t splits, const Inputs<T>& in, const Rows<const T>& grad_y, const T* grad_last,
              const T* starts, const Gradients<T>& all, T* scratch, int64_t scratch_size, int threads) {
    const int64_t heads = s.heads / s.groups / splits;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < s.batch * s.groups * splits; ++task) {
        const int64_t b = task / (s.groups * splits), first = task % (s.groups * splits) * heads;
        const int64_t split = task % splits;
        Gradients<T> grad = all;
        grad.B += (split * s.batch + b) * s.length * s.groups * s.states;
        grad.C += (split * s.batch + b) * s.length * s.groups * s.states;
        T* own = scratch + omp_get_thread_num() * scratch_size;
        for (int64_t head = first; head < first + heads; ++head)
            for_tiles<T>(b, head, s.channels, [&](const auto& tile) {
                backward_tile(s, in, tile, grad_y, grad_last, starts, grad, own);
            });
    }
}

}  // namespace

#define SERENA_SSD(SUFFIX, T)                                                                                        \
    extern "C" void serena_ssd_forward_##SUFFIX(                                                                     \
        const int64_t* sizes, const int64_t* strides, const T* x, const T* dt, const T* decay, const T* B,           \
        const T* C, const T* D, const T* initial, T* y, T* last, T* starts, T* scratch, int64_t scratch_size,        \
        int64_t threads) {                                                                                           \
        const Sizes s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]};                         \
        const Inputs<T> in{{x, strides[0], strides[1]}, {B, strides[2], strides[3]}, {C, strides[4], strides[5]},    \
                           dt, decay, D};                                                                            \
        forward<T>(s, in, initial, y, last, starts, scratch, scratch_size, int(threads));                            \
    }                                                                                                                \
    extern "C" void serena_ssd_backward_##SUFFIX(                                                                    \
        const int64_t* sizes, const int64_t* strides, const T* x, const T* dt, const T* decay, const T* B,           \
        const T* C, const T* D, const T* grad_y, const T* grad_last, const T* starts, T* grad_x, T* grad_dt,         \
        T* grad_decay, T* grad_B, T* grad_C, T* grad_D, T* grad_initial, T* scratch, int64_t scratch_size,           \
        int64_t threads) {                                                                                           \
        const Sizes s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]};                         \
        const Inputs<T> in{{x, strides[0], strides[1]}, {B, strides[2], strides[3]}, {C, strides[4], strides[5]},    \
                           dt, decay, D};                                                                            \
        const Gradients<T> grad{grad_x, grad_dt, grad_decay, grad_B, grad_C, grad_D, grad_initial};                  \
        backward<T>(s, sizes[7], in, {grad_y, strides[6], strides[7]}, grad_last, starts, grad, scratch,             \
                    scratch_size, int(threads));                                                                     \
    }

SERENA_SSD(f32, float)
SERENA_SSD(f64, double)

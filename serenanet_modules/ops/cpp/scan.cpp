// Selective scan and its gradients. One channel per lane, the states of a channel one after the other, so that no sum
// crosses lanes: y, and the gradients of u and delta, are sums over states; those of B and C, sums over channels, are
// kept per lane until a whole chunk of channels has been through a block of time.
#include <omp.h>

#include <type_traits>

#include "lanes.h"

namespace {

constexpr int BLOCK = 16;  // steps between kept states; a multiple of every WIDTH
constexpr double LN2 = 0.693147180559945309;

// What the Python side passes; strides are in elements, in the order (batch, channel, time), for B and C (batch,
// group, time), whose states lie next to each other.
struct Shape {
    int64_t batch, groups, channels, length, states, chunk;  // channels: of one group; chunk: channels of one task
    int64_t softplus, constant_B, constant_C, threads;
};

template <class T>
struct Signal {
    T* data;
    int64_t batch, channel, time;
};

template <class T>
struct Scan {
    Shape shape;
    Signal<const T> u, delta, z, B, C;
    const T *A, *D, *bias, *start;

    int64_t all_channels() const { return shape.groups * shape.channels; }
};

template <class T>
struct Outputs {
    Signal<T> y;
    T *last, *saved;
};

template <class T>
struct Gradients {
    Signal<const T> y;
    Signal<T> u, delta, z;
    const T *last, *saved;
    T *A, *B, *C, *D, *bias, *start;  // A, D, bias, constant B and C: of each sequence; other B and C: of each chunk
};

// Lanes that one task works on: channels first ... first + lanes of all channels
struct Tile {
    int64_t sequence, group, first;
    int lanes;
};

template <class T>
Tile tile_at(const Scan<T>& scan, int64_t sequence, int64_t group, int64_t channel) {
    const int64_t left = scan.shape.channels - channel;
    return {sequence, group, group * scan.shape.channels + channel, int(left < WIDTH<T> ? left : WIDTH<T>)};
}

template <class S>
auto* at(const Signal<S>& signal, const Tile& tile, int64_t time) {
    return signal.data + tile.sequence * signal.batch + tile.first * signal.channel + time * signal.time;
}

// The first lanes only; the common case, all of them, is one instruction.
template <class T>
void store_some(T* to, Lanes<T> from, int lanes) {
    lanes == WIDTH<T> ? store(to, from) : void(std::memcpy(to, &from, lanes * sizeof(T)));
}

template <class T>
Lanes<T> load_some(const T* from, int lanes) {
    if (lanes == WIDTH<T>) return load(from);
    Lanes<T> v = {};
    std::memcpy(&v, from, lanes * sizeof(T));
    return v;
}

// (channel, state) matrix of the tile -> one vector per state
template <class T>
void load_states(Lanes<T>* to, const T* from, const Tile& tile, int64_t states, T scale) {
    for (int64_t n = 0; n < states; ++n) {
        T row[WIDTH<T>] = {};
        if (from)
            for (int c = 0; c < tile.lanes; ++c) row[c] = from[(tile.first + c) * states + n] * scale;
        to[n] = load(row);
    }
}

template <class T>
void store_states(const Lanes<T>* from, T* to, const Tile& tile, int64_t states) {
    for (int64_t n = 0; n < states; ++n) {
        T row[WIDTH<T>];
        store(row, from[n]);
        for (int c = 0; c < tile.lanes; ++c) to[(tile.first + c) * states + n] = row[c];
    }
}

template <class T>
Lanes<T> load_channels(const T* from, const Tile& tile) {
    T row[WIDTH<T>] = {};
    if (from)
        for (int c = 0; c < tile.lanes; ++c) row[c] = from[tile.first + c];
    return load(row);
}

template <class T>
void store_channels(Lanes<T> from, T* to, const Tile& tile) {
    T row[WIDTH<T>];
    store(row, from);
    for (int c = 0; c < tile.lanes; ++c) to[tile.first + c] = row[c];
}

// (block, sequence, state, channel): kept states, lanes next to each other
template <class T>
T* kept(T* saved, const Scan<std::remove_const_t<T>>& scan, const Tile& tile, int64_t block) {
    return saved + (block * scan.shape.batch + tile.sequence) * scan.shape.states * scan.all_channels() + tile.first;
}

// B or C at one time and state: the same for all lanes, or constant in time and of each lane
template <class T, bool CONSTANT>
struct Projection {
    const T* shared;
    int64_t time;
    const Lanes<T>* own;

    auto operator()(int t, int64_t n) const {
        if constexpr (CONSTANT)
            return own[n];
        else
            return shared[t * time + n];
    }
};

template <class T, bool CONSTANT>
Projection<T, CONSTANT> project(const Signal<const T>& signal, const Tile& tile, int64_t time, const Lanes<T>* own) {
    if constexpr (CONSTANT)
        return {nullptr, 0, own};
    else
        return {signal.data + tile.sequence * signal.batch + tile.group * signal.channel + time * signal.time,
                signal.time, nullptr};
}

// Inputs of a tile in one block
template <class T>
struct Inputs {
    Lanes<T> u[BLOCK], raw[BLOCK], delta[BLOCK], weighted[BLOCK];  // raw: before the softplus; weighted: delta u

    void read(const Scan<T>& scan, const Tile& tile, Lanes<T> bias, int64_t time, int steps) {
        load_tile(u, at(scan.u, tile, time), scan.u.channel, scan.u.time, tile.lanes, steps);
        load_tile(raw, at(scan.delta, tile, time), scan.delta.channel, scan.delta.time, tile.lanes, steps);
        for (int t = 0; t < steps; ++t) {
            raw[t] += bias;
            delta[t] = scan.shape.softplus ? vsoftplus(raw[t]) : raw[t];
            weighted[t] = delta[t] * u[t];
        }
    }
};

// GROUP states, from n on, through one block. The decays' exponents are in units of ln 2.
template <class T, int GROUP, class PB, class PC>
inline void advance(const Inputs<T>& in, const Lanes<T>* A, PB B, PC C, Lanes<T>* state, Lanes<T>* y, int64_t n,
                    int steps) {
    Lanes<T> h[GROUP], rate[GROUP];
    for (int g = 0; g < GROUP; ++g) h[g] = state[n + g], rate[g] = A[n + g];
    for (int t = 0; t < steps; ++t) {
        Lanes<T> sum = y[t];
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; ++g) {
            h[g] = vexp2(in.delta[t] * rate[g]) * h[g] + in.weighted[t] * B(t, n + g);
            sum += h[g] * C(t, n + g);
        }
        y[t] = sum;
    }
    for (int g = 0; g < GROUP; ++g) state[n + g] = h[g];
}

template <class T>
int64_t tiles(int64_t channels) {
    return (channels + WIDTH<T> - 1) / WIDTH<T>;
}

template <class T, bool CONSTANT_B, bool CONSTANT_C>
void forward_tile(const Scan<T>& scan, const Outputs<T>& out, const Tile& tile, Lanes<T>* scratch) {
    const int64_t states = scan.shape.states, sequence = tile.sequence * scan.all_channels() * states;
    Lanes<T> *A = scratch, *state = A + states, *own_B = state + states, *own_C = own_B + states;
    load_states(A, scan.A, tile, states, T(1 / LN2));
    load_states(state, scan.start ? scan.start + sequence : nullptr, tile, states, T(1));
    if (CONSTANT_B) load_states(own_B, scan.B.data, tile, states, T(1));
    if (CONSTANT_C) load_states(own_C, scan.C.data, tile, states, T(1));
    const Lanes<T> D = load_channels(scan.D, tile), bias = load_channels(scan.bias, tile);
    Inputs<T> in;
    Lanes<T> y[BLOCK], z[BLOCK];
    for (int64_t time = 0; time < scan.shape.length; time += BLOCK) {
        const int64_t left = scan.shape.length - time;
        const int steps = int(left < BLOCK ? left : BLOCK);
        if (out.saved) {
            T* keep = kept(out.saved, scan, tile, time / BLOCK);
            for (int64_t n = 0; n < states; ++n) store_some(keep + n * scan.all_channels(), state[n], tile.lanes);
        }
        in.read(scan, tile, bias, time, steps);
        for (int t = 0; t < steps; ++t) y[t] = D * in.u[t];
        const auto B = project<T, CONSTANT_B>(scan.B, tile, time, own_B);
        const auto C = project<T, CONSTANT_C>(scan.C, tile, time, own_C);
        int64_t n = 0;
        for (; n + 4 <= states; n += 4) advance<T, 4>(in, A, B, C, state, y, n, steps);
        for (; n < states; ++n) advance<T, 1>(in, A, B, C, state, y, n, steps);
        if (scan.z.data) {
            load_tile(z, at(scan.z, tile, time), scan.z.channel, scan.z.time, tile.lanes, steps);
            for (int t = 0; t < steps; ++t) y[t] *= vsilu(z[t]);
        }
        store_tile(y, at(out.y, tile, time), out.y.channel, out.y.time, tile.lanes, steps);
    }
    store_states(state, out.last + sequence, tile, states);
}

template <class T, bool CONSTANT_B, bool CONSTANT_C>
void forward(const Scan<T>& scan, const Outputs<T>& out, T* scratch) {
    const Shape& shape = scan.shape;
    const int64_t per_group = tiles<T>(shape.channels), tasks = shape.batch * shape.groups * per_group;
#pragma omp parallel for num_threads(int(shape.threads)) schedule(dynamic)
    for (int64_t task = 0; task < tasks; ++task) {
        const int64_t row = task / per_group;
        const Tile tile = tile_at(scan, row / shape.groups, row % shape.groups, task % per_group * WIDTH<T>);
        Lanes<T>* mine = reinterpret_cast<Lanes<T>*>(scratch) + omp_get_thread_num() * 4 * shape.states;
        forward_tile<T, CONSTANT_B, CONSTANT_C>(scan, out, tile, mine);
    }
}

// What the backward pass carries from block to block for each tile of a chunk, and sums over tiles in a block
template <class T>
struct Work {
    Lanes<T> *carry, *A, *B, *C;  // of each tile: gradient of the state, sums for A and for constant B and C
    Lanes<T> *shared_B, *shared_C;  // (BLOCK, state): B and C, per lane
    Lanes<T> *rate, *own_B, *own_C, *D, *bias;

    static int64_t size(const Shape& shape) {
        const int64_t count = tiles<T>(shape.chunk);
        return shape.states * (4 * count + 2 * BLOCK + 3) + 2 * count;
    }

    Work(Lanes<T>* memory, const Shape& shape) {
        const int64_t count = tiles<T>(shape.chunk), n = shape.states;
        carry = memory, A = carry + count * n, B = A + count * n, C = B + count * n;
        shared_B = C + count * n, shared_C = shared_B + BLOCK * n;
        rate = shared_C + BLOCK * n, own_B = rate + n, own_C = own_B + n, D = own_C + n, bias = D + count;
    }
};

// Gradients of one tile in one block, as sums over states
template <class T>
struct Sums {
    Lanes<T> y[BLOCK], plain[BLOCK], weighted[BLOCK], exponent[BLOCK];  // plain: y before the gate, given D
};

// GROUP states, from n on, of one block: forwards from the kept state, then backwards.
template <class T, int GROUP, bool CONSTANT_B, bool CONSTANT_C, class PB, class PC>
inline void retreat(const Inputs<T>& in, Sums<T>& sums, const Work<T>& work, int64_t tile_index, PB B, PC C,
                    const Lanes<T>* first, int64_t n, int64_t states, int steps, bool gated) {
    Lanes<T> decay[BLOCK][GROUP], h[BLOCK + 1][GROUP], rate[GROUP];
    for (int g = 0; g < GROUP; ++g) h[0][g] = first[g], rate[g] = work.rate[n + g];
    for (int t = 0; t < steps; ++t) {
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; ++g) {
            decay[t][g] = vexp2(in.delta[t] * rate[g]);
            h[t + 1][g] = decay[t][g] * h[t][g] + in.weighted[t] * B(t, n + g);
            if (gated) sums.plain[t] += h[t + 1][g] * C(t, n + g);
        }
    }
    Lanes<T> carry[GROUP], grad_A[GROUP], grad_B[GROUP], grad_C[GROUP];
    const int64_t mine = tile_index * states + n;
    for (int g = 0; g < GROUP; ++g) {
        carry[g] = work.carry[mine + g], grad_A[g] = work.A[mine + g];
        grad_B[g] = work.B[mine + g], grad_C[g] = work.C[mine + g];
    }
    for (int t = steps - 1; t >= 0; --t) {
        const Lanes<T> y = sums.y[t];
        Lanes<T> weighted = sums.weighted[t], exponent = sums.exponent[t];
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; ++g) {
            const Lanes<T> state = y * C(t, n + g) + carry[g];
            (CONSTANT_C ? grad_C[g] : work.shared_C[t * states + n + g]) += y * h[t + 1][g];
            (CONSTANT_B ? grad_B[g] : work.shared_B[t * states + n + g]) += state * in.weighted[t];
            carry[g] = state * decay[t][g];
            const Lanes<T> product = carry[g] * h[t][g];  // gradient of delta A
            weighted += state * B(t, n + g);
            exponent += product * rate[g];
            grad_A[g] += product * in.delta[t];
        }
        sums.weighted[t] = weighted, sums.exponent[t] = exponent;
    }
    for (int g = 0; g < GROUP; ++g) {
        work.carry[mine + g] = carry[g], work.A[mine + g] = grad_A[g];
        work.B[mine + g] = grad_B[g], work.C[mine + g] = grad_C[g];
    }
}

// From sums over states to the gradients of what goes into the scan
template <class T>
void finish(const Scan<T>& scan, const Gradients<T>& grads, const Tile& tile, const Inputs<T>& in, Sums<T>& sums,
            const Lanes<T>* z, const Lanes<T>* outer, Lanes<T> D, Lanes<T>& grad_D, Lanes<T>& grad_bias, int64_t time,
            int steps) {
    Lanes<T> u[BLOCK], delta[BLOCK];
    for (int t = 0; t < steps; ++t) {
        u[t] = sums.weighted[t] * in.delta[t] + sums.y[t] * D;
        delta[t] = sums.exponent[t] * T(LN2) + sums.weighted[t] * in.u[t];
        if (scan.shape.softplus) delta[t] = in.raw[t] > Lanes<T>{} + T(20) ? delta[t] : delta[t] * vsigmoid(in.raw[t]);
        grad_D += sums.y[t] * in.u[t];
        grad_bias += delta[t];
    }
    store_tile(u, at(grads.u, tile, time), grads.u.channel, grads.u.time, tile.lanes, steps);
    store_tile(delta, at(grads.delta, tile, time), grads.delta.channel, grads.delta.time, tile.lanes, steps);
    if (!z) return;
    for (int t = 0; t < steps; ++t) {
        const Lanes<T> gate = vsigmoid(z[t]);
        sums.plain[t] *= outer[t] * gate * (T(1) + z[t] * (T(1) - gate));
    }
    store_tile(sums.plain, at(grads.z, tile, time), grads.z.channel, grads.z.time, tile.lanes, steps);
}

template <class T, bool CONSTANT_B, bool CONSTANT_C>
void backward_block(const Scan<T>& scan, const Gradients<T>& grads, const Work<T>& work, const Tile& tile,
                    int64_t tile_index, int64_t time, int steps) {
    const int64_t states = scan.shape.states;
    const bool gated = scan.z.data;
    load_states(work.rate, scan.A, tile, states, T(1 / LN2));
    if (CONSTANT_B) load_states(work.own_B, scan.B.data, tile, states, T(1));
    if (CONSTANT_C) load_states(work.own_C, scan.C.data, tile, states, T(1));
    const Lanes<T> D = load_channels(scan.D, tile);
    Inputs<T> in;
    Sums<T> sums;
    Lanes<T> outer[BLOCK], z[BLOCK];
    in.read(scan, tile, load_channels(scan.bias, tile), time, steps);
    load_tile(outer, at(grads.y, tile, time), grads.y.channel, grads.y.time, tile.lanes, steps);
    if (gated) load_tile(z, at(scan.z, tile, time), scan.z.channel, scan.z.time, tile.lanes, steps);
    for (int t = 0; t < steps; ++t) {
        sums.y[t] = gated ? outer[t] * vsilu(z[t]) : outer[t];
        sums.plain[t] = D * in.u[t];
        sums.weighted[t] = sums.exponent[t] = Lanes<T>{};
    }
    const auto B = project<T, CONSTANT_B>(scan.B, tile, time, work.own_B);
    const auto C = project<T, CONSTANT_C>(scan.C, tile, time, work.own_C);
    const T* keep = kept(grads.saved, scan, tile, time / BLOCK);
    Lanes<T> first[2] = {};
    int64_t n = 0;
    for (; n + 2 <= states; n += 2) {
        for (int g = 0; g < 2; ++g) first[g] = load_some(keep + (n + g) * scan.all_channels(), tile.lanes);
        retreat<T, 2, CONSTANT_B, CONSTANT_C>(in, sums, work, tile_index, B, C, first, n, states, steps, gated);
    }
    if (n < states) {
        first[0] = load_some(keep + n * scan.all_channels(), tile.lanes);
        retreat<T, 1, CONSTANT_B, CONSTANT_C>(in, sums, work, tile_index, B, C, first, n, states, steps, gated);
    }
    finish(scan, grads, tile, in, sums, gated ? z : nullptr, outer, D, work.D[tile_index], work.bias[tile_index], time,
           steps);
}

// Sums over the lanes, of one block, into row `chunk` of (chunk, sequence, group, time, state)
template <class T>
void write_shared(Lanes<T>* sums, T* to, const Shape& shape, const Tile& tile, int64_t chunk, int64_t time, int steps) {
    const int64_t row = (chunk * shape.batch + tile.sequence) * shape.groups + tile.group;
    sum_lanes<T>(sums, reinterpret_cast<T*>(sums), BLOCK * shape.states);
    std::memcpy(to + (row * shape.length + time) * shape.states, sums, steps * shape.states * sizeof(T));
}

template <class T, bool CONSTANT_B, bool CONSTANT_C>
void backward_chunk(const Scan<T>& scan, const Gradients<T>& grads, int64_t sequence, int64_t group, int64_t chunk,
                    Lanes<T>* memory) {
    const Shape& shape = scan.shape;
    const int64_t states = shape.states, begin = chunk * shape.chunk, matrix = scan.all_channels() * states;
    const int64_t end = begin + shape.chunk < shape.channels ? begin + shape.chunk : shape.channels;
    std::memset(memory, 0, Work<T>::size(shape) * sizeof(Lanes<T>));
    const Work<T> work(memory, shape);
    Tile tile = tile_at(scan, sequence, group, begin);
    if (grads.last)
        for (int64_t i = 0, channel = begin; channel < end; ++i, channel += WIDTH<T>)
            load_states(work.carry + i * states, grads.last + sequence * matrix,
                        tile_at(scan, sequence, group, channel), states, T(1));
    for (int64_t time = (shape.length - 1) / BLOCK * BLOCK; shape.length && time >= 0; time -= BLOCK) {
        const int64_t left = shape.length - time;
        const int steps = int(left < BLOCK ? left : BLOCK);
        for (int64_t i = 0, channel = begin; channel < end; ++i, channel += WIDTH<T>)
            backward_block<T, CONSTANT_B, CONSTANT_C>(scan, grads, work, tile_at(scan, sequence, group, channel), i,
                                                      time, steps);
        if (!CONSTANT_B) write_shared<T>(work.shared_B, grads.B, shape, tile, chunk, time, steps);
        if (!CONSTANT_C) write_shared<T>(work.shared_C, grads.C, shape, tile, chunk, time, steps);
        std::memset(work.shared_B, 0, 2 * BLOCK * states * sizeof(Lanes<T>));
    }
    for (int64_t i = 0, channel = begin; channel < end; ++i, channel += WIDTH<T>) {
        tile = tile_at(scan, sequence, group, channel);
        store_states(work.A + i * states, grads.A + sequence * matrix, tile, states);
        if (CONSTANT_B) store_states(work.B + i * states, grads.B + sequence * matrix, tile, states);
        if (CONSTANT_C) store_states(work.C + i * states, grads.C + sequence * matrix, tile, states);
        if (grads.start) store_states(work.carry + i * states, grads.start + sequence * matrix, tile, states);
        store_channels(work.D[i], grads.D + sequence * scan.all_channels(), tile);
        store_channels(work.bias[i], grads.bias + sequence * scan.all_channels(), tile);
    }
}

template <class T, bool CONSTANT_B, bool CONSTANT_C>
void backward(const Scan<T>& scan, const Gradients<T>& grads, T* scratch) {
    const Shape& shape = scan.shape;
    const int64_t per_group = (shape.channels + shape.chunk - 1) / shape.chunk;
    const int64_t tasks = shape.batch * shape.groups * per_group;
#pragma omp parallel for num_threads(int(shape.threads)) schedule(dynamic)
    for (int64_t task = 0; task < tasks; ++task) {
        const int64_t row = task / per_group;
        Lanes<T>* mine = reinterpret_cast<Lanes<T>*>(scratch) + omp_get_thread_num() * Work<T>::size(shape);
        backward_chunk<T, CONSTANT_B, CONSTANT_C>(scan, grads, row / shape.groups, row % shape.groups,
                                                  task % per_group, mine);
    }
}

// Calls `work` with the flags as types, so that both kinds of B and C have code of their own.
template <class Work>
void with_constants(const Shape& shape, Work work) {
    const std::true_type yes{};
    const std::false_type no{};
    if (shape.constant_B)
        shape.constant_C ? work(yes, yes) : work(yes, no);
    else
        shape.constant_C ? work(no, yes) : work(no, no);
}

template <class T>
Signal<const T> read_only(const Signal<T>& signal) {
    return {signal.data, signal.batch, signal.channel, signal.time};
}

// signals: u, delta, z, B, C, then y; tensors: A, D, bias, start, then last and saved
template <class T>
void scan_forward(const Shape* shape, const Signal<T>* signals, T* const* tensors, T* scratch) {
    const Scan<T> scan = {*shape, read_only(signals[0]), read_only(signals[1]), read_only(signals[2]),
                          read_only(signals[3]), read_only(signals[4]), tensors[0], tensors[1], tensors[2], tensors[3]};
    const Outputs<T> out = {signals[5], tensors[4], tensors[5]};
    with_constants(*shape, [&](auto B, auto C) { forward<T, B.value, C.value>(scan, out, scratch); });
}

// signals: as before, then the gradients of y (given), u, delta and z; tensors: as before, then last's gradient, saved,
// and the gradients of A, B, C, D, bias and start
template <class T>
void scan_backward(const Shape* shape, const Signal<T>* signals, T* const* tensors, T* scratch) {
    const Scan<T> scan = {*shape, read_only(signals[0]), read_only(signals[1]), read_only(signals[2]),
                          read_only(signals[3]), read_only(signals[4]), tensors[0], tensors[1], tensors[2], tensors[3]};
    const Gradients<T> grads = {read_only(signals[5]), signals[6], signals[7], signals[8], tensors[4], tensors[5],
                                tensors[6], tensors[7], tensors[8], tensors[9], tensors[10], tensors[11]};
    with_constants(*shape, [&](auto B, auto C) { backward<T, B.value, C.value>(scan, grads, scratch); });
}

// to[j] = sum of from[i][j] over i, always in the same order
template <class T>
void sum_rows(const T* from, T* to, int64_t rows, int64_t columns, int threads) {
    constexpr int64_t piece = 1024;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t begin = 0; begin < columns; begin += piece) {
        const int64_t end = begin + piece < columns ? begin + piece : columns;
        std::memcpy(to + begin, from + begin, (end - begin) * sizeof(T));
        for (int64_t i = 1; i < rows; ++i)
            for (int64_t j = begin; j < end; ++j) to[j] += from[i * columns + j];
    }
}

// One step of the scan for all heads and channels, the state changed in place
struct Step {
    int64_t batch, heads, channels, states, groups, softplus, threads;
};

template <class T>
void state_update(const Step* step, T* state, const int64_t* rows, const T* x, const T* dt, const T* A, const T* B,
                  const T* C, const T* D, const T* z, const T* bias, T* y) {
    const int64_t width = step->heads * step->channels, N = step->states;
    const int64_t per_group = step->heads / step->groups * step->channels;
    const bool worthwhile = step->batch * width * N > 32768;
#pragma omp parallel for num_threads(worthwhile ? int(step->threads) : 1) schedule(static) collapse(2)
    for (int64_t b = 0; b < step->batch; ++b) {
        for (int64_t c = 0; c < width; ++c) {
            const int64_t i = b * width + c, row = rows ? rows[b] : b;
            if (row < 0) {  // padding
                y[i] = T(0);
                continue;
            }
            T delta = dt[i] + (bias ? bias[c] : T(0));
            if (step->softplus) delta = vsoftplus(delta);
            const T weighted = delta * x[i];
            const T* const shared_B = B + (b * step->groups + c / per_group) * N;
            const T* const shared_C = C + (b * step->groups + c / per_group) * N;
            const T* const rate = A + c * N;
            T* const h = state + (row * width + c) * N;
            T sum = T(0);
#pragma omp simd reduction(+ : sum)
            for (int64_t n = 0; n < N; ++n) {
                h[n] = vexp(delta * rate[n]) * h[n] + weighted * shared_B[n];
                sum += h[n] * shared_C[n];
            }
            if (D) sum += D[c] * x[i];
            y[i] = z ? sum * vsilu(z[i]) : sum;
        }
    }
}

}  // namespace

#define SERENA_SCAN(SUFFIX, T)                                                                                        \
    extern "C" void serena_scan_forward_##SUFFIX(const Shape* shape, const Signal<T>* signals, T* const* tensors,     \
                                                 T* scratch) {                                                        \
        scan_forward<T>(shape, signals, tensors, scratch);                                                            \
    }                                                                                                                 \
    extern "C" void serena_scan_backward_##SUFFIX(const Shape* shape, const Signal<T>* signals, T* const* tensors,    \
                                                  T* scratch) {                                                       \
        scan_backward<T>(shape, signals, tensors, scratch);                                                           \
    }                                                                                                                 \
    extern "C" void serena_sum_rows_##SUFFIX(const T* from, T* to, int64_t rows, int64_t columns,          \
                                              int64_t threads) {                                                      \
        sum_rows<T>(from, to, rows, columns, int(threads));                                                           \
    }                                                                                                                 \
    extern "C" void serena_state_update_##SUFFIX(const Step* step, T* state, const int64_t* rows, const T* x,         \
                                                 const T* dt, const T* A, const T* B, const T* C, const T* D,         \
                                                 const T* z, const T* bias, T* y) {                                   \
        state_update<T>(step, state, rows, x, dt, A, B, C, D, z, bias, y);                                            \
    }

SERENA_SCAN(f32, float)
SERENA_SCAN(f64, double)

// Dropout whose mask is a hash of (seed, position): nothing to store, and each position is independent work.
#include <cstdint>

namespace {

constexpr int64_t BLOCK = 1 << 14;  // positions that share one block seed

uint64_t mix64(uint64_t x) {  // splitmix64 (Steele, Lea and Flood 2014)
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

inline uint32_t mix32(uint32_t x) {  // lowbias32 (Wellons 2018)
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

template <class T>
void dropout(const T* x, T* y, int64_t size, uint64_t seed, int64_t threshold, int64_t threads) {
    const uint32_t dropped = uint32_t(threshold);  // of the 2^32 values of a hash
    const T scale = T(1 / (1 - double(dropped) / 4294967296.0));
    const int64_t blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(int(threads)) schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
        const uint64_t key = mix64(seed + mix64(uint64_t(block)));
        const uint32_t low = uint32_t(key), high = uint32_t(key >> 32);
        const int64_t first = block * BLOCK;
        const int32_t count = int32_t(size - first < BLOCK ? size - first : BLOCK);
        const T* in = x + first;
        T* out = y + first;
#pragma omp simd
        for (int32_t i = 0; i < count; ++i) {
            const uint32_t random = mix32(mix32(uint32_t(i) + low) ^ high);
            out[i] = random < dropped ? T(0) : in[i] * scale;
        }
    }
}

}  // namespace

#define SERENA_DROPOUT(SUFFIX, T)                                                                              \
    extern "C" void serena_dropout_##SUFFIX(const T* x, T* y, int64_t size, uint64_t seed, int64_t threshold,  \
                                            int64_t threads) {                                                 \
        dropout<T>(x, y, size, seed, threshold, threads);                                                      \
    }

SERENA_DROPOUT(f32, float)
SERENA_DROPOUT(f64, double)

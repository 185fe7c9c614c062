// Adds each token's weighted expert outputs, best first, to the residual: no atomics, so the sum is the same every time.
#pragma once

#include "gmoe.cuh"

namespace smgeo {

constexpr int COMBINE_THREADS = 256;

// mixed [rows, channels], residual [cells * size, channels] or null -> out [cells * size, channels].
// One thread a pack.
template <class T>
__device__ void gmoe_combine(const T* mixed, const T* residual, T* out, const int* place, int cells, int top_k,
                             int size, int channels) {
    const int packs = channels / PACK;
    const size_t index = static_cast<size_t>(blockIdx.x) * COMBINE_THREADS + threadIdx.x;
    if (index >= static_cast<size_t>(cells) * size * packs) return;
    const int token = static_cast<int>(index / packs), at = static_cast<int>(index % packs) * PACK;
    const int cell = token / size, inside = token % size;
    float sum[PACK] = {};
    for (int rank = 0; rank < top_k; ++rank) {
        const size_t row = static_cast<size_t>(place[cell * top_k + rank]) * size + inside;
        const Pack<T> part = *reinterpret_cast<const Pack<T>*>(mixed + row * channels + at);
        for (int i = 0; i < PACK; ++i) sum[i] += to_float(part.at[i]);
    }
    const size_t to = static_cast<size_t>(token) * channels + at;
    if (residual != nullptr) {
        const Pack<T> kept = *reinterpret_cast<const Pack<T>*>(residual + to);
        for (int i = 0; i < PACK; ++i) sum[i] += to_float(kept.at[i]);
    }
    Pack<T> packed;
    for (int i = 0; i < PACK; ++i) packed.at[i] = from_float<T>(sum[i]);
    *reinterpret_cast<Pack<T>*>(out + to) = packed;
}

}  // namespace smgeo

#define SMGEO_GMOE_COMBINE(NAME, T)                                                                                \
    extern "C" __global__ void __launch_bounds__(smgeo::COMBINE_THREADS)                                           \
        NAME(const T* __restrict__ mixed, const T* __restrict__ residual, T* __restrict__ out,                     \
             const int* __restrict__ place, int cells, int top_k, int size, int channels) {                        \
        smgeo::gmoe_combine<T>(mixed, residual, out, place, cells, top_k, size, channels);                         \
    }
SMGEO_GMOE_COMBINE(gmoe_combine_f16, __half)
SMGEO_GMOE_COMBINE(gmoe_combine_bf16, __nv_bfloat16)

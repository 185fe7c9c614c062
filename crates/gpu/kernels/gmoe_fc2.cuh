// The experts' second layer: mixed = gate (hidden W2 + b2), the gate applied while the sum is still f32.
#pragma once

#include "gmoe.cuh"
#include "tile_product.cuh"

namespace smgeo {

// hidden [rows, width], weight [experts, width, channels], bias [experts, channels] -> mixed [rows, channels].
// Grid: tiles of columns, tiles of rows.
template <class T>
__device__ void gmoe_fc2(const T* hidden, const T* weight, const T* bias, const float* gate, T* mixed,
                         const int* order, const Tile* tiles, int size, int width, int channels) {
    __shared__ __align__(128) unsigned char storage[TILE_BYTES];
    const Tile tile = tiles[blockIdx.y];
    if (tile.begin == tile.end) return;
    const int column = blockIdx.x * TILE_COLUMNS;

    TileSource<T> source = {
        {nullptr, nullptr}, weight + static_cast<size_t>(tile.expert) * width * channels, width, channels, column};
    for (int half = 0; half < 2; ++half) {
        const int row = tile.begin + fetched_row(half);
        if (row < tile.end) source.left[half] = hidden + static_cast<size_t>(row) * width;
    }
    const float* product = tile_product(storage, source);

    for (int pack = threadIdx.x; pack < TILE_ROWS * TILE_COLUMNS / PACK; pack += TILE_THREADS) {
        const int row = pack / (TILE_COLUMNS / PACK), at = pack % (TILE_COLUMNS / PACK) * PACK;
        if (tile.begin + row >= tile.end || column + at >= channels) continue;
        const float weight_of_row = gate[order[(tile.begin + row) / size]];
        const T* shift = bias + static_cast<size_t>(tile.expert) * channels + column + at;
        Pack<T> out;
        for (int i = 0; i < PACK; ++i) {
            out.at[i] = from_float<T>(weight_of_row * (product[row * OUT_STRIDE + at + i] + to_float(shift[i])));
        }
        T* to = mixed + static_cast<size_t>(tile.begin + row) * channels + column + at;
        *reinterpret_cast<Pack<T>*>(to) = out;
    }
}

}  // namespace smgeo

#define SMGEO_GMOE_FC2(NAME, T)                                                                                     \
    extern "C" __global__ void __launch_bounds__(smgeo::TILE_THREADS)                                               \
        NAME(const T* __restrict__ hidden, const T* __restrict__ weight, const T* __restrict__ bias,                \
             const float* __restrict__ gate, T* __restrict__ mixed, const int* __restrict__ order,                  \
             const smgeo::Tile* __restrict__ tiles, int size, int width, int channels) {                            \
        smgeo::gmoe_fc2<T>(hidden, weight, bias, gate, mixed, order, tiles, size, width, channels);                 \
    }
SMGEO_GMOE_FC2(gmoe_fc2_f16, __half)
SMGEO_GMOE_FC2(gmoe_fc2_bf16, __nv_bfloat16)

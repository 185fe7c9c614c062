// The experts' first layer: hidden = gelu(x W1 + b1), rows of x gathered through the routing, so that no permuted copy of
// the tokens exists.
#pragma once

#include "gmoe.cuh"
#include "tile_product.cuh"

namespace smgeo {

// Exact GELU, x Phi(x) (Hendrycks and Gimpel 2016, eq. 1).
__device__ inline float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

// x [cells * size, channels], weight [experts, channels, width], bias [experts, width] -> hidden [rows, width].
// Grid: tiles of columns, tiles of rows.
template <class T>
__device__ void gmoe_fc1(const T* x, const T* weight, const T* bias, T* hidden, const int* order, const Tile* tiles,
                         int top_k, int size, int channels, int width) {
    __shared__ __align__(128) unsigned char storage[TILE_BYTES];
    const Tile tile = tiles[blockIdx.y];
    if (tile.begin == tile.end) return;
    const int column = blockIdx.x * TILE_COLUMNS;

    TileSource<T> source = {
        {nullptr, nullptr}, weight + static_cast<size_t>(tile.expert) * channels * width, channels, width, column};
    for (int half = 0; half < 2; ++half) {
        const int row = tile.begin + fetched_row(half);
        if (row >= tile.end) continue;
        const int cell = order[row / size] / top_k;
        source.left[half] = x + (static_cast<size_t>(cell) * size + row % size) * channels;
    }
    const float* product = tile_product(storage, source);

    for (int pack = threadIdx.x; pack < TILE_ROWS * TILE_COLUMNS / PACK; pack += TILE_THREADS) {
        const int row = pack / (TILE_COLUMNS / PACK), at = pack % (TILE_COLUMNS / PACK) * PACK;
        if (tile.begin + row >= tile.end || column + at >= width) continue;
        const T* shift = bias + static_cast<size_t>(tile.expert) * width + column + at;
        Pack<T> out;
        for (int i = 0; i < PACK; ++i) {
            out.at[i] = from_float<T>(gelu(product[row * OUT_STRIDE + at + i] + to_float(shift[i])));
        }
        T* to = hidden + static_cast<size_t>(tile.begin + row) * width + column + at;
        *reinterpret_cast<Pack<T>*>(to) = out;
    }
}

}  // namespace smgeo

#define SMGEO_GMOE_FC1(NAME, T)                                                                                      \
    extern "C" __global__ void __launch_bounds__(smgeo::TILE_THREADS)                                                \
        NAME(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias,                      \
             T* __restrict__ hidden, const int* __restrict__ order, const smgeo::Tile* __restrict__ tiles, int top_k, \
             int size, int channels, int width) {                                                                    \
        smgeo::gmoe_fc1<T>(x, weight, bias, hidden, order, tiles, top_k, size, channels, width);                     \
    }
SMGEO_GMOE_FC1(gmoe_fc1_f16, __half)
SMGEO_GMOE_FC1(gmoe_fc1_bf16, __nv_bfloat16)

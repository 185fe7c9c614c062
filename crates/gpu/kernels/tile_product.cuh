// One 64 x 64 tile of `left x right`, rows of `left` picked by the caller: the inside of both grouped products.
//
// Four warps, each 32 x 32 of the tile in four 16 x 16 fragments; operands come in slices of 32 through a ring of three
// in shared memory, so that two slices are on their way while one is multiplied. Slices are padded by 8 elements: rows
// then start in different banks.
#pragma once

#include "element.cuh"

namespace smgeo {

constexpr int TILE_ROWS = 64;
constexpr int TILE_COLUMNS = 64;
constexpr int TILE_DEPTH = 32;
constexpr int TILE_STAGES = 3;
constexpr int TILE_THREADS = 128;

constexpr int LEFT_STRIDE = TILE_DEPTH + PACK;
constexpr int RIGHT_STRIDE = TILE_COLUMNS + PACK;
constexpr int OUT_STRIDE = TILE_COLUMNS + 4;
constexpr int LEFT_SLICE = TILE_ROWS * LEFT_STRIDE;
constexpr int RIGHT_SLICE = TILE_DEPTH * RIGHT_STRIDE;

// Shared memory of a tile, bytes: the ring, and after it, in the same place, the product.
constexpr int TILE_BYTES = TILE_STAGES * (LEFT_SLICE + RIGHT_SLICE) * 2;
static_assert(TILE_BYTES >= TILE_ROWS * OUT_STRIDE * 4, "the product fits where the operands were");

// What a thread of the block fetches of each slice: two packs of `left`, two of `right`.
template <class T>
struct TileSource {
    const T* left[2];  // Rows of `left`; null beyond the tile's last row.
    const T* right;    // [depth, columns], row-major.
    int depth;
    int columns;
    int column;  // First column of the tile.
};

template <class T>
__device__ void fetch_slice(T* shared, const TileSource<T>& source, int slice) {
    T* left = shared + slice % TILE_STAGES * (LEFT_SLICE + RIGHT_SLICE);
    T* right = left + LEFT_SLICE;
    const int thread = threadIdx.x;
    const int depth = slice * TILE_DEPTH;
    for (int half = 0; half < 2; ++half) {
        const int row = thread / 4 + half * 32, at = thread % 4 * PACK;
        const bool valid = source.left[half] != nullptr && depth + at < source.depth;
        const T* from = valid ? source.left[half] + depth + at : source.right;
        copy_async(left + row * LEFT_STRIDE + at, from, valid);
    }
    for (int half = 0; half < 2; ++half) {
        const int row = thread / 8 + half * 16, at = thread % 8 * PACK;
        const bool valid = depth + row < source.depth && source.column + at < source.columns;
        const size_t place = static_cast<size_t>(depth + row) * source.columns + source.column + at;
        copy_async(right + row * RIGHT_STRIDE + at, valid ? source.right + place : source.right, valid);
    }
}

// The row of the tile that half 0 or 1 of this thread's `left` packs belongs to.
__device__ inline int fetched_row(int half) { return threadIdx.x / 4 + half * 32; }

// Leaves the product in shared memory as f32 [TILE_ROWS, OUT_STRIDE] and returns it; ends with a barrier.
template <class T>
__device__ const float* tile_product(unsigned char* storage, const TileSource<T>& source) {
    using namespace nvcuda;
    T* shared = reinterpret_cast<T*>(storage);
    const int warp = threadIdx.x / 32;
    const int row = warp / 2 * 32, column = warp % 2 * 32;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums[2][2];
    for (int i = 0; i < 4; ++i) wmma::fill_fragment(sums[i / 2][i % 2], 0.0f);

    const int slices = ceil_div(source.depth, TILE_DEPTH);
    for (int slice = 0; slice < TILE_STAGES - 1; ++slice) {
        if (slice < slices) fetch_slice(shared, source, slice);
        commit_copies();
    }
    for (int slice = 0; slice < slices; ++slice) {
        wait_copies<TILE_STAGES - 2>();
        // Everyone's copies of this slice have arrived, and everyone is done with the slice that is overwritten next.
        __syncthreads();
        const int ahead = slice + TILE_STAGES - 1;
        if (ahead < slices) fetch_slice(shared, source, ahead);
        commit_copies();
        const T* left = shared + slice % TILE_STAGES * (LEFT_SLICE + RIGHT_SLICE);
        const T* right = left + LEFT_SLICE;
#pragma unroll
        for (int depth = 0; depth < TILE_DEPTH; depth += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> a[2];
            wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::row_major> b[2];
            for (int i = 0; i < 2; ++i) {
                wmma::load_matrix_sync(a[i], left + (row + i * 16) * LEFT_STRIDE + depth, LEFT_STRIDE);
                wmma::load_matrix_sync(b[i], right + depth * RIGHT_STRIDE + column + i * 16, RIGHT_STRIDE);
            }
            for (int i = 0; i < 4; ++i) wmma::mma_sync(sums[i / 2][i % 2], a[i / 2], b[i % 2], sums[i / 2][i % 2]);
        }
    }
    wait_copies<0>();
    __syncthreads();
    float* out = reinterpret_cast<float*>(storage);
    for (int i = 0; i < 4; ++i) {
        float* corner = out + (row + i / 2 * 16) * OUT_STRIDE + column + i % 2 * 16;
        wmma::store_matrix_sync(corner, sums[i / 2][i % 2], OUT_STRIDE, wmma::mem_row_major);
    }
    __syncthreads();
    return out;
}

}  // namespace smgeo

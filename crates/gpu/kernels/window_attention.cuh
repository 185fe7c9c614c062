// Attention in 8 x 8 windows of a map whose tokens stand in Z-order, plain or shifted (Swin, Liu et al. 2021).
//
// One block computes one head of one window: logits, bias, mask, softmax and product never leave shared memory, and the
// shift is an index, so that the two gathers around a shifted block are gone. Four warps have 16 query rows each.
#pragma once

#include "element.cuh"

namespace smgeo {

constexpr int WINDOW = 8;
constexpr int WINDOW_TOKENS = WINDOW * WINDOW;
constexpr int OFFSETS = (2 * WINDOW - 1) * (2 * WINDOW - 1);
constexpr int HEAD_WIDTH_MAX = 32;
constexpr int ATTENTION_THREADS = 128;
constexpr int HEAD_STRIDE = HEAD_WIDTH_MAX + PACK;
constexpr int WEIGHT_STRIDE = WINDOW_TOKENS + PACK;
constexpr int LOGIT_STRIDE = WINDOW_TOKENS + 4;
static_assert(WINDOW_TOKENS * WEIGHT_STRIDE <= 2 * WINDOW_TOKENS * HEAD_STRIDE, "weights fit over queries and keys");

// Added to the logits of tokens that the shift brings together but that are no neighbours.
constexpr float MASKED = -100.0f;

// The bits of `code` at even places, closed up: the row of a Morton code, or its column if shifted right by one.
__device__ inline int even_bits(int code) {
    int value = 0;
    for (int bit = 0; bit < 15; ++bit) value |= (code >> (2 * bit) & 1) << bit;
    return value;
}

// Inverse of `even_bits`.
__device__ inline int spread_bits(int value) {
    int code = 0;
    for (int bit = 0; bit < 15; ++bit) code |= (value >> bit & 1) << (2 * bit);
    return code;
}

// A map of tokens: square blocks row by row, Morton order inside a block.
struct TokenMap {
    int height;
    int width;
    int block;  // Edge of a block; the largest power of two that divides both edges.

    __device__ int row(int index) const {
        const int area = block * block;
        return index / area / (width / block) * block + even_bits(index % area);
    }
    __device__ int column(int index) const {
        const int area = block * block;
        return index / area % (width / block) * block + even_bits(index % area >> 1);
    }
    __device__ int index(int row, int column) const {
        const int before = row / block * (width / block) + column / block;
        return before * block * block + spread_bits(row % block) + 2 * spread_bits(column % block);
    }
};

// Which of Swin's three strips of the rolled map a row or column lies in.
__device__ inline int strip(int at, int length, int shift) {
    return at < length - WINDOW ? 0 : at < length - shift ? 1 : 2;
}

template <class T>
struct AttentionStorage {
    // Queries and keys, and over them the weights once the logits are there.
    T head[3][WINDOW_TOKENS * HEAD_STRIDE];
    float logits[WINDOW_TOKENS * LOGIT_STRIDE];
    float offset_bias[OFFSETS];
    int source[WINDOW_TOKENS];
    int region[WINDOW_TOKENS];
};

// Reads queries, keys and values of this block's head; channels beyond the head's width are zero.
template <class T>
__device__ void read_head(AttentionStorage<T>& shared, const T* qkv, int heads, int head_width) {
    const int packs = HEAD_WIDTH_MAX / PACK;
    for (int i = threadIdx.x; i < 3 * WINDOW_TOKENS * packs; i += ATTENTION_THREADS) {
        const int part = i / (WINDOW_TOKENS * packs), token = i / packs % WINDOW_TOKENS, at = i % packs * PACK;
        const T* row = qkv + static_cast<size_t>(shared.source[token]) * 3 * heads * head_width;
        const bool valid = at < head_width;
        const T* from = valid ? row + (part * heads + blockIdx.y) * head_width + at : qkv;
        copy_async(&shared.head[part][token * HEAD_STRIDE + at], from, valid);
    }
    commit_copies();
    wait_copies<0>();
}

// Logits of the warp's 16 queries with all keys.
template <class T>
__device__ void score(AttentionStorage<T>& shared, int first_row) {
    using namespace nvcuda;
    for (int key = 0; key < WINDOW_TOKENS; key += 16) {
        wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
        wmma::fill_fragment(sum, 0.0f);
        for (int depth = 0; depth < HEAD_WIDTH_MAX; depth += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> query;
            wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> keys;
            wmma::load_matrix_sync(query, &shared.head[0][first_row * HEAD_STRIDE + depth], HEAD_STRIDE);
            wmma::load_matrix_sync(keys, &shared.head[1][key * HEAD_STRIDE + depth], HEAD_STRIDE);
            wmma::mma_sync(sum, query, keys, sum);
        }
        wmma::store_matrix_sync(&shared.logits[first_row * LOGIT_STRIDE + key], sum, LOGIT_STRIDE,
                                wmma::mem_row_major);
    }
}

// Turns half a row of logits into weights that are not yet divided by their sum; two neighbouring lanes have a row.
// Returns the row's sum.
template <class T>
__device__ float soften(AttentionStorage<T>& shared, T* weights, int row, int half, float scale) {
    float* logits = &shared.logits[row * LOGIT_STRIDE];
    const int row_y = even_bits(row), row_x = even_bits(row >> 1);
    float highest = -INFINITY;
    for (int key = half; key < WINDOW_TOKENS; key += 2) {
        const int down = row_y - even_bits(key) + WINDOW - 1, right = row_x - even_bits(key >> 1) + WINDOW - 1;
        float logit = logits[key] * scale + shared.offset_bias[down * (2 * WINDOW - 1) + right];
        if (shared.region[row] != shared.region[key]) logit += MASKED;
        logits[key] = logit;
        highest = fmaxf(highest, logit);
    }
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
    float sum = 0.0f;
    for (int key = half; key < WINDOW_TOKENS; key += 2) {
        const T weight = from_float<T>(expf(logits[key] - highest));
        weights[row * WEIGHT_STRIDE + key] = weight;
        // What is summed is what is multiplied, so that rounding does not move the mean.
        sum += to_float(weight);
    }
    return sum + __shfl_xor_sync(0xffffffffu, sum, 1);
}

// The warp's 16 rows of weights x values, into the place of their logits.
template <class T>
__device__ void mix(AttentionStorage<T>& shared, const T* weights, int first_row) {
    using namespace nvcuda;
    for (int channel = 0; channel < HEAD_WIDTH_MAX; channel += 16) {
        wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
        wmma::fill_fragment(sum, 0.0f);
        for (int key = 0; key < WINDOW_TOKENS; key += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> weight;
            wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::row_major> value;
            wmma::load_matrix_sync(weight, weights + first_row * WEIGHT_STRIDE + key, WEIGHT_STRIDE);
            wmma::load_matrix_sync(value, &shared.head[2][key * HEAD_STRIDE + channel], HEAD_STRIDE);
            wmma::mma_sync(sum, weight, value, sum);
        }
        wmma::store_matrix_sync(&shared.logits[first_row * LOGIT_STRIDE + channel], sum, LOGIT_STRIDE,
                                wmma::mem_row_major);
    }
}

// qkv [images, tokens, 3, heads, head_width], bias f32 [225, heads] or null, read at (query - key) row * 15 + column
// -> out [images, tokens, heads, head_width]. Grid: windows, heads, images.
template <class T>
__device__ void window_attention(const T* qkv, const float* bias, T* out, TokenMap map, int heads, int head_width,
                                 int shift, float scale) {
    __shared__ __align__(128) unsigned char storage[sizeof(AttentionStorage<T>)];
    AttentionStorage<T>& shared = *reinterpret_cast<AttentionStorage<T>*>(storage);
    T* weights = &shared.head[0][0];
    const size_t tokens = static_cast<size_t>(map.height) * map.width;
    qkv += blockIdx.z * tokens * 3 * heads * head_width;
    out += blockIdx.z * tokens * heads * head_width;
    for (int i = threadIdx.x; i < OFFSETS; i += ATTENTION_THREADS) {
        shared.offset_bias[i] = bias == nullptr ? 0.0f : bias[i * heads + blockIdx.y];
    }
    if (threadIdx.x < WINDOW_TOKENS) {
        // A window is 64 neighbours in the Z-order of the rolled map.
        const int place = blockIdx.x * WINDOW_TOKENS + threadIdx.x;
        const int row = map.row(place), column = map.column(place);
        shared.source[threadIdx.x] = map.index((row + shift) % map.height, (column + shift) % map.width);
        shared.region[threadIdx.x] = strip(row, map.height, shift) * 3 + strip(column, map.width, shift);
        if (shift == 0) shared.region[threadIdx.x] = 0;
    }
    __syncthreads();
    read_head(shared, qkv, heads, head_width);
    __syncthreads();

    const int first_row = threadIdx.x / 32 * 16;
    const int row = first_row + threadIdx.x % 32 / 2, half = threadIdx.x % 2;
    score(shared, first_row);
    // Weights go where other warps read queries and keys.
    __syncthreads();
    const float sum = soften(shared, weights, row, half, scale);
    __syncwarp();
    mix(shared, weights, first_row);
    __syncwarp();
    T* to = out + (static_cast<size_t>(shared.source[row]) * heads + blockIdx.y) * head_width;
    for (int at = half * PACK; at < head_width; at += 2 * PACK) {
        Pack<T> packed;
        for (int i = 0; i < PACK; ++i) {
            packed.at[i] = from_float<T>(shared.logits[row * LOGIT_STRIDE + at + i] / sum);
        }
        *reinterpret_cast<Pack<T>*>(to + at) = packed;
    }
}

}  // namespace smgeo

#define SMGEO_WINDOW_ATTENTION(NAME, T)                                                                           \
    extern "C" __global__ void __launch_bounds__(smgeo::ATTENTION_THREADS)                                        \
        NAME(const T* __restrict__ qkv, const float* __restrict__ bias, T* __restrict__ out, int height, int width, \
             int block, int heads, int head_width, int shift, float scale) {                                      \
        const smgeo::TokenMap map = {height, width, block};                                                       \
        smgeo::window_attention<T>(qkv, bias, out, map, heads, head_width, shift, scale);                         \
    }
SMGEO_WINDOW_ATTENTION(window_attention_f16, __half)
SMGEO_WINDOW_ATTENTION(window_attention_bf16, __nv_bfloat16)

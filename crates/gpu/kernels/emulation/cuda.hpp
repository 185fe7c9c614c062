// As much of CUDA as the kernels use, for a host compiler: the same source is tested where no GPU is.
//
// A block's threads are fibers on one host thread; they run one after the other from barrier to barrier, in an order
// that the test chooses, so that a missing barrier shows as an answer that depends on the order. Asynchronous copies happen
// as late as the kernel allows. Matrix fragments are held by lane 0. What this cannot show: races inside of one stretch between
// barriers of different memory, the rounding of tensor cores, speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uchar4 {
    unsigned char x, y, z, w;
};
struct float2 {
    float x, y;
};
inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

extern thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

// Let the other fibers of the block, or of the warp, come to the same place.
void block_barrier();
void warp_barrier();
float exchange(float value, unsigned lane_mask);
void copy_async(void* shared, const void* source, bool valid);
void commit_copies();
void wait_copies(int pending);

// Runs a kernel over a grid; false if threads of a block parted at a barrier or left copies behind.
bool run(void (*kernel)(void*), void* arguments, dim3 grid, unsigned threads, bool backwards);

}  // namespace emulation

inline void __syncthreads() { emulation::block_barrier(); }
inline void __syncwarp() { emulation::warp_barrier(); }
inline float __shfl_xor_sync(unsigned, float value, int mask) { return emulation::exchange(value, mask); }

#if defined(__aarch64__)
typedef __fp16 __half;
#else
typedef _Float16 __half;
#endif
inline float __half2float(__half value) { return static_cast<float>(value); }
inline __half __float2half(float value) { return static_cast<__half>(value); }

// The upper half of an f32, rounded to nearest, ties to even.
struct __nv_bfloat16 {
    uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float out;
    std::memcpy(&out, &bits, sizeof out);
    return out;
}
inline __nv_bfloat16 __float2bfloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (std::isnan(value)) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline float wide(__half value) { return __half2float(value); }
inline float wide(__nv_bfloat16 value) { return __bfloat162float(value); }
inline float wide(float value) { return value; }

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major };

// Row-major, whatever lies in memory.
template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
    float at[16][16];
};

inline bool leads() { return threadIdx.x % 32 == 0; }
template <class Layout>
struct is_column_major {
    static constexpr bool value = false;
};
template <>
struct is_column_major<col_major> {
    static constexpr bool value = true;
};

template <class Fragment>
void fill_fragment(Fragment& fragment, float value) {
    for (auto& row : fragment.at)
        for (float& entry : row) entry = value;
}

// A real load needs what the warp's other lanes wrote before it: they have to have passed a barrier, as on a GPU. It also
// needs 32-byte alignment, which is checked here.
template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& fragment, const T* from, unsigned stride) {
    if (!leads()) return;
    if (reinterpret_cast<uintptr_t>(from) % 32 != 0 || stride * sizeof(T) % 16 != 0) __builtin_trap();
    for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 16; ++column) {
            const bool turned = is_column_major<Layout>::value;
            fragment.at[row][column] = wide(turned ? from[column * stride + row] : from[row * stride + column]);
        }
}

template <class A, class B, class C>
void mma_sync(C& out, const A& a, const B& b, const C& sum) {
    if (!leads()) return;
    C result = sum;
    for (int row = 0; row < 16; ++row)
        for (int depth = 0; depth < 16; ++depth)
            for (int column = 0; column < 16; ++column) result.at[row][column] += a.at[row][depth] * b.at[depth][column];
    out = result;
}

template <class Fragment>
void store_matrix_sync(float* to, const Fragment& fragment, unsigned stride, layout_t) {
    if (!leads()) return;
    if (reinterpret_cast<uintptr_t>(to) % 32 != 0 || stride % 4 != 0) __builtin_trap();
    for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 16; ++column) to[row * stride + column] = fragment.at[row][column];
}

}  // namespace nvcuda::wmma

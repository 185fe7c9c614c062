// The two 16-bit element types, and what all kernels include. Sums are always f32.
#pragma once

#ifdef SMGEO_EMULATION
#include "emulation/cuda.hpp"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
#endif

namespace smgeo {

// Elements of one 16-byte access; rows of all operands are multiples of it.
constexpr int PACK = 8;

template <class T>
struct alignas(16) Pack {
    T at[PACK];
};

__host__ __device__ inline float to_float(__half value) { return __half2float(value); }
__host__ __device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__host__ __device__ T from_float(float value);
template <>
__host__ __device__ inline __half from_float<__half>(float value) {
    return __float2half(value);
}
template <>
__host__ __device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
    return __float2bfloat16(value);
}

__device__ inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Copies 16 bytes to shared memory without passing registers, or zeros where `valid` is false. Complete only after
// `wait_copies`. `source` has to be an address of the operand even where it is not read.
__device__ inline void copy_async(void* shared, const void* source, bool valid) {
#ifdef SMGEO_EMULATION
    emulation::copy_async(shared, source, valid);
#else
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(source), "r"(bytes) : "memory");
#endif
}

// Closes a group of copies; every thread of the block closes equally many.
__device__ inline void commit_copies() {
#ifdef SMGEO_EMULATION
    emulation::commit_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most PENDING of this thread's groups are under way. Other threads' copies need a barrier after it.
template <int PENDING>
__device__ inline void wait_copies() {
#ifdef SMGEO_EMULATION
    emulation::wait_copies(PENDING);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

}  // namespace smgeo

// Launches a kernel from C++: on a stream, or on the host at once.
#pragma once

#include "element.cuh"

#ifdef SMGEO_EMULATION
#include <cuda_runtime_api.h>

#include <tuple>
#endif

namespace smgeo {

// Empty, or what the launch was refused for. Arguments become the kernel's parameters as in any call.
template <class... Parameters, class... Arguments>
const char* launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, cudaStream_t stream,
                   Arguments... arguments) {
#ifdef SMGEO_EMULATION
    struct Call {
        void (*kernel)(Parameters...);
        std::tuple<Parameters...> arguments;
        static void run(void* call) { std::apply(static_cast<Call*>(call)->kernel, static_cast<Call*>(call)->arguments); }
    };
    (void)stream;
    Call call = {kernel, {arguments...}};
    return emulation::run(Call::run, &call, grid, threads, false) ? "" : "threads parted at a barrier";
#else
    kernel<<<grid, threads, 0, stream>>>(arguments...);
    // Takes the error away: a refused launch must not be blamed on the next one.
    const cudaError_t status = cudaGetLastError();
    return status == cudaSuccess ? "" : cudaGetErrorString(status);
#endif
}

}  // namespace smgeo

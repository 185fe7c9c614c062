// What TensorRT's headers need of the CUDA runtime, where the plugin is compiled for the host.
#pragma once

typedef struct CUevent_st* cudaEvent_t;
typedef struct CUstream_st* cudaStream_t;

// All kernels in one module: `nvcc` makes device code of it, `emulation/emulate.cpp` code for the host.
#include "gmoe_combine.cuh"
#include "gmoe_fc1.cuh"
#include "gmoe_fc2.cuh"
#include "gmoe_route.cuh"
#include "preprocess.cuh"
#include "window_attention.cuh"

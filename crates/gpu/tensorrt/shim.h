/* TensorRT behind C functions. TensorRT's interface is C++ objects whose layout differs between its flavours and major
   versions; this file does not. Nothing is linked: the libraries are opened by path, and where they are not, opening says
   so. Functions that can fail return 0 for success, and report why through the log of the library they were given. No exception
   leaves them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define SMGEO_TRT_ABI 2
#define SMGEO_TRT_RANK_MAX 8

typedef struct smgeo_trt_library smgeo_trt_library;
typedef struct smgeo_trt_engine smgeo_trt_engine;
typedef struct smgeo_trt_context smgeo_trt_context;

/* Severity: 0 internal error, 1 error, 2 warning, 3 information, 4 verbose. */
typedef void (*smgeo_trt_log)(void* user, int32_t severity, const char* text);
typedef void (*smgeo_trt_bytes)(void* user, const void* bytes, size_t count);
/* Returns 0 to stop the build. */
typedef int32_t (*smgeo_trt_progress)(void* user, const char* phase, int32_t step, int32_t steps);

/* Smallest, usual and largest extents of an input with open axes. */
typedef struct {
    const char* name;
    int32_t rank;
    int64_t smallest[SMGEO_TRT_RANK_MAX];
    int64_t usual[SMGEO_TRT_RANK_MAX];
    int64_t largest[SMGEO_TRT_RANK_MAX];
} smgeo_trt_profile;

typedef struct {
    const void* onnx;
    size_t onnx_bytes;
    const smgeo_trt_profile* profiles;
    int32_t profile_count;
    /* Compute capability to build for, such as 89; 0: of the GPU in this machine. */
    int32_t sm;
    /* Whether runs will be recorded in a CUDA graph, for which an engine may allocate nothing while it runs. */
    int32_t capturable;
    size_t workspace_bytes_max;
    /* Timings of an earlier build, or null; never used by TensorRT-RTX. */
    const void* timing_cache;
    size_t timing_cache_bytes;
    void* user;
    smgeo_trt_progress progress;
    smgeo_trt_bytes plan;
    smgeo_trt_bytes new_timing_cache;
} smgeo_trt_build_request;

/* Element types as TensorRT numbers them: 0 f32, 1 f16, 3 i32, 5 u8, 7 bf16, 8 i64. */
typedef struct {
    const char* name;
    int32_t is_input;
    int32_t element;
    int32_t rank;
    int64_t extents[SMGEO_TRT_RANK_MAX]; /* -1 where open. */
} smgeo_trt_tensor;

int32_t smgeo_trt_abi(void);
/* Version of the headers this was compiled against, and whether they were TensorRT-RTX's. */
int32_t smgeo_trt_headers_version(void);
int32_t smgeo_trt_is_rtx(void);

/* Opens TensorRT and, where `parser` is not null, its ONNX parser; registers the plugins of this library, which lies at
   `self`. Null if that fails; the log says why. The log has to outlive the library. */
smgeo_trt_library* smgeo_trt_open(const char* library, const char* parser, const char* self, smgeo_trt_log log, void* user);
void smgeo_trt_close(smgeo_trt_library* library);
int32_t smgeo_trt_library_version(const smgeo_trt_library* library);

int32_t smgeo_trt_build(smgeo_trt_library* library, const smgeo_trt_build_request* request);

/* `kernels`: what an earlier run's `smgeo_trt_kernels` gave for this plan, or null. What TensorRT-RTX does not take of it, it compiles
   again; TensorRT has none. */
smgeo_trt_engine* smgeo_trt_load(smgeo_trt_library* library, const void* plan, size_t bytes, const void* kernels,
                                 size_t kernels_bytes);
void smgeo_trt_unload(smgeo_trt_engine* engine);
int32_t smgeo_trt_tensor_count(const smgeo_trt_engine* engine);
int32_t smgeo_trt_tensor_at(const smgeo_trt_engine* engine, int32_t index, smgeo_trt_tensor* tensor);

/* Gives the kernels that TensorRT-RTX compiled so far for this engine; with TensorRT it gives nothing. */
int32_t smgeo_trt_kernels(const smgeo_trt_engine* engine, void* user, smgeo_trt_bytes kernels);

/* TensorRT-RTX compiles kernels for each shape that is run. By default it does so while it runs others, so that results change in
   their last bits and a recorded graph keeps what it was recorded with. Not here: `specialised` compiles before the first run of a
   shape, which waits for it; 0 never does, and runs those for all shapes. A context has no memory until it is given some. */
smgeo_trt_context* smgeo_trt_make_context(smgeo_trt_engine* engine, int32_t specialised);
void smgeo_trt_drop_context(smgeo_trt_context* context);
/* Device memory that a context of this engine works in, bytes. Contexts that never run at the same time can share it. */
int64_t smgeo_trt_memory_bytes(const smgeo_trt_engine* engine);
int32_t smgeo_trt_set_memory(smgeo_trt_context* context, uint64_t address, int64_t bytes);
int32_t smgeo_trt_set_extents(smgeo_trt_context* context, const char* input, const int64_t* extents, int32_t rank);
/* Extents of a tensor for the inputs set; -1 where they are not known yet. Returns the rank, or -1. */
int32_t smgeo_trt_extents(const smgeo_trt_context* context, const char* tensor, int64_t* extents);
int32_t smgeo_trt_set_address(smgeo_trt_context* context, const char* tensor, uint64_t address);
/* Launches on the stream and returns. */
int32_t smgeo_trt_enqueue(smgeo_trt_context* context, uint64_t stream);
/* Whether that can be recorded in a CUDA graph, with the extents and addresses set. */
int32_t smgeo_trt_is_capturable(const smgeo_trt_context* context, uint64_t stream);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

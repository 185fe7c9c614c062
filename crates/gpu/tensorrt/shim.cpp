// TensorRT behind C functions; see shim.h. Compiled once against the headers of each flavour.
#include "shim.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <dlfcn.h>

#include <memory>
#include <string>

#include "callbacks.hpp"

namespace {

using namespace nvinfer1;

// A library of the system's loader, or nothing and a line in the log.
void* open_library(const char* path, Log& log) {
    void* handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (handle == nullptr) log.error(std::string("cannot open ") + path + ": " + dlerror());
    return handle;
}

template <class F>
F* find(void* handle, const char* name, Log& log) {
    void* found = handle == nullptr ? nullptr : dlsym(handle, name);
    if (found == nullptr) log.error(std::string("the library has no function ") + name);
    return reinterpret_cast<F*>(found);
}

Dims dims_of(const int64_t* extents, int32_t rank) {
    Dims dims = {};
    dims.nbDims = rank;
    for (int32_t axis = 0; axis < rank; ++axis) dims.d[axis] = extents[axis];
    return dims;
}

void log_errors(const nvonnxparser::IParser& parser, Log& log) {
    for (int32_t i = 0; i < parser.getNbErrors(); ++i) {
        const nvonnxparser::IParserError& error = *parser.getError(i);
        const char* node = error.nodeName() == nullptr ? "?" : error.nodeName();
        log.error(std::string("the ONNX parser stops at ") + node + ": " + error.desc());
    }
}

}  // namespace

struct smgeo_trt_library {
    Log log;
    void* handle = nullptr;
    void* parser_handle = nullptr;
    void* (*create_builder)(void*, int32_t) noexcept = nullptr;
    void* (*create_runtime)(void*, int32_t) noexcept = nullptr;
    void* (*create_parser)(void*, void*, int) noexcept = nullptr;
    IPluginRegistry* registry = nullptr;
    IPluginRegistry::PluginLibraryHandle plugins = nullptr;
    int32_t version = 0;

    bool open(const char* library, const char* parser, const char* self);
    bool configure(const smgeo_trt_build_request& request, IBuilder& builder, IBuilderConfig& config);
    int32_t build(const smgeo_trt_build_request& request);
};

// Members are freed from the last to the first.
struct smgeo_trt_engine {
    smgeo_trt_library* library = nullptr;
    std::unique_ptr<IRuntime> runtime;
    std::unique_ptr<ICudaEngine> engine;
#ifdef SMGEO_TRT_RTX
    std::unique_ptr<IRuntimeCache> kernels;
#endif

    void keep_kernels(const void* kernels, size_t bytes);
};

struct smgeo_trt_context {
    Log* log = nullptr;
#ifdef SMGEO_TRT_RTX
    std::unique_ptr<IRuntimeConfig> config;
#endif
    std::unique_ptr<IExecutionContext> context;
};

bool smgeo_trt_library::open(const char* library, const char* parser, const char* self) {
    handle = open_library(library, log);
    if (handle == nullptr) return false;
    auto get_version = find<int32_t() noexcept>(handle, "getInferLibVersion", log);
    auto get_registry = find<IPluginRegistry*() noexcept>(handle, "getPluginRegistry", log);
    create_runtime = find<void*(void*, int32_t) noexcept>(handle, "createInferRuntime_INTERNAL", log);
    if (get_version == nullptr || get_registry == nullptr || create_runtime == nullptr) return false;
    version = get_version();
    // The layout of TensorRT's objects holds within a major version.
    const int32_t major = version / 10000;
    if (major != NV_TENSORRT_MAJOR) {
        log.error("the library is of version " + std::to_string(major) + ", this was compiled for version " +
                  std::to_string(NV_TENSORRT_MAJOR) + "; build it again with TENSORRT_INCLUDE set to the library's headers");
        return false;
    }
    if (parser != nullptr) {
        create_builder = find<void*(void*, int32_t) noexcept>(handle, "createInferBuilder_INTERNAL", log);
        parser_handle = open_library(parser, log);
        create_parser = find<void*(void*, void*, int) noexcept>(parser_handle, "createNvOnnxParser_INTERNAL", log);
        if (create_builder == nullptr || create_parser == nullptr) return false;
    }
    registry = get_registry();
    if (registry == nullptr) {
        log.error("the library gives no registry of plugins");
        return false;
    }
    plugins = registry->loadLibrary(self);
    if (plugins == nullptr) log.error(std::string("the plugins of ") + self + " cannot be registered");
    return plugins != nullptr;
}

bool smgeo_trt_library::configure(const smgeo_trt_build_request& request, IBuilder& builder, IBuilderConfig& config) {
    // What is typed f32 is to be computed in f32: TF32 has 10 bits of mantissa and is on by itself.
    config.clearFlag(BuilderFlag::kTF32);
    if (request.workspace_bytes_max > 0) {
        config.setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, request.workspace_bytes_max);
    }
#ifdef SMGEO_TRT_RTX
    const auto capability = request.sm == 0 ? ComputeCapability::kCURRENT : static_cast<ComputeCapability>(request.sm);
    if (!config.setNbComputeCapabilities(1) || !config.setComputeCapability(capability, 0)) {
        log.error("this TensorRT-RTX does not build for sm_" + std::to_string(request.sm));
        return false;
    }
    if (request.capturable != 0) config.setFlag(BuilderFlag::kREQUIRE_USER_ALLOCATION);
#else
    if (request.sm != 0) {
        log.error("TensorRT builds for the GPU of the machine it runs on; leave the target to that machine");
        return false;
    }
#endif
    if (request.profile_count == 0) return true;
    IOptimizationProfile* profile = builder.createOptimizationProfile();
    for (int32_t i = 0; i < request.profile_count; ++i) {
        const smgeo_trt_profile& input = request.profiles[i];
        const bool set = profile->setDimensions(input.name, OptProfileSelector::kMIN, dims_of(input.smallest, input.rank)) &&
                         profile->setDimensions(input.name, OptProfileSelector::kOPT, dims_of(input.usual, input.rank)) &&
                         profile->setDimensions(input.name, OptProfileSelector::kMAX, dims_of(input.largest, input.rank));
        if (!set) {
            log.error(std::string("the extents of the input ") + input.name + " are refused");
            return false;
        }
    }
    return config.addOptimizationProfile(profile) >= 0;
}

int32_t smgeo_trt_abi(void) { return SMGEO_TRT_ABI; }

int32_t smgeo_trt_headers_version(void) { return NV_TENSORRT_VERSION; }

int32_t smgeo_trt_is_rtx(void) {
#ifdef SMGEO_TRT_RTX
    return 1;
#else
    return 0;
#endif
}

smgeo_trt_library* smgeo_trt_open(const char* library, const char* parser, const char* self, smgeo_trt_log log, void* user) {
    Log first(log, user);
    return guarded<smgeo_trt_library*>(first, nullptr, [&]() -> smgeo_trt_library* {
        std::unique_ptr<smgeo_trt_library> opened(new smgeo_trt_library{Log(log, user)});
        return opened->open(library, parser, self) ? opened.release() : nullptr;
    });
}

// The libraries stay open: TensorRT's threads and CUDA's may still be in them.
void smgeo_trt_close(smgeo_trt_library* library) {
    if (library != nullptr && library->plugins != nullptr) library->registry->deregisterLibrary(library->plugins);
    delete library;
}

int32_t smgeo_trt_library_version(const smgeo_trt_library* library) { return library->version; }

int32_t smgeo_trt_library::build(const smgeo_trt_build_request& request) {
    if (create_builder == nullptr) {
        log.error("the library was opened without its ONNX parser");
        return 1;
    }
    std::unique_ptr<IBuilder> builder(static_cast<IBuilder*>(create_builder(&log, NV_TENSORRT_VERSION)));
    if (!builder) return 1;
#if defined(SMGEO_TRT_RTX) || NV_TENSORRT_MAJOR >= 11
    const uint32_t flags = 0;  // Every network is strongly typed.
#else
    const uint32_t flags = 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#endif
    std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(flags));
    std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
    if (!network || !config) return 1;
    std::unique_ptr<nvonnxparser::IParser> parser(
        static_cast<nvonnxparser::IParser*>(create_parser(network.get(), &log, NV_ONNX_PARSER_VERSION)));
    if (!parser) return 1;
    if (!parser->parse(request.onnx, request.onnx_bytes)) {
        log_errors(*parser, log);
        return 1;
    }
    if (!configure(request, *builder, *config)) return 1;
    Progress progress(request);
    config->setProgressMonitor(&progress);
#ifndef SMGEO_TRT_RTX
    std::unique_ptr<ITimingCache> cache;
    if (request.timing_cache_bytes > 0) {
        cache.reset(config->createTimingCache(request.timing_cache, request.timing_cache_bytes));
    }
    // None yet, or one of another version, which is not taken: the next build has what this one measures.
    if (!cache) cache.reset(config->createTimingCache(nullptr, 0));
    if (cache) config->setTimingCache(*cache, false);
#endif
    std::unique_ptr<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
#ifdef SMGEO_TRT_RTX
    // A network that cannot do without allocating still runs, only not from a CUDA graph.
    if (!plan && request.capturable != 0) {
        config->clearFlag(BuilderFlag::kREQUIRE_USER_ALLOCATION);
        plan.reset(builder->buildSerializedNetwork(*network, *config));
    }
#endif
    if (!plan) return 1;
    request.plan(request.user, plan->data(), plan->size());
#ifndef SMGEO_TRT_RTX
    if (cache) {
        std::unique_ptr<IHostMemory> timings(cache->serialize());
        if (timings) request.new_timing_cache(request.user, timings->data(), timings->size());
    }
#endif
    return 0;
}

int32_t smgeo_trt_build(smgeo_trt_library* library, const smgeo_trt_build_request* request) {
    return guarded(library->log, 1, [&] { return library->build(*request); });
}

// A cache that is refused leaves an empty one.
void smgeo_trt_engine::keep_kernels(const void* bytes, size_t count) {
#ifdef SMGEO_TRT_RTX
    std::unique_ptr<IRuntimeConfig> config(engine->createRuntimeConfig());
    if (config) kernels.reset(config->createRuntimeCache());
    if (kernels && count > 0 && !kernels->deserialize(bytes, count) && config) kernels.reset(config->createRuntimeCache());
#else
    (void)bytes, (void)count;
#endif
}

smgeo_trt_engine* smgeo_trt_load(smgeo_trt_library* library, const void* plan, size_t bytes, const void* kernels,
                                 size_t kernels_bytes) {
    return guarded<smgeo_trt_engine*>(library->log, nullptr, [&]() -> smgeo_trt_engine* {
        auto loaded = std::make_unique<smgeo_trt_engine>();
        loaded->library = library;
        loaded->runtime.reset(static_cast<IRuntime*>(library->create_runtime(&library->log, NV_TENSORRT_VERSION)));
        if (!loaded->runtime) return nullptr;
        loaded->engine.reset(loaded->runtime->deserializeCudaEngine(plan, bytes));
        if (!loaded->engine) return nullptr;
        loaded->keep_kernels(kernels, kernels_bytes);
        return loaded.release();
    });
}

void smgeo_trt_unload(smgeo_trt_engine* engine) { delete engine; }

int32_t smgeo_trt_tensor_count(const smgeo_trt_engine* engine) { return engine->engine->getNbIOTensors(); }

int32_t smgeo_trt_tensor_at(const smgeo_trt_engine* engine, int32_t index, smgeo_trt_tensor* tensor) {
    const char* name = engine->engine->getIOTensorName(index);
    if (name == nullptr) return 1;
    const Dims dims = engine->engine->getTensorShape(name);
    if (dims.nbDims < 0) return 1;
    tensor->name = name;
    tensor->is_input = engine->engine->getTensorIOMode(name) == TensorIOMode::kINPUT;
    tensor->element = static_cast<int32_t>(engine->engine->getTensorDataType(name));
    tensor->rank = dims.nbDims;
    for (int32_t axis = 0; axis < dims.nbDims; ++axis) tensor->extents[axis] = dims.d[axis];
    return 0;
}

int32_t smgeo_trt_kernels(const smgeo_trt_engine* engine, void* user, smgeo_trt_bytes kernels) {
#ifdef SMGEO_TRT_RTX
    return guarded(engine->library->log, 1, [&] {
        if (!engine->kernels) return 0;
        std::unique_ptr<IHostMemory> bytes(engine->kernels->serialize());
        if (!bytes) return 1;
        kernels(user, bytes->data(), bytes->size());
        return 0;
    });
#else
    (void)engine, (void)user, (void)kernels;
    return 0;
#endif
}

smgeo_trt_context* smgeo_trt_make_context(smgeo_trt_engine* engine, int32_t specialised) {
    Log& log = engine->library->log;
    return guarded<smgeo_trt_context*>(log, nullptr, [&]() -> smgeo_trt_context* {
        auto made = std::make_unique<smgeo_trt_context>();
        made->log = &log;
#ifdef SMGEO_TRT_RTX
        made->config.reset(engine->engine->createRuntimeConfig());
        if (!made->config) return nullptr;
        using Strategy = DynamicShapesKernelSpecializationStrategy;
        made->config->setDynamicShapesKernelSpecializationStrategy(specialised != 0 ? Strategy::kEAGER : Strategy::kNONE);
        made->config->setExecutionContextAllocationStrategy(ExecutionContextAllocationStrategy::kUSER_MANAGED);
        if (engine->kernels) made->config->setRuntimeCache(*engine->kernels);
        made->context.reset(engine->engine->createExecutionContext(made->config.get()));
#else
        (void)specialised;
        made->context.reset(engine->engine->createExecutionContext(ExecutionContextAllocationStrategy::kUSER_MANAGED));
#endif
        return made->context ? made.release() : nullptr;
    });
}

void smgeo_trt_drop_context(smgeo_trt_context* context) { delete context; }

int64_t smgeo_trt_memory_bytes(const smgeo_trt_engine* engine) { return engine->engine->getDeviceMemorySizeV2(); }

int32_t smgeo_trt_set_memory(smgeo_trt_context* context, uint64_t address, int64_t bytes) {
    return guarded(*context->log, 1, [&] {
        context->context->setDeviceMemoryV2(reinterpret_cast<void*>(address), bytes);
        return 0;
    });
}

int32_t smgeo_trt_set_extents(smgeo_trt_context* context, const char* input, const int64_t* extents, int32_t rank) {
    if (rank < 0 || rank > SMGEO_TRT_RANK_MAX) return 1;
    return guarded(*context->log, 1, [&] { return context->context->setInputShape(input, dims_of(extents, rank)) ? 0 : 1; });
}

int32_t smgeo_trt_extents(const smgeo_trt_context* context, const char* tensor, int64_t* extents) {
    const Dims dims = context->context->getTensorShape(tensor);
    for (int32_t axis = 0; axis < dims.nbDims; ++axis) extents[axis] = dims.d[axis];
    return dims.nbDims;
}

int32_t smgeo_trt_set_address(smgeo_trt_context* context, const char* tensor, uint64_t address) {
    return context->context->setTensorAddress(tensor, reinterpret_cast<void*>(address)) ? 0 : 1;
}

int32_t smgeo_trt_enqueue(smgeo_trt_context* context, uint64_t stream) {
    const auto handle = reinterpret_cast<cudaStream_t>(stream);
    return guarded(*context->log, 1, [&] { return context->context->enqueueV3(handle) ? 0 : 1; });
}

int32_t smgeo_trt_is_capturable(const smgeo_trt_context* context, uint64_t stream) {
#ifdef SMGEO_TRT_RTX
    return context->context->isStreamCapturable(reinterpret_cast<cudaStream_t>(stream));
#else
    (void)context, (void)stream;
    return 1;
#endif
}

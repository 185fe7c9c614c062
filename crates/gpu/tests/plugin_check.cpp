// Asks the plugin what TensorRT would ask it, without TensorRT and without a GPU. Usage: plugin_check LIBRARY
#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>

using namespace nvinfer1;

static int failures = 0;
static std::string complaint;

static void check(bool holds, const char* what) {
    std::printf("%s  %s\n", holds ? "holds" : "FAILS", what);
    failures += !holds;
}

struct Log : ILogger {
    void log(Severity, const char* text) noexcept override { complaint = text; }
} log_of_complaints;

struct Finder : ILoggerFinder {
    ILogger* findLogger() override { return &log_of_complaints; }
} finder;

// Six inputs and the output of a mixture of 4 cells of 16 tokens: 64 channels, 6 experts, width 128.
struct Tensors {
    DynamicPluginTensorDesc at[7] = {};

    explicit Tensors(DataType type) {
        const std::initializer_list<int64_t> shapes[7] = {{4, 16, 64}, {4, 6},      {6, 64, 128}, {6, 128},
                                                          {6, 128, 64}, {6, 64}, {4, 16, 64}};
        for (int i = 0; i < 7; ++i) {
            Dims dims = {};
            for (int64_t extent : shapes[i]) dims.d[dims.nbDims++] = extent;
            at[i].desc.dims = at[i].min = at[i].max = at[i].opt = dims;
            at[i].desc.format = TensorFormat::kLINEAR;
            at[i].desc.type = i == 1 ? DataType::kFLOAT : type;
        }
    }

    bool supported(IPluginV3OneBuild& build) {
        for (int i = 0; i < 7; ++i) {
            if (!build.supportsFormatCombination(i, at, 6, 1)) return false;
        }
        return true;
    }
};

static IPluginV3* create(IPluginCreatorV3One& creator, PluginField field) {
    const PluginFieldCollection fields = {1, &field};
    return creator.createPlugin("test", &fields, TensorRTPhase::kBUILD);
}

static void check_formats(IPluginV3OneBuild& build) {
    check(Tensors(DataType::kHALF).supported(build), "f16 is taken");
    check(Tensors(DataType::kBF16).supported(build), "bf16 is taken");
    check(!Tensors(DataType::kFLOAT).supported(build), "f32 operands are refused");
    Tensors mixed(DataType::kHALF);
    mixed.at[4].desc.type = DataType::kBF16;
    check(!mixed.supported(build), "weights of another type are refused");
    Tensors narrow(DataType::kHALF);
    narrow.at[1].desc.type = DataType::kHALF;
    check(!narrow.supported(build), "f16 logits are refused");
    Tensors blocked(DataType::kHALF);
    blocked.at[0].desc.format = TensorFormat::kCHW4;
    check(!blocked.supported(build), "another layout is refused");
}

static void check_shapes(IPluginV3OneBuild& build) {
    Tensors tensors(DataType::kHALF);
    check(build.configurePlugin(tensors.at, 6, tensors.at + 6, 1) == 0, "shapes that belong together are taken");
    // 8 slots: order, place, gate (256 each), 8 tiles of 16 (256), hidden 128 x 128 x 2, mixed 128 x 64 x 2.
    const size_t bytes = build.getWorkspaceSize(tensors.at, 6, tensors.at + 6, 1);
    check(bytes == 4 * 256 + 128 * 128 * 2 + 128 * 64 * 2, "the workspace holds what lies between the kernels");
    DataType types[6], out;
    for (int i = 0; i < 6; ++i) types[i] = tensors.at[i].desc.type;
    check(build.getOutputDataTypes(&out, 1, types, 6) == 0 && out == DataType::kHALF, "the output has the type of x");

    struct Wrong {
        int input, axis;
        int64_t extent;
        const char* words;
    };
    for (const Wrong& wrong : {Wrong{5, 1, 72, "do not belong together"}, Wrong{1, 1, 5, "do not belong together"},
                               Wrong{0, 0, 0, "do not belong together"}}) {
        Tensors changed(DataType::kHALF);
        changed.at[wrong.input].max.d[wrong.axis] = wrong.extent;
        complaint.clear();
        const bool refused = build.configurePlugin(changed.at, 6, changed.at + 6, 1) != 0;
        check(refused && complaint.find(wrong.words) != std::string::npos, "shapes that do not belong together are refused");
    }
    Tensors odd(DataType::kHALF);
    odd.at[0].max.d[2] = odd.at[2].max.d[1] = odd.at[4].max.d[2] = odd.at[5].max.d[1] = 60;
    check(build.configurePlugin(odd.at, 6, odd.at + 6, 1) != 0 && complaint.find("multiples of 8") != std::string::npos,
          "60 channels are refused");
}

int main(int count, char** arguments) {
    void* library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : nullptr;
    if (library == nullptr) return std::printf("cannot open the library: %s\n", dlerror()), 2;
    auto creators = reinterpret_cast<IPluginCreatorInterface* const* (*)(int32_t&)>(dlsym(library, "getCreators"));
    auto set_finder = reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"));
    if (creators == nullptr || set_finder == nullptr) return std::printf("the library has no plugins\n"), 2;
    set_finder(&finder);
    int32_t creator_count = 0;
    auto& creator = *static_cast<IPluginCreatorV3One*>(creators(creator_count)[0]);
    check(creator_count == 1 && std::strcmp(creator.getPluginName(), "GMoE") == 0, "the library has the plugin GMoE");
    check(std::strcmp(creator.getPluginNamespace(), "smgeo") == 0, "its domain is smgeo");

    const int64_t wide = 2;
    const int32_t narrow = 2, too_many = 7;
    check(create(creator, PluginField("other", &narrow, PluginFieldType::kINT32, 1)) == nullptr, "top_k is asked for");
    std::unique_ptr<IPluginV3> made(create(creator, PluginField("top_k", &wide, PluginFieldType::kINT64, 1)));
    check(made != nullptr, "top_k may be 64 bits wide, as ONNX has it");
    if (made == nullptr) return 1;
    std::unique_ptr<IPluginV3> copy(made->clone());
    auto& build = *static_cast<IPluginV3OneBuild*>(copy->getCapabilityInterface(PluginCapabilityType::kBUILD));
    auto& runtime = *static_cast<IPluginV3OneRuntime*>(copy->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    made.reset();
    check_formats(build);
    check_shapes(build);

    const PluginFieldCollection* kept = runtime.getFieldsToSerialize();
    const bool is_whole = kept->nbFields == 1 && std::strcmp(kept->fields[0].name, "top_k") == 0 &&
                          *static_cast<const int32_t*>(kept->fields[0].data) == 2;
    check(is_whole, "a copy serialises what it was made with");
    std::unique_ptr<IPluginV3> again(creator.createPlugin("test", kept, TensorRTPhase::kRUNTIME));
    check(again != nullptr, "what was serialised makes a plugin");
    std::unique_ptr<IPluginV3> greedy(create(creator, PluginField("top_k", &too_many, PluginFieldType::kINT32, 1)));
    auto& greedy_build = *static_cast<IPluginV3OneBuild*>(greedy->getCapabilityInterface(PluginCapabilityType::kBUILD));
    Tensors tensors(DataType::kHALF);
    check(greedy_build.configurePlugin(tensors.at, 6, tensors.at + 6, 1) != 0, "more experts than there are is refused");
    return failures == 0 ? 0 : 1;
}

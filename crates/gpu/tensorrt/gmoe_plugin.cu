// The plugin for nodes `smgeo::GMoE`: the four kernels of the mixture of experts inside of a TensorRT engine.
//
// Inputs: x [cells, size, channels], logits f32 [cells, experts], W1 [experts, channels, width], b1 [experts, width],
// W2 [experts, width, channels], b2 [experts, channels]; output as x. Weights are inputs, so they lie in the plan and are
// refit like any other. x, weights and output are all f16 or all bf16, linear. Attribute: `top_k`.
#include <NvInferRuntime.h>

#include <cstring>
#include <string>

#include "../kernels/gmoe_combine.cuh"
#include "../kernels/gmoe_fc1.cuh"
#include "../kernels/gmoe_fc2.cuh"
#include "../kernels/gmoe_route.cuh"
#include "../kernels/launch.cuh"

namespace {

using namespace nvinfer1;

enum Input { X, LOGITS, WEIGHT1, BIAS1, WEIGHT2, BIAS2, INPUTS };

ILoggerFinder* logger_finder = nullptr;

void complain(const std::string& problem) {
    ILogger* logger = logger_finder == nullptr ? nullptr : logger_finder->findLogger();
    if (logger != nullptr) logger->log(ILogger::Severity::kERROR, ("smgeo::GMoE: " + problem).c_str());
}

// The numbers of a mixture, and the rules that its kernels rely on.
struct Shape {
    int64_t cells, size, experts, top_k, channels, width;

    static Shape of(const Dims* dims, int64_t top_k) {
        return {dims[X].d[0], dims[X].d[1], dims[WEIGHT1].d[0], top_k, dims[X].d[2], dims[WEIGHT1].d[2]};
    }

    int64_t rows() const { return cells * top_k * size; }
    int64_t tiles() const { return (rows() + smgeo::TILE_ROWS - 1) / smgeo::TILE_ROWS + experts; }

    // Empty, or what is wrong.
    std::string problem(const Dims* dims) const {
        const int64_t ranks[INPUTS] = {3, 2, 3, 2, 3, 2};
        for (int input = 0; input < INPUTS; ++input) {
            if (dims[input].nbDims != ranks[input]) return "input " + std::to_string(input) + " has the wrong rank";
        }
        const bool agree = dims[LOGITS].d[0] == cells && dims[LOGITS].d[1] == experts && dims[WEIGHT1].d[1] == channels &&
                           dims[BIAS1].d[0] == experts && dims[BIAS1].d[1] == width && dims[WEIGHT2].d[0] == experts &&
                           dims[WEIGHT2].d[1] == width && dims[WEIGHT2].d[2] == channels &&
                           dims[BIAS2].d[0] == experts && dims[BIAS2].d[1] == channels;
        if (!agree) return "the shapes of the inputs do not belong together";
        if (cells < 1 || size < 1) return "there are no cells";
        if (experts < 1 || experts > smgeo::EXPERTS_MAX) return "there have to be 1 to 16 experts";
        if (top_k < 1 || top_k > experts) return "top_k has to be 1 to the number of experts";
        if (channels < 1 || channels % smgeo::PACK || width < 1 || width % smgeo::PACK) {
            return "channels and width have to be multiples of 8";
        }
        if (tiles() > 65535) return "there are too many tokens for one launch; make the batch smaller";
        return "";
    }
};

// The parts of the workspace, each on a 256-byte line.
struct Parts {
    size_t order, place, gate, tiles, hidden, mixed, bytes;

    explicit Parts(const Shape& shape) {
        size_t end = 0;
        auto part = [&end](int64_t count, size_t each) {
            const size_t start = end;
            end += (count * each + 255) / 256 * 256;
            return start;
        };
        const int64_t slots = shape.cells * shape.top_k;
        order = part(slots, sizeof(int));
        place = part(slots, sizeof(int));
        gate = part(slots, sizeof(float));
        tiles = part(shape.tiles(), sizeof(smgeo::Tile));
        hidden = part(shape.rows() * shape.width, 2);
        mixed = part(shape.rows() * shape.channels, 2);
        bytes = end;
    }
};

template <class T>
struct Kernels;
template <>
struct Kernels<__half> {
    static constexpr auto fc1 = gmoe_fc1_f16;
    static constexpr auto fc2 = gmoe_fc2_f16;
    static constexpr auto combine = gmoe_combine_f16;
};
template <>
struct Kernels<__nv_bfloat16> {
    static constexpr auto fc1 = gmoe_fc1_bf16;
    static constexpr auto fc2 = gmoe_fc2_bf16;
    static constexpr auto combine = gmoe_combine_bf16;
};

// Launches the four kernels; empty, or what a launch was refused for.
template <class T>
std::string launch_all(const Shape& s, void const* const* inputs, void* output, char* workspace, cudaStream_t stream) {
    const Parts parts(s);
    int* order = reinterpret_cast<int*>(workspace + parts.order);
    int* place = reinterpret_cast<int*>(workspace + parts.place);
    float* gate = reinterpret_cast<float*>(workspace + parts.gate);
    smgeo::Tile* tiles = reinterpret_cast<smgeo::Tile*>(workspace + parts.tiles);
    T* hidden = reinterpret_cast<T*>(workspace + parts.hidden);
    T* mixed = reinterpret_cast<T*>(workspace + parts.mixed);
    auto operand = [inputs](Input input) { return static_cast<const T*>(inputs[input]); };
    const int cells = s.cells, size = s.size, experts = s.experts, top_k = s.top_k, channels = s.channels, width = s.width;
    const unsigned rows = s.tiles();
    auto columns = [](int numbers) { return static_cast<unsigned>((numbers + 63) / 64); };

    std::string problem =
        smgeo::launch(gmoe_route, 1, smgeo::ROUTE_THREADS, stream, static_cast<const float*>(inputs[LOGITS]), order, place,
                      gate, tiles, cells, experts, top_k, size, static_cast<int>(rows));
    if (problem.empty()) {
        problem = smgeo::launch(Kernels<T>::fc1, dim3(columns(width), rows), smgeo::TILE_THREADS, stream, operand(X),
                                operand(WEIGHT1), operand(BIAS1), hidden, order, tiles, top_k, size, channels, width);
    }
    if (problem.empty()) {
        problem = smgeo::launch(Kernels<T>::fc2, dim3(columns(channels), rows), smgeo::TILE_THREADS, stream, hidden,
                                operand(WEIGHT2), operand(BIAS2), gate, mixed, order, tiles, size, width, channels);
    }
    if (problem.empty()) {
        const int64_t packs = s.cells * s.size * s.channels / smgeo::PACK;
        const unsigned blocks = (packs + smgeo::COMBINE_THREADS - 1) / smgeo::COMBINE_THREADS;
        problem = smgeo::launch(Kernels<T>::combine, blocks, smgeo::COMBINE_THREADS, stream, mixed, nullptr,
                                static_cast<T*>(output), place, cells, top_k, size, channels);
    }
    return problem;
}

class Gmoe : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
public:
    explicit Gmoe(int32_t top_k) : top_k_(top_k) {
        field_ = PluginField("top_k", &top_k_, PluginFieldType::kINT32, 1);
        fields_ = {1, &field_};
    }

    IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
        switch (type) {
            case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
            case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
            case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }
    IPluginV3* clone() noexcept override { return new Gmoe(top_k_); }

    const char* getPluginName() const noexcept override { return "GMoE"; }
    const char* getPluginVersion() const noexcept override { return "1"; }
    const char* getPluginNamespace() const noexcept override { return "smgeo"; }

    int32_t getNbOutputs() const noexcept override { return 1; }

    int32_t getOutputDataTypes(DataType* outputs, int32_t, const DataType* inputs, int32_t) const noexcept override {
        outputs[0] = inputs[X];
        return 0;
    }

    int32_t getOutputShapes(const DimsExprs* inputs, int32_t count, const DimsExprs*, int32_t, DimsExprs* outputs,
                            int32_t, IExprBuilder&) noexcept override {
        if (count != INPUTS) {
            complain(std::to_string(count) + " inputs are given, 6 are needed");
            return -1;
        }
        outputs[0] = inputs[X];
        return 0;
    }

    bool supportsFormatCombination(int32_t at, const DynamicPluginTensorDesc* tensors, int32_t,
                                   int32_t) noexcept override {
        const PluginTensorDesc& tensor = tensors[at].desc;
        if (tensor.format != TensorFormat::kLINEAR) return false;
        if (at == LOGITS) return tensor.type == DataType::kFLOAT;
        if (at == X) return tensor.type == DataType::kHALF || tensor.type == DataType::kBF16;
        return tensor.type == tensors[X].desc.type;
    }

    int32_t configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t, const DynamicPluginTensorDesc*,
                            int32_t) noexcept override {
        Dims largest[INPUTS];
        for (int input = 0; input < INPUTS; ++input) largest[input] = inputs[input].max;
        return accept(largest);
    }

    size_t getWorkspaceSize(const DynamicPluginTensorDesc* inputs, int32_t, const DynamicPluginTensorDesc*,
                            int32_t) const noexcept override {
        Dims largest[INPUTS];
        for (int input = 0; input < INPUTS; ++input) largest[input] = inputs[input].max;
        return Parts(Shape::of(largest, top_k_)).bytes;
    }

    int32_t onShapeChange(const PluginTensorDesc* inputs, int32_t, const PluginTensorDesc*, int32_t) noexcept override {
        Dims now[INPUTS];
        for (int input = 0; input < INPUTS; ++input) now[input] = inputs[input].dims;
        return accept(now);
    }

    int32_t enqueue(const PluginTensorDesc* descriptions, const PluginTensorDesc*, void const* const* inputs,
                    void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
        Dims now[INPUTS];
        for (int input = 0; input < INPUTS; ++input) now[input] = descriptions[input].dims;
        const Shape shape = Shape::of(now, top_k_);
        char* scratch = static_cast<char*>(workspace);
        const bool is_half = descriptions[X].type == DataType::kHALF;
        const std::string problem = is_half ? launch_all<__half>(shape, inputs, outputs[0], scratch, stream)
                                            : launch_all<__nv_bfloat16>(shape, inputs, outputs[0], scratch, stream);
        if (!problem.empty()) complain(problem);
        return problem.empty() ? 0 : -1;
    }

    IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
    const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &fields_; }

private:
    int32_t accept(const Dims* dims) const {
        const std::string problem = Shape::of(dims, top_k_).problem(dims);
        if (!problem.empty()) complain(problem);
        return problem.empty() ? 0 : -1;
    }

    int32_t top_k_;
    PluginField field_;
    PluginFieldCollection fields_;
};

class Creator : public IPluginCreatorV3One {
public:
    explicit Creator(const char* name_space) : namespace_(name_space) {}

    IPluginV3* createPlugin(const char*, const PluginFieldCollection* fields, TensorRTPhase) noexcept override {
        for (int i = 0; i < fields->nbFields; ++i) {
            const PluginField& field = fields->fields[i];
            if (std::strcmp(field.name, "top_k") != 0 || field.data == nullptr) continue;
            if (field.type == PluginFieldType::kINT32) return new Gmoe(*static_cast<const int32_t*>(field.data));
            if (field.type == PluginFieldType::kINT64) return new Gmoe(*static_cast<const int64_t*>(field.data));
        }
        complain("the attribute top_k is missing or no integer");
        return nullptr;
    }
    const PluginFieldCollection* getFieldNames() noexcept override { return &names_; }
    const char* getPluginName() const noexcept override { return "GMoE"; }
    const char* getPluginVersion() const noexcept override { return "1"; }
    const char* getPluginNamespace() const noexcept override { return namespace_; }

private:
    const char* namespace_;
    PluginField name_ = PluginField("top_k", nullptr, PluginFieldType::kINT32, 1);
    PluginFieldCollection names_ = {1, &name_};
};

}  // namespace

// What TensorRT looks for in a library of plugins.
extern "C" __attribute__((visibility("default"))) IPluginCreatorInterface* const* getCreators(int32_t& count) {
    static Creator creator("smgeo");
    static IPluginCreatorInterface* const creators[] = {&creator};
    count = 1;
    return creators;
}

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(ILoggerFinder* finder) {
    logger_finder = finder;
}

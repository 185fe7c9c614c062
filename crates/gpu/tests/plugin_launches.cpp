// Runs the plugin's enqueue and holds what comes out against f64: that the plugin gives each kernel its arguments in the right
// order and its part of the workspace. Compiled by nvcc it runs on the GPU, by a C++ compiler on the host, the kernels emulated.
#ifndef __CUDACC__
#include "../kernels/emulation/emulate.cpp"
#endif

#include "../tensorrt/gmoe_plugin.cu"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

// Memory that the plugin's kernels can read and write.
#ifdef __CUDACC__
void succeed(cudaError_t status) {
    if (status == cudaSuccess) return;
    std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
    std::exit(1);
}

class Memory {
public:
    template <class T>
    explicit Memory(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
        succeed(cudaMalloc(&start_, bytes_));
        succeed(cudaMemcpy(start_, values.data(), bytes_, cudaMemcpyHostToDevice));
    }
    ~Memory() { cudaFree(start_); }
    Memory(const Memory&) = delete;

    void* start() const { return start_; }

    // What is there once all launches have ended.
    template <class T>
    std::vector<T> read() const {
        std::vector<T> values(bytes_ / sizeof(T));
        succeed(cudaMemcpy(values.data(), start_, bytes_, cudaMemcpyDeviceToHost));
        return values;
    }

private:
    size_t bytes_;
    void* start_ = nullptr;
};
#else
class Memory {
public:
    template <class T>
    explicit Memory(const std::vector<T>& values)
        : bytes_(values.size() * sizeof(T)), lines_((bytes_ + sizeof(Line) - 1) / sizeof(Line)) {
        std::memcpy(lines_.data(), values.data(), bytes_);
    }

    void* start() const { return const_cast<Line*>(lines_.data()); }

    template <class T>
    std::vector<T> read() const {
        std::vector<T> values(bytes_ / sizeof(T));
        std::memcpy(values.data(), lines_.data(), bytes_);
        return values;
    }

private:
    // Device memory starts on such a line too.
    struct alignas(256) Line {
        char bytes[256];
    };
    size_t bytes_;
    std::vector<Line> lines_;
};
#endif

// The same numbers every time (splitmix64), in -1..1.
struct Noise {
    uint64_t state = 7;
    double next() {
        uint64_t mixed = state += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
        return static_cast<double>((mixed ^ mixed >> 31) >> 11) / (1ull << 52) - 1.0;
    }
};

// All extents differ, so that no two can be taken for each other.
constexpr int CELLS = 7, SIZE = 9, EXPERTS = 5, TOP_K = 2, CHANNELS = 40, WIDTH = 72;

template <class T>
struct Operand {
    std::vector<T> values;
    Operand(size_t count, double reach, Noise& noise) : values(count) {
        for (T& value : values) value = smgeo::from_float<T>(static_cast<float>(reach * noise.next()));
    }
    double at(size_t index) const { return smgeo::to_float(values[index]); }
};

template <class T>
double difference(DataType type) {
    Noise noise;
    const Operand<T> x(CELLS * SIZE * CHANNELS, 1.7, noise), w1(EXPERTS * CHANNELS * WIDTH, 0.27, noise),
        b1(EXPERTS * WIDTH, 0.3, noise), w2(EXPERTS * WIDTH * CHANNELS, 0.2, noise), b2(EXPERTS * CHANNELS, 0.3, noise);
    std::vector<float> logits(CELLS * EXPERTS);
    for (float& logit : logits) logit = static_cast<float>(2.0 * noise.next());

    const std::vector<std::vector<int64_t>> extents = {{CELLS, SIZE, CHANNELS},     {CELLS, EXPERTS},
                                                       {EXPERTS, CHANNELS, WIDTH}, {EXPERTS, WIDTH},
                                                       {EXPERTS, WIDTH, CHANNELS}, {EXPERTS, CHANNELS}};
    PluginTensorDesc shapes[6] = {};
    DynamicPluginTensorDesc largest[6] = {};
    for (int i = 0; i < 6; ++i) {
        for (int64_t extent : extents[i]) shapes[i].dims.d[shapes[i].dims.nbDims++] = extent;
        shapes[i].type = i == LOGITS ? DataType::kFLOAT : type;
        largest[i].max = shapes[i].dims;
    }
    Gmoe plugin(TOP_K);
    const size_t bytes = plugin.getWorkspaceSize(largest, 6, nullptr, 1);
    // A guard behind the workspace.
    const Memory workspace(std::vector<char>(bytes + 256, 0x7f));
    const Memory given[] = {Memory(x.values),  Memory(logits),    Memory(w1.values),
                            Memory(b1.values), Memory(w2.values), Memory(b2.values)};
    // Every element has to be written: what is there before is not a number.
    const Memory result(std::vector<T>(CELLS * SIZE * CHANNELS, smgeo::from_float<T>(NAN)));
    const void* inputs[6];
    for (int i = 0; i < 6; ++i) inputs[i] = given[i].start();
    void* outputs[] = {result.start()};
    if (plugin.onShapeChange(shapes, 6, nullptr, 1) != 0) return INFINITY;
    if (plugin.enqueue(shapes, nullptr, inputs, outputs, workspace.start(), nullptr) != 0) return INFINITY;
    const std::vector<T> out = result.template read<T>();
    const std::vector<char> after = workspace.template read<char>();
    for (size_t i = bytes; i < after.size(); ++i) {
        if (after[i] != 0x7f) return INFINITY;
    }

    double worst = 0.0, magnitude = 0.0;
    for (int cell = 0; cell < CELLS; ++cell) {
        const float* row = &logits[cell * EXPERTS];
        int chosen[TOP_K];
        double gate[TOP_K], sum = 0.0;
        for (int rank = 0; rank < TOP_K; ++rank) {
            int best = -1;
            for (int e = 0; e < EXPERTS; ++e) {
                if (!(rank == 1 && e == chosen[0]) && (best < 0 || row[e] > row[best])) best = e;
            }
            chosen[rank] = best;
            sum += gate[rank] = std::exp(static_cast<double>(row[best]));
        }
        for (int token = cell * SIZE; token < (cell + 1) * SIZE; ++token) {
            double wanted[CHANNELS] = {};
            for (int rank = 0; rank < TOP_K; ++rank) {
                const int e = chosen[rank];
                double mixed[CHANNELS];
                for (int c = 0; c < CHANNELS; ++c) mixed[c] = b2.at(e * CHANNELS + c);
                for (int h = 0; h < WIDTH; ++h) {
                    double value = b1.at(e * WIDTH + h);
                    for (int c = 0; c < CHANNELS; ++c) value += x.at(token * CHANNELS + c) * w1.at((e * CHANNELS + c) * WIDTH + h);
                    value *= 0.5 * (1.0 + std::erf(value / std::sqrt(2.0)));
                    for (int c = 0; c < CHANNELS; ++c) mixed[c] += value * w2.at((e * WIDTH + h) * CHANNELS + c);
                }
                for (int c = 0; c < CHANNELS; ++c) wanted[c] += gate[rank] / sum * mixed[c];
            }
            for (int c = 0; c < CHANNELS; ++c) {
                const double apart = std::fabs(smgeo::to_float(out[token * CHANNELS + c]) - wanted[c]);
                worst = apart > worst || std::isnan(apart) ? apart : worst;
                magnitude = std::max(magnitude, std::fabs(wanted[c]));
            }
        }
    }
    return worst / magnitude;
}

}  // namespace

int main() {
    // Three roundings on the way, as in the kernels' own tests.
    const double half = difference<__half>(DataType::kHALF), brain = difference<__nv_bfloat16>(DataType::kBF16);
    const bool holds = half <= 3.0 / 2048 && brain <= 3.0 / 256;
    std::printf("%s  the plugin's launches: f16 %.1e of %.1e, bf16 %.1e of %.1e\n", holds ? "holds" : "FAILS", half, 3.0 / 2048,
                brain, 3.0 / 256);
    return holds ? 0 : 1;
}

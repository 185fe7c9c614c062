// Runs the plugin's enqueue on the host, its kernels emulated, and holds what comes out against f64: that the plugin gives
// each kernel its arguments in the right order and its part of the workspace.
#include "../kernels/emulation/emulate.cpp"

#include "../tensorrt/gmoe_plugin.cu"

#include <cstdio>
#include <memory>

namespace {

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
    std::vector<char> workspace(bytes + 256, 0x7f);
    std::vector<T> out(CELLS * SIZE * CHANNELS);
    const void* inputs[] = {x.values.data(),  logits.data(),    w1.values.data(),
                            b1.values.data(), w2.values.data(), b2.values.data()};
    void* outputs[] = {out.data()};
    // The workspace has to start on a 16-byte line, as device memory does.
    if (reinterpret_cast<uintptr_t>(workspace.data()) % 16 != 0) return INFINITY;
    if (plugin.onShapeChange(shapes, 6, nullptr, 1) != 0) return INFINITY;
    if (plugin.enqueue(shapes, nullptr, inputs, outputs, workspace.data(), nullptr) != 0) return INFINITY;
    for (size_t i = bytes; i < workspace.size(); ++i) {
        if (workspace[i] != 0x7f) return INFINITY;
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
    std::printf("f16 %.1e of %.1e, bf16 %.1e of %.1e\n", half, 3.0 / 2048, brain, 3.0 / 256);
    return half <= 3.0 / 2048 && brain <= 3.0 / 256 ? 0 : 1;
}

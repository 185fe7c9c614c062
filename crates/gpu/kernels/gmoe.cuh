// What the four GMoE kernels share.
//
// M cells of `size` tokens each go to `top_k` of E experts. Slot s = cell * top_k + rank. Slots sorted by expert, stable,
// have places p; row r = p * size + token is a row of the grouped products, so no expert's rows are padded and the
// buffers between the kernels have exactly M * top_k * size rows.
#pragma once

#include "element.cuh"

namespace smgeo {

constexpr int EXPERTS_MAX = 16;
constexpr int ROUTE_THREADS = 256;

// One tile of rows of one expert; empty where begin == end.
struct alignas(16) Tile {
    int expert;
    int begin;
    int end;
    int unused;
};

}  // namespace smgeo

// Sends each cell to its best experts and lays out the grouped products. One block, so that nothing waits for the host:
// a package's map has 16 cells an image, the released networks' at most 16,384 tokens.
#pragma once

#include "gmoe.cuh"
#include "tile_product.cuh"

namespace smgeo {

// Writes the cell's experts (into `place`, for the moment) and gates, best first; of equal logits the lower index wins.
// Returns nothing out of range for any logits: where one of them is not a number none of the gates is, whichever are chosen.
__device__ inline void choose(const float* logits, int experts, int top_k, int* chosen, float* gate) {
    unsigned taken = 0;
    bool sound = true;
    for (int expert = 0; expert < experts; ++expert) sound &= logits[expert] == logits[expert];
    for (int rank = 0; rank < top_k; ++rank) {
        int best = -1;
        for (int expert = 0; expert < experts; ++expert) {
            if (taken >> expert & 1) continue;
            if (best < 0 || logits[expert] > logits[best]) best = expert;
        }
        taken |= 1u << best;
        chosen[rank] = best;
    }
    const float highest = logits[chosen[0]];
    float sum = sound ? 0.0f : NAN;
    for (int rank = 0; rank < top_k; ++rank) {
        gate[rank] = expf(logits[chosen[rank]] - highest);
        sum += gate[rank];
    }
    for (int rank = 0; rank < top_k; ++rank) gate[rank] /= sum;
}

// Each expert's counts by thread; two, so that a step of the scan reads one and writes the other.
typedef int Counts[EXPERTS_MAX][ROUTE_THREADS];

// Turns counts[0] into inclusive sums over the threads (Hillis and Steele 1986). An even number of steps ends in counts[0].
__device__ inline void scan(Counts* counts, int experts) {
    const int thread = threadIdx.x;
    int from = 0;
    for (int reach = 1; reach < ROUTE_THREADS; reach *= 2) {
        for (int expert = 0; expert < experts; ++expert) {
            const int before = thread >= reach ? counts[from][expert][thread - reach] : 0;
            counts[1 - from][expert][thread] = counts[from][expert][thread] + before;
        }
        __syncthreads();
        from = 1 - from;
    }
}
static_assert(ROUTE_THREADS == 256, "eight steps");

}  // namespace smgeo

// logits f32 [cells, experts] -> order i32 [cells * top_k]: the slot at each place; place i32 [cells * top_k]: the place of
// each slot; gate f32 [cells * top_k], by slot; tiles [tile_count]: all tiles, then empty ones.
extern "C" __global__ void __launch_bounds__(smgeo::ROUTE_THREADS)
    gmoe_route(const float* __restrict__ logits, int* __restrict__ order, int* __restrict__ place,
               float* __restrict__ gate, smgeo::Tile* __restrict__ tiles, int cells, int experts, int top_k, int size,
               int tile_count) {
    using namespace smgeo;
    __shared__ Counts counts[2];
    __shared__ int first_place[EXPERTS_MAX + 1];
    __shared__ int first_tile[EXPERTS_MAX + 1];
    const int thread = threadIdx.x;
    // Each thread has a run of cells, so that counting in thread order is counting in slot order.
    const int run = ceil_div(cells, ROUTE_THREADS);
    const int first = min(thread * run, cells), last = min(first + run, cells);

    for (int expert = 0; expert < experts; ++expert) counts[0][expert][thread] = 0;
    for (int cell = first; cell < last; ++cell) {
        int* chosen = place + cell * top_k;
        choose(logits + static_cast<size_t>(cell) * experts, experts, top_k, chosen, gate + cell * top_k);
        for (int rank = 0; rank < top_k; ++rank) counts[0][chosen[rank]][thread] += 1;
    }
    __syncthreads();
    scan(counts, experts);

    if (thread == 0) {
        first_place[0] = first_tile[0] = 0;
        for (int expert = 0; expert < experts; ++expert) {
            const int slots = counts[0][expert][ROUTE_THREADS - 1];
            first_place[expert + 1] = first_place[expert] + slots;
            first_tile[expert + 1] = first_tile[expert] + ceil_div(slots * size, TILE_ROWS);
        }
    }
    __syncthreads();
    // From here on each thread reads and writes its own column of `next` only.
    Counts& next = counts[1];
    for (int expert = 0; expert < experts; ++expert) {
        next[expert][thread] = first_place[expert] + (thread > 0 ? counts[0][expert][thread - 1] : 0);
    }
    for (int slot = first * top_k; slot < last * top_k; ++slot) {
        const int at = next[place[slot]][thread]++;
        order[at] = slot;
        place[slot] = at;
    }
    for (int index = thread; index < tile_count; index += ROUTE_THREADS) {
        int expert = 0;
        while (expert < experts && index >= first_tile[expert + 1]) ++expert;
        Tile tile = {0, 0, 0, 0};
        if (expert < experts) {
            tile.expert = expert;
            tile.begin = first_place[expert] * size + (index - first_tile[expert]) * TILE_ROWS;
            tile.end = min(tile.begin + TILE_ROWS, first_place[expert + 1] * size);
        }
        tiles[index] = tile;
    }
}

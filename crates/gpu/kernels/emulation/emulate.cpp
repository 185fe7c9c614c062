// Runs a kernel on the host: the fibers, the barriers, and the table of kernels by name.
#define SMGEO_EMULATION

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "../kernels.cu"

thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum class Wait { Nothing, Warp, Block, Finished };

struct Copy {
    void* shared;
    const void* source;
    bool valid;
};

// A fiber is entered once through its context and from then on by jumps, which unlike contexts cost no system call.
struct Fiber {
    ucontext_t context;
    jmp_buf place;
    bool entered = false;
    std::vector<char> stack;
    Wait wait = Wait::Nothing;
    float exchanged = 0.0f;
    std::vector<Copy> open;                  // Not yet in a group.
    std::vector<std::vector<Copy>> groups;  // Oldest first.
};

constexpr size_t STACK_BYTES = 128 * 1024;

struct Block {
    jmp_buf scheduler;
    std::vector<Fiber> fibers;
    size_t current = 0;
    void (*kernel)(void*) = nullptr;
    void* arguments = nullptr;
};

thread_local Block block;

void yield(Wait wait) {
    Fiber& fiber = block.fibers[block.current];
    fiber.wait = wait;
    if (_setjmp(fiber.place) == 0) _longjmp(block.scheduler, 1);
}

void resume(Fiber& fiber) {
    if (_setjmp(block.scheduler) != 0) return;
    if (fiber.entered) _longjmp(fiber.place, 1);
    fiber.entered = true;
    setcontext(&fiber.context);
}

// A fiber is the same thread of one block after the other.
void enter() {
    for (;;) {
        block.kernel(block.arguments);
        yield(Wait::Finished);
    }
}

void do_copies(const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
        if (copy.valid) {
            std::memcpy(copy.shared, copy.source, 16);
        } else {
            std::memset(copy.shared, 0, 16);
        }
    }
}

void make_fibers(size_t threads) {
    block.fibers = std::vector<Fiber>(threads);
    for (Fiber& fiber : block.fibers) {
        fiber.stack.resize(STACK_BYTES);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        makecontext(&fiber.context, enter, 0);
    }
}

// Frees the fibers of [begin, end) that wait for `wait` if all of them do.
bool release(size_t begin, size_t end, Wait wait) {
    auto waits = [wait](const Fiber& fiber) { return fiber.wait == wait; };
    auto first = block.fibers.begin() + begin, last = block.fibers.begin() + end;
    if (!std::all_of(first, last, waits)) return false;
    std::for_each(first, last, [](Fiber& fiber) { fiber.wait = Wait::Nothing; });
    return true;
}

// Runs one block to its end. False if some threads wait at a barrier that others do not come to, or copies are left.
bool run_block(const std::vector<size_t>& order) {
    const size_t threads = block.fibers.size();
    for (Fiber& fiber : block.fibers) {
        fiber.wait = Wait::Nothing;
        fiber.groups.clear();
    }
    for (;;) {
        for (size_t thread : order) {
            block.current = thread;
            threadIdx = {static_cast<unsigned>(thread), 0, 0};
            if (block.fibers[thread].wait == Wait::Nothing) resume(block.fibers[thread]);
        }
        auto finished = [](const Fiber& fiber) { return fiber.wait == Wait::Finished; };
        if (std::all_of(block.fibers.begin(), block.fibers.end(), finished)) break;
        bool moved = release(0, threads, Wait::Block);
        for (size_t warp = 0; warp < threads; warp += 32) moved |= release(warp, std::min(warp + 32, threads), Wait::Warp);
        if (!moved) return false;
    }
    auto clean = [](const Fiber& fiber) {
        auto none = [](const std::vector<Copy>& group) { return group.empty(); };
        return fiber.open.empty() && std::all_of(fiber.groups.begin(), fiber.groups.end(), none);
    };
    return std::all_of(block.fibers.begin(), block.fibers.end(), clean);
}

// Calls a kernel with the arguments that `cuLaunchKernel` would be given.
template <class... Arguments, size_t... At>
void call(void (*kernel)(Arguments...), void** arguments, std::index_sequence<At...>) {
    kernel(*static_cast<std::remove_const_t<Arguments>*>(arguments[At])...);
}

template <auto Kernel>
struct Entry;
template <class... Arguments, void (*Kernel)(Arguments...)>
struct Entry<Kernel> {
    static void run(void* arguments) {
        call(Kernel, static_cast<void**>(arguments), std::index_sequence_for<Arguments...>());
    }
};

struct Named {
    const char* name;
    void (*run)(void*);
};

#define NAMED(KERNEL) Named{#KERNEL, Entry<KERNEL>::run}
const Named KERNELS[] = {
    NAMED(gmoe_route),           NAMED(gmoe_fc1_f16),          NAMED(gmoe_fc1_bf16),   NAMED(gmoe_fc2_f16),
    NAMED(gmoe_fc2_bf16),        NAMED(gmoe_combine_f16),      NAMED(gmoe_combine_bf16), NAMED(window_attention_f16),
    NAMED(window_attention_bf16), NAMED(preprocess_nv12),      NAMED(preprocess_rgb),  NAMED(preprocess_halve),
    NAMED(preprocess_crop),
};

}  // namespace

namespace emulation {

void block_barrier() { yield(Wait::Block); }

void warp_barrier() { yield(Wait::Warp); }

float exchange(float value, unsigned lane_mask) {
    block.fibers[block.current].exchanged = value;
    warp_barrier();
    const float other = block.fibers[block.current ^ lane_mask].exchanged;
    warp_barrier();
    return other;
}

void copy_async(void* shared, const void* source, bool valid) {
    block.fibers[block.current].open.push_back({shared, source, valid});
}

void commit_copies() {
    Fiber& fiber = block.fibers[block.current];
    fiber.groups.push_back(std::move(fiber.open));
    fiber.open.clear();
}

void wait_copies(int pending) {
    auto& groups = block.fibers[block.current].groups;
    while (groups.size() > static_cast<size_t>(pending)) {
        do_copies(groups.front());
        groups.erase(groups.begin());
    }
}

bool run(void (*kernel)(void*), void* arguments, dim3 grid, unsigned threads, bool backwards) {
    block.kernel = kernel;
    block.arguments = arguments;
    make_fibers(threads);
    std::vector<size_t> order(threads);
    for (size_t i = 0; i < threads; ++i) order[i] = backwards ? threads - 1 - i : i;
    blockDim = dim3(threads);
    gridDim = grid;
    const size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
    for (size_t i = 0; i < blocks; ++i) {
        const size_t at = backwards ? blocks - 1 - i : i;
        blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                    static_cast<unsigned>(at / grid.x / grid.y)};
        if (!run_block(order)) return false;
    }
    return true;
}

}  // namespace emulation

// Runs a kernel by its name over a grid; `backwards` lets threads and blocks run in falling order. Returns 0; 1 if there is no such
// kernel; 2 if threads of a block parted at a barrier or left copies behind.
extern "C" int smgeo_emulate(const char* name, const unsigned* grid, unsigned threads, void** arguments, int backwards) {
    const Named* found = std::find_if(std::begin(KERNELS), std::end(KERNELS),
                                      [name](const Named& kernel) { return std::strcmp(kernel.name, name) == 0; });
    if (found == std::end(KERNELS)) return 1;
    return emulation::run(found->run, arguments, dim3(grid[0], grid[1], grid[2]), threads, backwards != 0) ? 0 : 2;
}

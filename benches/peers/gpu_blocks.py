"""The blocks that `smgeo-gpu bench` measures, in PyTorch: eager and compiled, as one would write them there.

    gpu_blocks.py [--check] [--device cuda|cpu] [--dtype f16|bf16]

Times each block at the same shapes on a GPU, from CUDA graphs and by CUDA events, after holding every way of writing it against a reference in f64.
`--check` stops after that; it needs no GPU with `--device cpu`, and holds f32 as well. Needs PyTorch 2.10 or newer.

The mixture of experts is written twice: `grouped` sends each cell to its experts and multiplies with `grouped_mm`; `all experts`
evaluates every expert and weighs, as the released code of the paper does, which is three times the arithmetic. Attention is
written with `scaled_dot_product_attention` and as plain products. PyTorch gets its own layout, rows of tokens from top to
bottom, where ours lie in Z-order; position bias and mask are one tensor, made before the clock starts. Of equal router logits
PyTorch takes any, ours the first.
"""
import argparse
import math
import sys

import torch
import torch.nn.functional as functional

# As crates/gpu/src/cuda/bench.rs has them: four images of tiny.
MIXTURES = [
    ("gmoe tiny stage 1", (64, 64), (192, 768)),
    ("gmoe tiny stage 2", (64, 16), (384, 1536)),
    ("gmoe tiny stage 3", (64, 4), (768, 3072)),
]
ATTENTIONS = [
    ("window_attention tiny stage 0", (64, 64), 3),
    ("window_attention tiny stage 1", (32, 32), 6),
    ("window_attention tiny stage 2", (16, 16), 12),
]
IMAGES, EXPERTS, TOP_K, HEAD_WIDTH, WINDOW, SHIFT = 4, 6, 2, 32, 8, 4
WARM_UP, TIMED = 20, 200

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# On the way from operands to result; each may be off by half a unit in the last place.
ROUNDINGS = 16


class Mixture:
    """Cells of tokens, each cell to its best experts; the residual is the input."""

    def __init__(self, cells, channels, device, dtype, seed=1):
        generator = torch.Generator().manual_seed(seed)
        (count, size), (narrow, wide) = cells, channels

        def noise(*shape, reach, kept=dtype):
            values = (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1) * reach
            return values.to(kept).to(device)

        self.x = noise(count, size, narrow, reach=1.7)
        self.logits = noise(count, EXPERTS, reach=2.0, kept=torch.float32)
        self.w1 = noise(EXPERTS, narrow, wide, reach=math.sqrt(3 / narrow))
        self.b1 = noise(EXPERTS, wide, reach=0.3)
        self.w2 = noise(EXPERTS, wide, narrow, reach=math.sqrt(3 / wide))
        self.b2 = noise(EXPERTS, narrow, reach=0.3)

    def operands(self):
        return self.x, self.logits, self.w1, self.b1, self.w2, self.b2

    def operations(self):
        cells, size, narrow = self.x.shape
        return 4 * cells * size * TOP_K * narrow * self.w1.shape[2]

    def reference(self):
        """[cells, size, channels] in f64, cell by cell and token by token, as it is defined."""
        x, logits, w1, b1, w2, b2 = (operand.double().cpu() for operand in self.operands())
        out = x.clone()
        for cell in range(x.shape[0]):
            ranked = sorted(range(EXPERTS), key=lambda expert: -logits[cell, expert].item())[:TOP_K]
            parts = [math.exp(logits[cell, expert].item()) for expert in ranked]
            for expert, part in zip(ranked, parts):
                for token in range(x.shape[1]):
                    hidden = x[cell, token] @ w1[expert] + b1[expert]
                    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
                    out[cell, token] += part / sum(parts) * (hidden @ w2[expert] + b2[expert])
        return out


def grouped(x, logits, w1, b1, w2, b2):
    cells, size, channels = x.shape
    values, chosen = logits.topk(TOP_K, -1)
    expert, order = chosen.flatten().sort(stable=True)
    gate = values.softmax(-1).flatten()[order].to(x.dtype)
    # Where each expert's rows end; counted without asking the host.
    ends = (expert[:, None] == torch.arange(w1.shape[0], device=x.device)).sum(0).cumsum(0) * size
    ends = ends.to(torch.int32)
    rows = x[order // TOP_K].reshape(-1, channels)
    hidden = functional.grouped_mm(rows, w1, offs=ends).view(-1, size, w1.shape[2]) + b1[expert][:, None]
    hidden = functional.gelu(hidden).view(-1, w1.shape[2])
    mixed = functional.grouped_mm(hidden, w2, offs=ends).view(-1, size, channels) + b2[expert][:, None]
    mixed = mixed * gate[:, None, None]
    place = torch.empty_like(order).scatter_(0, order, torch.arange(order.shape[0], device=x.device))
    return x + mixed[place].view(cells, TOP_K, size, channels).sum(1)


def all_experts(x, logits, w1, b1, w2, b2):
    cells, size, channels = x.shape
    values, chosen = logits.topk(TOP_K, -1)
    gates = torch.zeros_like(logits).scatter(-1, chosen, values.softmax(-1)).to(x.dtype)
    hidden = functional.gelu(torch.baddbmm(b1[:, None], x.reshape(1, -1, channels).expand(w1.shape[0], -1, -1), w1))
    mixed = torch.baddbmm(b2[:, None], hidden, w2).view(-1, cells, size, channels)
    return x + (mixed * gates.t()[:, :, None, None]).sum(0)


class Attention:
    """Attention inside of shifted 8 x 8 windows, from queries, keys and values to the mixture of values."""

    def __init__(self, images, extent, heads, head_width, device, dtype, shift=SHIFT, seed=2):
        generator = torch.Generator().manual_seed(seed)
        self.extent, self.shift = extent, shift
        noise = 4 * torch.rand(images, *extent, 3, heads, head_width, generator=generator, dtype=torch.float64) - 2
        self.qkv = noise.to(dtype).to(device)
        self.bias = (2 * torch.rand(15 * 15, heads, generator=generator, dtype=torch.float64) - 1).float().to(device)
        self.added = self.bias_and_mask().to(dtype).to(device)

    def operands(self):
        return self.qkv, self.added, self.shift

    def operations(self):
        return 4 * 64 * self.qkv.numel() // 3

    def strips(self):
        """Which part of the rolled map each row and column lies in: shifted windows hold tokens of up to four."""
        def strip(at, length):
            return (at + WINDOW >= length) + (at + self.shift >= length)

        height, width = self.extent
        rows = [strip(y, height) for y in range(height)]
        columns = [strip(x, width) for x in range(width)]
        return torch.tensor(rows)[:, None] * 3 + torch.tensor(columns)

    def bias_and_mask(self):
        """[windows, heads, 64, 64]: what is added to the logits."""
        at = torch.arange(WINDOW * WINDOW)
        down, right = at // WINDOW, at % WINDOW
        offset = (down[:, None] - down + WINDOW - 1) * (2 * WINDOW - 1) + right[:, None] - right + WINDOW - 1
        bias = self.bias.cpu()[offset].permute(2, 0, 1)
        region = windows(self.strips()[None, :, :, None]).squeeze(-1)
        apart = (region[:, :, None] != region[:, None]) & (self.shift > 0)
        return bias + torch.where(apart, -100.0, 0.0)[:, None]

    def reference(self):
        """[images, height, width, heads, head_width] in f64, query by query, as it is defined."""
        qkv, bias = self.qkv.double().cpu(), self.bias.double().cpu()
        images, height, width, _, heads, head_width = qkv.shape

        def around(y, x):
            return y + self.shift >= height, x + self.shift >= width

        out = torch.zeros(images, height, width, heads, head_width, dtype=torch.float64)
        for top, left in [(y, x) for y in range(0, height, WINDOW) for x in range(0, width, WINDOW)]:
            places = [(top + at // WINDOW, left + at % WINDOW) for at in range(WINDOW * WINDOW)]
            sources = [((y + self.shift) % height, (x + self.shift) % width) for y, x in places]
            ys, xs = [y for y, _ in sources], [x for _, x in sources]
            for image, head in [(i, h) for i in range(images) for h in range(heads)]:
                keys, values = qkv[image, ys, xs, 1, head], qkv[image, ys, xs, 2, head]
                for (y, x), source in zip(places, sources):
                    logits = keys @ qkv[image, *source, 0, head] / math.sqrt(head_width)
                    for at, (key_y, key_x) in enumerate(places):
                        logits[at] += bias[(y - key_y + 7) * 15 + x - key_x + 7, head]
                        # Where the roll brought only one of two tokens around the edge, they were no neighbours.
                        if around(y, x) != around(key_y, key_x):
                            logits[at] -= 100.0
                    out[image, *source, head] = logits.softmax(0) @ values
        return out


def windows(maps):
    """[images, height, width, ...] to [images * windows, 64, ...]."""
    images, height, width, *rest = maps.shape
    cut = maps.reshape(images, height // WINDOW, WINDOW, width // WINDOW, WINDOW, *rest)
    return cut.transpose(2, 3).reshape(-1, WINDOW * WINDOW, *rest)


def unwindowed(rows, extent):
    """The inverse of `windows`."""
    height, width = extent
    cut = rows.reshape(-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, *rows.shape[2:])
    return cut.transpose(2, 3).reshape(-1, height, width, *rows.shape[2:])


def windowed(attend):
    """Rolls, cuts into windows, attends with [images, windows, heads, 64, width], puts back."""
    def block(qkv, added, shift):
        extent = qkv.shape[1:3]
        rows = windows(qkv.roll((-shift, -shift), (1, 2)))
        parts = rows.view(qkv.shape[0], -1, *rows.shape[1:]).permute(3, 0, 1, 4, 2, 5)
        mixed = attend(*parts, added).transpose(2, 3).flatten(0, 1)
        return unwindowed(mixed, extent).roll((shift, shift), (1, 2))

    return block


def fused(query, key, value, added):
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=added.expand(*query.shape[:-1], -1))


def plain(query, key, value, added):
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + added
    return logits.softmax(-1) @ value


WAYS = {
    Mixture: [("grouped", grouped), ("all experts", all_experts)],
    Attention: [("scaled_dot_product_attention", windowed(fused)), ("plain products", windowed(plain))],
}


def compiled(block):
    # One graph: whatever would fall back to eager is an error.
    torch._dynamo.reset()
    return torch.compile(block, fullgraph=True, dynamic=False)


def check(device, dtypes):
    """Holds every way against the reference on small shapes. Answers with the number of those that differ, and of those that
    cannot run."""
    outcomes = []
    for name, dtype in dtypes:
        samples = [
            ("gmoe", Mixture((9, 16), (16, 24), device, dtype)),
            ("gmoe, single tokens", Mixture((33, 1), (32, 64), device, dtype)),
            ("window_attention, shifted", Attention(2, (16, 24), 2, 8, device, dtype)),
            ("window_attention, plain", Attention(1, (16, 16), 1, 16, device, dtype, shift=0)),
        ]
        for what, sample in samples:
            wanted = sample.reference()
            for way, block in WAYS[type(sample)]:
                for mode, run in [("eager", block), ("compiled", compiled(block))]:
                    outcomes.append(outcome(f"{name} {what}, {way}, {mode}", run, sample, wanted, dtype))
    return outcomes.count("differs"), outcomes.count("cannot run")


def outcome(name, run, sample, wanted, dtype):
    try:
        found = run(*sample.operands()).double().cpu()
    except Exception as error:  # PyTorch has no one kind of error for what it does not support.
        print(f"cannot run  {name}: {reason(error)}")
        return "cannot run"
    limit = ROUNDINGS * torch.finfo(dtype).eps / 2
    apart = ((found - wanted).abs().max() / wanted.abs().max()).item()
    # Not the other way round: a difference that is no number does not hold.
    good = found.shape == wanted.shape and apart <= limit
    print(f"{'holds' if good else 'FAILS'}  {apart:8.1e} of {limit:8.1e}  {name}")
    return "holds" if good else "differs"


def reason(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def time_us(run, operands):
    """Mean time of a run by events, replayed from a CUDA graph, so that launching costs nothing; the message of an error where it
    cannot run."""
    try:
        # What a graph records has to have run before, on a stream of its own.
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                run(*operands)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run(*operands)
        for _ in range(WARM_UP):
            graph.replay()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        for _ in range(TIMED):
            graph.replay()
        end.record()
        end.synchronize()
        return f"{1e3 * begin.elapsed_time(end) / TIMED:.1f}"
    except Exception as error:  # As above.
        return f"fails: {reason(error)}"


def bench(device, dtype_name):
    dtype = DTYPES[dtype_name]
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name(device)}; "
          f"four images, {dtype_name}, mean of {TIMED} replays of a CUDA graph, by events")
    print("| work | GFLOP | way | eager us | compiled us |")
    print("|---|---|---|---|---|")
    samples = [(name, Mixture(cells, channels, device, dtype)) for name, cells, channels in MIXTURES]
    samples += [(name, Attention(IMAGES, extent, heads, HEAD_WIDTH, device, dtype)) for name, extent, heads in ATTENTIONS]
    for name, sample in samples:
        for way, block in WAYS[type(sample)]:
            times = [time_us(run, sample.operands()) for run in (block, compiled(block))]
            print(f"| {name} | {sample.operations() / 1e9:.2f} | {way} | {times[0]} | {times[1]} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="hold the blocks against the reference and stop")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dtype", choices=["f16", "bf16"], default="f16")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_blocks.py: PyTorch finds no GPU; --check --device cpu needs none")
    if arguments.device == "cpu" and not arguments.check:
        sys.exit("gpu_blocks.py: times are taken on a GPU; give --check with --device cpu")
    if not hasattr(functional, "grouped_mm"):
        sys.exit(f"gpu_blocks.py: PyTorch {torch.__version__} has no grouped_mm; 2.10 or newer has it")
    # Sums in f32, as ours.
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    with torch.no_grad():
        dtypes = DTYPES.items() if arguments.check else [(arguments.dtype, DTYPES[arguments.dtype])]
        differ, cannot_run = check(arguments.device, dtypes)
        if differ or (arguments.check and cannot_run):
            sys.exit(f"gpu_blocks.py: {differ} differ from the reference, {cannot_run} cannot run")
        if not arguments.check:
            # What this PyTorch cannot run says so in its row.
            bench(arguments.device, arguments.dtype)


main()

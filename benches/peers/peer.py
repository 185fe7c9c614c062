"""One pair (a query and sixteen tiles) on another engine, with the weights and inputs of ours and no cache.

    peer.py KIND PACKAGE INPUTS THREADS [REFERENCE]

KIND is onnxruntime, openvino or pytorch. INPUTS holds 17 images of 256 x 256 x 4 bytes, the query first. For pytorch, REFERENCE is
the folder with reference_model.py, and PACKAGE one with the paper's locator. Says `ready CELL`, the most probable cell, so that
whoever asks can compare; then, for each line it reads, works one pair off and prints the time in ms.
"""
import sys
import time

import numpy as np

EDGE, TILES, CLICK = 4, 16, [[128.0, 128.0]]


def mosaic(features):
    """[16, F, F, C], row by row, to [1, 4F, 4F, C]."""
    _, f, _, c = features.shape
    return features.reshape(EDGE, EDGE, f, f, c).transpose(0, 2, 1, 3, 4).reshape(1, EDGE * f, EDGE * f, c)


class Onnx:
    """The package's own graphs, given to another runtime."""

    def __init__(self, images, encode, locate):
        self.images, self.encode, self.locate = images, encode, locate
        self.views = np.array([0] + [1] * TILES, np.int32)

    def pair(self):
        features = self.encode({"image": self.images, "view": self.views})
        return self.locate({
            "query": features[:1],
            "click": np.array(CLICK, np.float32),
            "reference": np.ascontiguousarray(mosaic(features[1:])),
            "window": np.zeros(1, np.int32),
        })


def onnxruntime(package, images, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    sessions = [ort.InferenceSession(f"{package}/{name}.onnx", options) for name in ("encoder", "locator")]
    run = [lambda inputs, session=session: session.run(None, inputs)[0] for session in sessions]
    return Onnx(images, *run)


def openvino(package, images, threads):
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    core.set_property("CPU", settings)
    requests = [
        core.compile_model(core.read_model(f"{package}/{name}.onnx"), "CPU").create_infer_request()
        for name in ("encoder", "locator")
    ]
    run = [lambda inputs, request=request: request.infer(inputs)[0] for request in requests]
    return Onnx(images, *run)


class PyTorch:
    """The reference model of the paper's variant, with all experts evaluated as the released code does."""

    def __init__(self, package, images, threads, reference):
        import torch

        sys.path.insert(0, reference)
        import reference_model

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch
        reference_model.GMoE.forward = all_experts
        self.model = reference_model.SMGeoPaper().eval()
        self.model.load_state_dict(state(package, self.model))
        planes = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2).contiguous()
        # The package's weights act on bytes; a tile's fourth plane is zero and the reference has none.
        self.query, self.tiles = planes[:1], planes[1:, :3].contiguous()

    def pair(self):
        query, _ = self.model.encode(self.query, "query")
        tiles, _ = self.model.encode(self.tiles, "sat")
        fused, _ = self.model.fuse(query, self.torch.from_numpy(mosaic(tiles.numpy())))
        heat, _ = self.model.detect(fused)
        return heat.numpy()


def all_experts(self, x, view, rec=None):
    """All experts on all tokens, then the weights of the chosen ones."""
    import torch

    b, h, w, c = x.shape
    edge = min(self.cell, h, w)
    grid = x.reshape(b, h // edge, edge, w // edge, edge, c).permute(0, 1, 3, 2, 4, 5).reshape(b, -1, edge * edge, c)
    logits = self.routers[view](grid.mean(2))
    values, chosen = logits.topk(self.topk, -1)
    gates = torch.zeros_like(logits).scatter(-1, chosen, values.softmax(-1))
    out = sum(expert(grid) * gates[..., e, None, None] for e, expert in enumerate(self._pool[0]))
    out = out.reshape(b, h // edge, w // edge, edge, edge, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
    return out, logits.new_zeros(())


def state(package, model):
    """The reference's parameters out of the package's ONNX files, where they stand under their names and a number."""
    import onnx
    import torch
    from onnx import numpy_helper

    found = {}
    for file in ("encoder", "locator"):
        for weights in onnx.load(f"{package}/{file}.onnx").graph.initializer:
            found.setdefault(weights.name.rsplit("_", 1)[0], numpy_helper.to_array(weights))
    return {name: torch.from_numpy(np.array(parameter(name, old, found))) for name, old in model.state_dict().items()}


def parameter(name, old, found):
    part = name.split(".")
    last = part[-1]
    if part[0] == "patch_embed":
        view = ("query", "sat").index(part[1])
        values = found[".".join(["patch_embed", *part[2:]])][view]
        if part[2:] == ["proj", "weight"]:
            # Rows, columns and channels of a patch, to channels first.
            return values.reshape(4, 4, 4, -1).transpose(3, 2, 0, 1)[:, : old.shape[1]]
        return values.reshape(-1)
    if "routers" in part:
        view = ("query", "sat").index(part[-2])
        values = found[".".join([*part[:-2], last])][view]
        return values.T if last == "weight" else values.reshape(-1)
    if "qkv" in part:
        attention = ".".join(part[:-2])
        parts = [np.array(found[f"{attention}.{which}.{last}"]) for which in "qkv"]
        # The graph carries the scale of the logits in the queries' weights.
        heads = found[f"{attention}.bias"].shape[1]
        parts[0] = parts[0] * np.float32((parts[0].shape[-1] // heads) ** 0.5)
        return np.concatenate(parts, -1).T if last == "weight" else np.concatenate(parts, -1)
    if last == "rel_bias":
        return position_bias(found[".".join([*part[:-1], "bias"])][0], old.shape)
    if part[:1] == ["stages"] and part[2] == "experts":
        block = next(key.split(".")[3] for key in found if key.startswith(f"stages.{part[1]}.") and "experts" in key)
        name = f"stages.{part[1]}.blocks.{block}.moe.{'.'.join(part[2:])}"
    if "bn" in part[1]:
        # Folded into the convolution before it; the number is the norm's epsilon.
        neutral = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - 1e-5, "num_batches_tracked": 0}
        return np.full(tuple(old.shape), neutral[last], old.numpy().dtype)
    values = found[name]
    is_matrix = last == "weight" and old.dim() == 2
    return values.T if is_matrix else values.reshape(tuple(old.shape))


def position_bias(expanded, shape):
    """[heads, 64, 64] over a window's tokens in Z-order, back to the table of offsets."""
    z = np.array([[sum((t >> (2 * b + axis) & 1) << b for b in range(3)) for axis in (0, 1)] for t in range(64)])
    offset = z[:, None] - z[None] + 7
    table = np.zeros(tuple(shape), np.float32)
    table[offset[..., 0] * 15 + offset[..., 1]] = expanded.transpose(1, 2, 0)
    return table


def main():
    kind, package, inputs, threads = sys.argv[1:5]
    images = np.fromfile(inputs, np.uint8).reshape(1 + TILES, 256, 256, 4)
    make = {"onnxruntime": onnxruntime, "openvino": openvino, "pytorch": PyTorch}[kind]
    peer = make(package, images, int(threads), *sys.argv[5:])
    print("ready", int(np.argmax(peer.pair())), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        peer.pair()
        print(f"{(time.perf_counter() - started) * 1e3:.3f}", flush=True)


main()

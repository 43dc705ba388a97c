"""PyTorch's scaled_dot_product_attention on the shapes of kvsift_cuda_bench: causal, 32 query and 8 KV heads of 128, bf16. One JSON line per length and backend."""

import json
import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

heads, kv_heads, dim = 32, 8, 128


def milliseconds(work):
    for _ in range(3):
        work()
    times = []
    for _ in range(11):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    for tokens in (8192, 32768):
        q = torch.randn(1, heads, tokens, dim, device="cuda", dtype=torch.bfloat16)
        k, v = (torch.randn(1, kv_heads, tokens, dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        flops = 4 * tokens * (tokens + 1) / 2 * heads * dim
        for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION), ("default", None)):
            try:
                call = lambda: scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
                if backend is None:
                    ms = milliseconds(call)
                else:
                    with sdpa_kernel(backend):
                        ms = milliseconds(call)
                row = {"kernel": f"torch {torch.__version__} sdpa {name}", "shape": f"{tokens} x 32/8 heads x 128, bf16, causal", "ms": ms, "achieved": flops / ms / 1e6, "unit": "GFLOP/s"}
            except RuntimeError as error:
                row = {"kernel": f"torch sdpa {name}", "tokens": tokens, "error": str(error).split("\n")[0]}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

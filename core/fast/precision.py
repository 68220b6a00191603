"""Which number format this machine computes fast."""

import torch


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has AMX or AVX-512 BF16. Without, oneDNN may even refuse a convolution in bfloat16."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private: a later torch may rename them
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def fast_bfloat16() -> bool:
    """Whether a training here is clearly faster in bfloat16 than in float32: on a GPU, or on such a CPU."""
    return torch.cuda.is_available() or cpu_has_bfloat16()


def inference_dtype() -> torch.dtype:
    """What a loaded CNN, translator or writer answers in, on the CPU: bfloat16 where it is fast, else float32."""
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32

"""Which number format this machine computes fast."""

import torch


def fast_bfloat16() -> bool:
    """Whether bfloat16 is clearly faster here than float32: on a GPU, or a CPU with AMX or AVX-512 BF16."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private: a later torch may rename them
    return torch.cuda.is_available() or any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def inference_dtype() -> torch.dtype:
    """What a loaded CNN, translator or writer answers in: bfloat16 where it is fast, else float32."""
    return torch.bfloat16 if fast_bfloat16() else torch.float32

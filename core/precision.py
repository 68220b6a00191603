"""Which number format this machine computes fast."""

import torch


def fast_bfloat16() -> bool:
    """Whether bfloat16 is several times faster here than float32: on a GPU, or a CPU with AMX."""
    fast_cpu = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return torch.cuda.is_available() or fast_cpu()


def inference_dtype() -> torch.dtype:
    """What a loaded CNN answers in: bfloat16 where it is fast, else float32."""
    return torch.bfloat16 if fast_bfloat16() else torch.float32

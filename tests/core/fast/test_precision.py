"""Which number format is fast: float32 wherever torch does not say otherwise."""

import pytest
import torch

from core.fast.precision import cpu_has_bfloat16, fast_bfloat16, inference_dtype
from core.training.loop import resolve_precision

CHECKS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")


@pytest.fixture
def cpu(monkeypatch):
    """A processor that says yes to some of torch's checks; None: a torch without these checks."""

    def says(*answers: bool | None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        for check, answer in zip(CHECKS, answers, strict=True):
            monkeypatch.delattr(torch.cpu, check, raising=False)
            if answer is not None:
                monkeypatch.setattr(torch.cpu, check, lambda answer=answer: answer, raising=False)

    return says


@pytest.mark.parametrize("answers", [(True, False), (False, True), (True, True), (None, True)])
def test_either_check_is_enough(cpu, answers):
    cpu(*answers)
    assert cpu_has_bfloat16()
    assert inference_dtype() == torch.bfloat16
    assert resolve_precision("auto") == "bf16"


@pytest.mark.parametrize("answers", [(False, False), (None, None)])
def test_without_them_all_is_float32(cpu, answers):
    cpu(*answers)
    assert not cpu_has_bfloat16()
    assert inference_dtype() == torch.float32
    assert resolve_precision("auto") == "no"


def test_a_training_on_a_gpu_is_fast_in_bfloat16_an_answer_on_this_cpu_is_not(cpu, monkeypatch):
    cpu(False, False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert fast_bfloat16()
    assert inference_dtype() == torch.float32
    assert resolve_precision("no") == "no"

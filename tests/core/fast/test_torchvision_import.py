"""torchvision, also where its compiled operators do not fit the installed torch."""

import subprocess
import sys

import pytest

from core.fast.torchvision_import import import_torchvision

NEITHER_COMPILED = """
import builtins, sys, types
import torch
real, tries = builtins.__import__, []

def without_operators(name, *arguments, **keywords):
    if name != "torchvision":
        return real(name, *arguments, **keywords)
    tries.append(name)
    if len(tries) == 1:
        raise RuntimeError({message!r})
    torch.ops.torchvision.nms, torch.ops.torchvision.qnms  # AttributeError unless they were declared
    module = sys.modules["torchvision"] = types.ModuleType("torchvision")
    return module

builtins.__import__ = without_operators
from core.fast.torchvision_import import import_torchvision
print(import_torchvision().__name__, len(tries))
"""


def run(message: str) -> subprocess.CompletedProcess:
    program = NEITHER_COMPILED.format(message=message)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_it_can_be_imported_here():
    assert import_torchvision().__name__ == "torchvision"


def test_missing_operators_are_declared():
    outcome = run("operator torchvision::nms does not exist")
    assert outcome.stdout == "torchvision 2\n", outcome.stderr


@pytest.mark.parametrize("message", ["the file is damaged"])
def test_another_failure_is_not_hidden(message):
    outcome = run(message)
    assert outcome.returncode == 1
    assert f"RuntimeError: {message}" in outcome.stderr

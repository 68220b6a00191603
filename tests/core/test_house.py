"""Rules of the house that nobody would notice in a review: who may import whom, and who may reach into what."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"app", "benchmarks", "core", "demos", "scripts", "tests"}
FILES = sorted([ROOT / "app.py", *(f for part in ("core", "demos") for f in (ROOT / part).rglob("*.py"))])
HOOKS = ("core/fast/", "demos/gradio_hooks.py")  # may reach into other packages; docs/fast.md lists them
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}  # of named tuples and os, and documented
INNER = re.compile(r"gradio\.(blocks|data_classes|queueing|route_utils|routes|state_holder|utils)|torch\._\w+|ctypes")
OPERATORS = re.compile(r"torch\.ops\.|torch\.library\.")


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def own_names(tree: ast.Module) -> set[str]:
    """What a module defines itself: functions, classes, fields and attributes of self."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            names.add(node.attr)
    return names


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of each import; the name is "" where the module itself is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def reaches(source: str) -> list[str]:
    """Where a module reaches into another one's private parts."""
    tree = ast.parse(source)
    found, names = [], own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            if (private(node.attr) and node.attr not in names) or OPERATORS.match(whole):
                found.append(whole)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            asked = node.args[1] if len(node.args) > 1 else None
            if isinstance(asked, ast.Constant) and isinstance(asked.value, str) and private(asked.value):
                found.append(ast.unparse(node))
    for module, name in imports(tree):
        if private(name) or any(private(part) for part in module.split(".")) or INNER.match(module):
            found.append(f"{module} {name}".strip())
    return found


@pytest.mark.parametrize("file", [f for f in FILES if not name_of(f).startswith(HOOKS)], ids=name_of)
def test_only_the_hooks_reach_into_other_packages(file):
    assert reaches(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "layer._flat_weights = []",
        "from torch import _VF",
        "import torch._dynamo",
        "getattr(torch.cpu, '_is_amx_tile_supported')",
        "torch.ops.quantized.linear_dynamic_fp16(x, w)",
        "from gradio.utils import get_upload_folder",
        "import ctypes",
        "from core.decoding.search import _score",
    ],
)
def test_a_reach_would_be_noticed(source):
    assert reaches(source)


def test_every_hook_is_in_the_list():
    page = (ROOT / "docs" / "fast.md").read_text(encoding="utf-8")
    hooks = [name_of(f) for f in FILES if name_of(f).startswith(HOOKS) and f.name != "__init__.py"]
    assert [name for name in hooks if f"`{name}`" not in page] == []
    named = re.findall(r"`((?:core|demos|tests)/[\w/]+\.py)`", page)
    assert [name for name in named if not (ROOT / name).exists()] == []


# --- who imports whom ----------------------------------------------------------------------------------------------


def module_of(file: Path) -> str:
    return name_of(file).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def graph() -> dict[str, set[str]]:
    """{module: modules of our own that it imports when it is imported itself}"""
    modules = {module_of(f): f for f in FILES}
    edges = {}
    for module, file in modules.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):  # imports within functions come later, and under TYPE_CHECKING never
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            ):
                node.body = []
        wanted = {f"{m}.{n}" if f"{m}.{n}" in modules else m for m, n in imports(tree)}
        edges[module] = {m for m in wanted if m in modules} - {module}
    return edges


def test_no_module_imports_itself_by_way_of_others():
    edges = graph()
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in sorted(edges[module]):
                visit(other, (*way, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_core_knows_no_demo_and_no_gradio():
    for file in FILES:
        if name_of(file).startswith("core/"):
            source = file.read_text(encoding="utf-8")
            assert not re.search(r"\bdemos\.", source), file
            assert not {m.partition(".")[0] for m, _ in imports(ast.parse(source))} & {"app", "demos", "gradio"}, file


def test_no_demo_reads_another_ones_insides():
    """Another demo's Predictor may be called; what two of them need lies in core, or beside them in demos/."""
    for module, others in graph().items():
        _, _, rest = module.partition("demos.")
        demo = rest.partition(".")[0]
        folder = ROOT / "demos" / demo
        if not (demo and folder.is_dir()):
            continue
        for other in others:
            parts = other.split(".")
            foreign = len(parts) > 2 and parts[0] == "demos" and parts[1] != demo
            assert not foreign or parts[2] == "predict", f"{module} imports {other}"


def test_the_floor_plan_is_small():
    entries = [p.name for p in (ROOT / "core").iterdir() if p.name not in ("__init__.py", "__pycache__")]
    assert len(entries) <= 12
    for wing in (p for p in (ROOT / "core").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert (wing / "__init__.py").exists()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 350


def test_nothing_but_the_standard_library_and_what_the_requirements_name_is_imported():
    named = " ".join((ROOT / file).read_text().lower() for file in ("requirements.txt", "requirements-dev.txt"))
    other_names = {"av": "av", "PIL": "pillow", "yaml": "pyyaml", "skimage": "scikit-image", "sklearn": "scikit-learn"}
    brought = {"httpx", "pydantic", "starlette"}  # by gradio
    for file in FILES:
        for module, _ in imports(ast.parse(file.read_text(encoding="utf-8"))):
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or top in OWN or top in brought:
                continue
            package = other_names.get(top, top).lower()
            assert package in named or package.replace("_", "-") in named, f"{name_of(file)} imports {module}"

"""The shape of the code: who may import whom, and that what is public says what it does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("deployments", "flows", "tasks", "gridtide")
"""From the outermost to the innermost; each may import those after it."""

FILES = sorted(path.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))

PURE = (
    "errors",
    "periods",
    "variables",
    "observations",
)
DOORS = {"aiohttp", "obstore", "boto3", "requests", "httpx", "urllib.request", "socket"}
"""What only the doors to network and storage may use."""


@lru_cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text())


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, packages: set[str]) -> bool:
    """Whether `module` is one of `packages` or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path: Path) -> None:
    """deployments → flows → tasks → gridtide, never back."""
    outer = set(LAYERS[: LAYERS.index(path.parts[0])])
    assert [name for name in imports(path) if within(name, outer)] == []


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "gridtide"], ids=str)
def test_the_domain_knows_no_orchestrator_and_one_file_knows_mlx(path: Path) -> None:
    """No Prefect in gridtide; MLX in mlx_store.py alone."""
    unknown = {"prefect", "prefect_aws"} | ({"mlx"} if path.name != "mlx_store.py" else set())
    assert [name for name in imports(path) if within(name, unknown)] == []


def is_pure(path: Path) -> bool:
    """Whether a file is to do no I/O: the sources and the numerical modules."""
    return path.parts[:2] == ("gridtide", "sources") or (path.parts[0] == "gridtide" and path.stem in PURE)


@pytest.mark.parametrize("path", [p for p in FILES if is_pure(p)], ids=str)
def test_pure_code_opens_no_door(path: Path) -> None:
    """Sources and numerical modules use neither network nor storage, nor the modules that do."""
    doors = DOORS | {"gridtide.http", "gridtide.lake", "gridtide.collect", "gridtide.mlx_store"}
    assert [name for name in imports(path) if within(name, doors)] == []


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The public functions and classes in a module, and the public methods of these classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{child.name}.")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_is_public_says_what_it_does(path: Path) -> None:
    """Every module, public class, function and method has a docstring."""
    tree = parsed(path)
    assert ast.get_docstring(tree), path
    silent = [name for name, node in public(tree) if not ast.get_docstring(node)]  # type: ignore[arg-type]
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_functions_stay_short(path: Path) -> None:
    """No function is longer than 60 lines."""
    tree = parsed(path)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: size for f in functions if (size := (f.end_lineno or f.lineno) - f.lineno + 1) > 60}
    assert long == {}


@pytest.mark.parametrize("module", ["gridtide.config", "gridtide.collect", "deployments.cli", "deployments.cli.status"])
def test_what_must_start_quickly_loads_no_prefect(module: str) -> None:
    """Importing these loads neither Prefect nor MLX, in a process of its own."""
    code = f"import {module}, sys; print([m for m in ('prefect', 'mlx', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""The modules of the project as syntax trees: their imports and the names that they bind."""

import ast
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("deployments", "flows", "tasks", "gridtide")
"""From the outermost to the innermost; each may import those after it."""

FILES = sorted(path.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a file; a package has the name of its folder."""
    return ".".join(path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts)


MODULES = {module_name(path): path for path in FILES}


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text())


def imports(path: Path) -> Iterator[str]:
    """The imports of a file, anywhere in it and also for types: modules, and names as `module.name`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, packages: Iterable[str]) -> bool:
    """Whether `module` is one of `packages` or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def own_module(name: str) -> str | None:
    """The module of the project that `name` is, or is defined in; None for other names."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


@cache
def own_imports(module: str) -> frozenset[str]:
    """The other modules of the project that `module` imports."""
    targets = {own_module(name) for name in imports(MODULES[module])}
    return frozenset(target for target in targets if target is not None and target != module)


def folders() -> list[str]:
    """Every package, by its dotted name."""
    return sorted({".".join(path.parent.parts) for path in FILES})


def child_graph(folder: str, without: Container[tuple[str, str]] = ()) -> dict[str, set[str]]:
    """The imports between the modules and packages directly in `folder`, with everything inside them.

    The imports `without`, as pairs of modules, do not count.
    """

    def child(module: str) -> str:
        return module.removeprefix(f"{folder}.").partition(".")[0] if module != folder else ""

    graph: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        if within(module, {folder}) and module != folder:
            targets = {target for target in own_imports(module) if (module, target) not in without}
            inside = {child(target) for target in targets if within(target, {folder})}
            graph[child(module)] |= inside - {child(module)}
    return dict(graph)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of `graph`, in the order of its arrows; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Every name that is bound in `tree`, as often as it is bound: variables, parameters, attributes, functions,
    classes, aliases; without `_`, `self`, `cls` and what has double underscores."""
    for node in ast.walk(tree):
        name = bound_name(node)
        if name and name not in ("_", "self", "cls") and not name.startswith("__"):
            yield name


def bound_name(node: ast.AST) -> str | None:
    """The name that this node binds, if it binds one."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.ExceptHandler(name=name) | ast.alias(asname=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
    return None


def function_names(tree: ast.AST) -> list[str]:
    """The names of all functions and methods in `tree`, without those with double underscores."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [node.name for node in functions if not node.name.startswith("__")]


def public_names(tree: ast.Module) -> set[str]:
    """The public functions, classes and constants that a module defines at its top."""
    names: set[str | None] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Assign(targets=targets):
                names |= {bound_name(target) for target in targets}
            case ast.AnnAssign(target=target):
                names.add(bound_name(target))
    return {name for name in names if name and not name.startswith("_")}


def doubled_names() -> dict[str, list[str]]:
    """The public names that more than one module defines, with these modules."""
    homes: dict[str, list[str]] = defaultdict(list)
    for module, path in MODULES.items():
        for name in public_names(parsed(path)):
            homes[name].append(module)
    return {name: modules for name, modules in sorted(homes.items()) if len(modules) > 1}


def count_names(paths: Iterable[Path]) -> Counter[str]:
    """How often each name is bound in these files."""
    return Counter(name for path in paths for name in bound_names(parsed(path)))

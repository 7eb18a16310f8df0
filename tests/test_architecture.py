"""The structure of the code: imports, names, docstrings, and the page that describes them."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.source_tree import (
    FILES,
    LAYERS,
    MODULES,
    ROOT,
    child_graph,
    circle,
    count_names,
    doubled_names,
    folders,
    function_names,
    imports,
    own_imports,
    parsed,
    within,
)

ROOMS = (
    *("errors", "periods", "clock", "variables", "threads", "simulation"),
    *("entries", "observations", "sources", "sandbox", "config"),
    *("http", "database", "lake", "collect", "curated", "coverage", "quality", "training"),
    *("evaluation", "catalog", "tracking", "sql"),
    *("array_store", "mlx_store", "ring"),
)
"""The rooms of `gridtide/` from the ground up; each may import those before it; see `docs/architecture.md`."""

NEIGHBOURS = ({"http", "lake"}, {"database", "lake"}, {"collect", "curated"}, {"training", "coverage"})
"""Rooms that do not import each other, whatever their order."""

PLANNED: set[str] = set()
"""Rooms that have a place in the order and no modules yet."""

BACKWARDS: dict[tuple[str, str], str] = {}
"""Imports that still run backwards, with the reason. No import may be added."""

MOST_MODULES = 10
"""The maximum number of modules in a folder."""

MOST_LINES = 60
"""The maximum number of lines of a function."""

PURE = ("errors", "periods", "clock", "variables", "observations")
DOORS = {"aiohttp", "obstore", "boto3", "requests", "httpx", "urllib.request", "socket"}
"""Packages that only `http` and `lake` may use."""

BANNED = """
    one ones two other others another each both such same rest some this that these those it there here
    found made said told wanted known taken asked kept given left seen held done gone got shown sent lost meant needed
    brought something anything nothing everything
"""
"""Words that are not allowed as names, because they say nothing away from the line that binds them."""

MEAN_LENGTH = 7.0
"""The required mean length of names, each counted as often as it is bound."""

ONE_WORD = 0.45
"""The largest share of functions with a one-word name."""

GROUND = ("errors", "periods", "clock", "variables", "threads", "simulation", "array_store", "mlx_store", "ring")
"""The rooms that are one file; their names are counted together."""

MEAN_LENGTHS = {
    "ground": 7.0,
    "gridtide.entries": 7.0,
    "gridtide.observations": 7.0,
    "gridtide.sandbox": 7.0,
    "gridtide.sources": 6.9,
    "gridtide.config": 7.0,
    "gridtide.http": 7.0,
    "gridtide.database": 7.0,
    "gridtide.lake": 6.9,
    "gridtide.collect": 6.9,
    "gridtide.curated": 7.0,
    "gridtide.coverage": 6.9,
    "gridtide.quality": 7.0,
    "gridtide.training": 7.0,
    "gridtide.evaluation": 7.0,
    "gridtide.catalog": 7.0,
    "gridtide.tracking": 7.0,
    "gridtide.sql": 7.0,
    "tasks": 7.0,
    "flows": 7.0,
    "deployments": 7.0,
}
"""The required mean length of names per room, until it has reached `MEAN_LENGTH`."""

SHARED_NAMES: dict[str, str] = {
    "main": "where a process begins",
    "compact": "gather files into months: the function, and the flow that runs it",
    "logger": "the logger of a module",
    "P": "the parameters of a function that is wrapped",
    "T": "any type",
}
"""Public names that several modules define on purpose, with their one meaning."""

CONTRACTS = {"gridtide.sources": "gridtide.sources.contract", "gridtide.sandbox.formats": "gridtide.sandbox.upstreams"}
"""Packages whose modules define the same functions, those of the protocol in this module."""


def banned_words(paths: list[Path]) -> list[str]:
    """The banned words among the names in these files, as often as they are bound."""
    return sorted(name for name in count_names(paths).elements() if name.strip("_").lower() in BANNED.split())


def room_files(room: str) -> list[Path]:
    """The files whose names are counted together as those of `room`."""
    if room == "ground":
        return [path for path in FILES if path.parts[0] == "gridtide" and len(path.parts) == 2]
    return [path for path in FILES if within(".".join(path.with_suffix("").parts), {room})]


def test_imports_run_one_way() -> None:
    """Imports run deployments → flows → tasks → gridtide, and never back."""
    outer = {layer: set(LAYERS[:number]) for number, layer in enumerate(LAYERS)}
    assert [(path, name) for path in FILES for name in imports(path) if within(name, outer[path.parts[0]])] == []


def room_of(module: str) -> str | None:
    """The room of a module of gridtide; None for the package itself and for modules outside."""
    layer, _, inside = module.partition(".")
    return inside.partition(".")[0] or None if layer == "gridtide" else None


def allowed_rooms(room: str) -> set[str | None]:
    """The rooms that `room` may import, and the package itself."""
    neighbours = set().union(*(pair for pair in NEIGHBOURS if room in pair)) - {room}
    return {*ROOMS[: ROOMS.index(room) + 1], None} - neighbours


def test_rooms_import_only_rooms_before_them() -> None:
    """A module of gridtide imports only its own room and rooms before it, and no neighbour; imports for types count."""
    rooms = {module: room for module in MODULES if (room := room_of(module))}
    assert set(rooms.values()) <= set(ROOMS), "a room has no place in ROOMS"
    allowed = {room: allowed_rooms(room) for room in ROOMS}
    edges = [(module, name) for module in rooms for name in own_imports(module) if (module, name) not in BACKWARDS]
    assert [(module, name) for module, name in edges if room_of(name) not in allowed[rooms[module]]] == []


def test_no_circle_in_any_folder() -> None:
    """The modules and packages of a folder have no circular imports; imports for types count."""
    circles = {folder: circle(child_graph(folder, without=BACKWARDS)) for folder in folders()}
    assert {folder: modules for folder, modules in circles.items() if modules} == {}


def test_backwards_imports_are_listed_only_while_they_last() -> None:
    """Each listed backwards import still exists."""
    assert [edge for edge in BACKWARDS if edge[0] not in MODULES or edge[1] not in own_imports(edge[0])] == []


def test_a_circle_is_found() -> None:
    """The search finds a circle, and none in a graph without circles."""
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_folders_stay_small() -> None:
    """A folder has at most ten modules."""
    counts = Counter(str(path.parent) for path in FILES if path.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


TESTS = ROOT / "tests"


def test_folders_of_tests_stay_small() -> None:
    """A folder of tests has at most ten modules, apart from its conftest.py."""
    modules = [path for path in TESTS.rglob("*.py") if path.name not in ("__init__.py", "conftest.py")]
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in modules)
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_tests_of_one_group_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """The scheduler of pytest-xdist reads the group of a test from its id. With versions that do not agree on that,
    the tests of a module run in all processes, each of which starts the servers of the module."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("tests are not distributed by groups")
    assert request.node.nodeid.endswith("@tests/test_architecture.py")


KINDS_OF_TESTS = {"properties", "faults", "e2e", "docs", "benchmarks", "support", "fixtures"}
"""Folders of tests about more than one room, and folders without tests."""


def test_tests_mirror_the_rooms() -> None:
    """Every folder of tests is named after a room or a layer, or is of a general kind; every module at the top tests
    a room of one file."""
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {*ROOMS, *LAYERS[:-1], *KINDS_OF_TESTS}
    modules = {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")}
    assert modules <= {*GROUND, "architecture"}


def test_folders_in_folders_of_tests_mirror_the_code() -> None:
    """A folder in the tests of a room or a layer is a folder of its code; one in those of a general kind is a room."""
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    inner = [path for path in folders if len(path.parts) > 1]
    homes = [path.relative_to(path.parts[0]) if path.parts[0] in KINDS_OF_TESTS else path for path in inner]
    layers = (ROOT, ROOT / "gridtide")
    assert [str(home) for home in homes if not any((layer / home).is_dir() for layer in layers)] == []


FLOWS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "flows").rglob("*.py")
    if path.stem not in ("__init__", "report") and path.relative_to(ROOT).parts[1] != "run"
)


@pytest.mark.parametrize("flow", FLOWS)
def test_flows_import_no_other_flow(flow: str) -> None:
    """A flow imports shared code (`flows.run`), and no other flow."""
    flows = {name for name in FLOWS if name != flow}
    backwards = {target for module, target in BACKWARDS if module == flow}
    assert [name for name in own_imports(flow) if within(name, flows - backwards)] == []


PAGE = ROOT / "docs" / "architecture.md"


def drawn_tree() -> list[tuple[str, str]]:
    """The lines of the tree in docs/architecture.md: path and description."""
    drawn, above = [], [""]
    for indent, name, text in re.findall(r"^( *)([\w.]+/?) {2,}(.+)$", PAGE.read_text().split("```")[1], re.MULTILINE):
        above = [*above[: len(indent) // 2 + 1], name]
        drawn.append(("".join(above), text))
    return drawn


def test_the_tree_in_the_docs_is_the_tree_of_folders() -> None:
    """docs/architecture.md lists exactly the folders with files, and the files at the top of gridtide."""
    drawn = {path: text for path, text in drawn_tree() if not text.startswith("(planned)")}
    files = [path for layer in LAYERS for path in (ROOT / layer).rglob("*") if path.is_file()]
    directories = {path.parent.relative_to(ROOT) for path in files if "__pycache__" not in path.parts}
    top = {path.relative_to(ROOT) for path in (ROOT / "gridtide").glob("*.py") if path.name != "__init__.py"}
    assert sorted(drawn) == sorted([*(f"{path}/" for path in directories), *map(str, top)])


def test_the_tree_in_the_docs_is_in_the_order_of_imports() -> None:
    """docs/architecture.md lists the rooms in the order of ROOMS, and marks planned ones."""
    rooms = [(path.split("/")[1].removesuffix(".py"), text) for path, text in drawn_tree() if re.fullmatch(ROOM, path)]
    assert [room for room, _ in rooms] == list(ROOMS)
    assert {room for room, text in rooms if text.startswith("(planned)")} == PLANNED


ROOM = r"gridtide/(\w+\.py|\w+/)"
"""The path of a room in the tree of docs/architecture.md."""


CODE_PATH = rf"`((?:{'|'.join([*LAYERS, 'tests', 'docs', 'examples'])})/[\w./]*)`"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_paths_in_the_docs_exist(page: str) -> None:
    """Every path of code on a page exists, except for planned rooms."""
    paths = re.findall(CODE_PATH, (ROOT / page).read_text())
    planned = {f"gridtide/{room}/" for room in PLANNED}
    assert [path for path in paths if path not in planned and not (ROOT / path).exists()] == []


def table_rows() -> dict[str, str]:
    """What can be added, and where, by the table in docs/architecture.md."""
    table = PAGE.read_text().split("## Where do I add …")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| (\w.*?) \| (.*) \|$", table, re.MULTILINE)[1:])


QUESTIONS = (
    "a grid operator",
    "a receiver of notifications",
    "a training feature",
    "a check of quality",
    "an exporter of metrics",
    "a store",
    "a forecaster",
    "a flow",
)
"""What people ask where to add, as the beginning of a row."""


def test_the_page_says_where_to_add_what() -> None:
    """Each question has a row, and each row names a file or a page where it goes."""
    rows = table_rows()
    assert [question for question in QUESTIONS if not any(what.startswith(question) for what in rows)] == []
    assert [what for what, where in rows.items() if not re.findall(rf"{CODE_PATH}|\]\([\w/]+\.md", where)] == []


def test_names_in_the_table_are_in_the_files_beside_them() -> None:
    """Functions, constants and keys that a row names occur in a file, a folder or a page of the same row."""
    missing = []
    for what, where in table_rows().items():
        paths = [ROOT / path for path in re.findall(CODE_PATH, where)]
        paths += [PAGE.parent / page for page in re.findall(r"\]\(([\w/]+\.md)", where)]
        files = [file for path in paths for file in (path.rglob("*.*") if path.is_dir() else [path]) if file.is_file()]
        names = [path.name for path in files]
        text = "".join(file.read_text() for file in files if file.suffix in (".py", ".md", ".json", ".yaml"))
        for name in re.findall(r"`([\w.]+)`", where):
            if name not in names and not (ROOT / name).exists() and not re.search(rf"\b{re.escape(name)}\b", text):
                missing.append((what, name))
    assert missing == []


def test_the_domain_knows_no_orchestrator_and_one_file_knows_mlx() -> None:
    """gridtide does not import Prefect, and only mlx_store.py imports MLX."""
    unknown = ("prefect", "prefect_aws", "mlx")
    domain = [path for path in FILES if path.parts[0] == "gridtide"]
    imported = {(path.name, name) for path in domain for name in imports(path) if within(name, unknown)}
    assert {(file, name.partition(".")[0]) for file, name in imported} == {("mlx_store.py", "mlx")}


def is_pure(path: Path) -> bool:
    """Whether a file must do no I/O: the sources, the observations and the ground."""
    return path.parts[:2] == ("gridtide", "sources") or (
        path.parts[0] == "gridtide" and path.with_suffix("").parts[1] in PURE
    )


def test_pure_code_opens_no_door() -> None:
    """Pure modules import neither network and storage nor the modules that use them."""
    doors = DOORS | {"gridtide.http", "gridtide.lake", "gridtide.collect", "gridtide.mlx_store"}
    pure = [path for path in FILES if is_pure(path)]
    assert len(pure) > len(PURE)
    assert [(path, name) for path in pure for name in imports(path) if within(name, doors)] == []


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The public functions and classes in a module, and the public methods of these classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{child.name}.")


def test_what_is_public_says_what_it_does() -> None:
    """Every public module, class, function and method has a docstring."""
    assert [path for path in FILES if not ast.get_docstring(parsed(path))] == []
    documented = [(path, name, node) for path in FILES for name, node in public(parsed(path))]
    assert [(path, name) for path, name, node in documented if not ast.get_docstring(node)] == []  # type: ignore[arg-type]


def test_functions_stay_short() -> None:
    """No function is longer than `MOST_LINES`."""
    functions = [
        (path, node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [(path, name, lines) for path, name, lines in functions if lines > MOST_LINES] == []


def test_every_room_has_its_names_counted() -> None:
    """Each room of gridtide, and each outer layer, has a limit for its names."""
    rooms = {"ground", *(f"gridtide.{room}" for room in ROOMS if room not in {*GROUND, *PLANNED})}
    assert set(MEAN_LENGTHS) == rooms | set(LAYERS[:-1])


@pytest.mark.parametrize("room", MEAN_LENGTHS)
def test_names_say_what_they_name(room: str) -> None:
    """No banned word is used as a name, names are long enough, and few functions have a one-word name."""
    paths = room_files(room)
    counts = count_names(paths)
    functions = [name for path in paths for name in function_names(parsed(path))]
    length = sum(len(name) * count for name, count in counts.items()) / counts.total()
    one_word = sum("_" not in name.strip("_") for name in functions) / len(functions)
    assert banned_words(paths) == []
    assert length >= min(MEAN_LENGTHS[room], MEAN_LENGTH)
    assert one_word <= ONE_WORD


def contract_functions(package: str) -> set[str]:
    """The functions and constants of the protocols that the modules of `package` implement."""
    classes = [node for node in parsed(MODULES[CONTRACTS[package]]).body if isinstance(node, ast.ClassDef)]
    protocols = [node for node in classes if any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases)]
    constants = (line.target for node in protocols for line in node.body if isinstance(line, ast.AnnAssign))
    names = {target.id for target in constants if isinstance(target, ast.Name)}
    return names | {name for node in protocols for name in function_names(node)}


def test_no_public_name_means_two_things() -> None:
    """A public name is defined in one module, except by modules of a package that implement its protocol."""
    contracts = {package: contract_functions(package) for package in CONTRACTS}
    doubled = set()
    for name, modules in doubled_names().items():
        fulfilled = [p for p, functions in contracts.items() if name in functions and within(modules[-1], {p})]
        outside = [module for module in modules if not within(module, fulfilled)]
        if name not in SHARED_NAMES and (outside or not fulfilled):
            doubled.add(name)
    assert doubled == set()


@pytest.mark.parametrize("module", ["gridtide.config", "gridtide.collect", "deployments.cli", "deployments.cli.status"])
def test_what_must_start_quickly_loads_no_prefect(module: str) -> None:
    """Importing these modules in a new process imports neither Prefect nor MLX nor pandas."""
    code = f"import {module}, sys; print([m for m in ('prefect', 'mlx', 'pandas') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_status_of_an_empty_lake_loads_no_arrow(tmp_path: Path) -> None:
    """The status of all shipped entries in an empty lake imports neither Arrow nor NumPy, which take half a second."""
    code = (
        "import sys; from deployments.cli.commands import app; "
        f"app(['status', '--lake', {str(tmp_path / 'lake')!r}], standalone_mode=False); "
        "print([m for m in ('pyarrow', 'numpy', 'prefect') if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


NEVER_IMPORTED = {
    "fastapi": "a bound on what Prefect imports",
    "tzdata": "the zones of zoneinfo, where the system has none",
    "alembic": "imported by MLflow, for runs in a store of SQL",
    "scikit-learn": "imported by name, as it is an extra",
}
"""Dependencies that no module imports by a statement, with what needs them."""

BROUGHT_ALONG = {
    "botocore": "boto3",
    "httpx": "prefect",
    "uvicorn": "prefect",
    "multidict": "aiohttp",
    "yarl": "aiohttp",
    "scipy": "scikit-learn",
    "threadpoolctl": "scikit-learn",
}
"""Packages that modules import and `pyproject.toml` does not list, with the dependency of which they are a part."""


def normalized(requirement: str) -> str:
    """The normalized name of the distribution in a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def declared_dependencies() -> set[str]:
    """The distributions that `pyproject.toml` lists for users, not for the development of this project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {**project["optional-dependencies"], "": project["dependencies"]}
    return {
        normalized(requirement)
        for extra, requirements in extras.items()
        if extra not in ("test", "bench", "lint")
        for requirement in requirements
    }


def test_every_dependency_is_used_and_every_import_is_a_dependency() -> None:
    """Each dependency is imported, or listed above with its reason; each imported package is a dependency, or part of
    one."""
    tops = {name.partition(".")[0] for path in FILES for name in imports(path)}
    packages = packages_distributions()
    third_party = tops - set(sys.stdlib_module_names) - set(LAYERS)
    distributions = {top: {normalized(name) for name in packages.get(top, [top])} for top in third_party}
    declared = declared_dependencies()
    assert declared - set().union(*distributions.values()) == set(NEVER_IMPORTED)
    assert {top for top, names in distributions.items() if not names & declared} == set(BROUGHT_ALONG)
    assert set(BROUGHT_ALONG.values()) <= declared

import ast
import importlib
import pathlib
import subprocess
import sys
import tomllib

import jaxnas

ROOT = pathlib.Path(jaxnas.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
NETWORKS = {"types", "check", "batching", "execution", "spaces", "networks"}
PARTS = {
    *NETWORKS,
    *("costs", "evaluators", "population", "problems", "processes", "references", "statistics", "strategies", "tables"),
    *("pretrained", "tasks", "training"),
}
LOOP = {"execution", "loop", "machine", "pareto", "proxies", "search", "segments", "workdir"}
MAY_IMPORT = {
    "types": set(),
    "check": set(),
    "rng": set(),
    "batching": set(),
    "statistics": {"check", "pareto"},
    "tables": {"types", "check", "spaces", "tables"},
    "pareto": {"types", "check"},
    "spaces": {"types", "check", "rng", "batching", "spaces"},
    "predictors": {"types", "check", "spaces", "pareto", "predictors"},
    "networks": NETWORKS,
    "tasks": {"types", "check", "tasks"},
    "problems": {"types", "check", "tasks", "problems"},
    "training": {*NETWORKS, "references", "tasks", "training"},
    "pretrained": {*NETWORKS, "tasks", "training", "version", "pretrained"},
    "costs": {*NETWORKS, "processes", "statistics", "tasks", "version", "costs"},
    "proxies": {*NETWORKS, "tasks", "references", "proxies"},
    "execution": {"check"},
    "population": {"types", "check", "execution"},
    "version": set(),
    "machine": {"execution", "version"},
    "processes": {"check"},
    "preemption": {"processes"},
    "segments": {"check", "checkpoint", "loop", "population", "preemption", "processes", "workdir"},
    "evaluators": {
        *NETWORKS,
        *("tasks", "training", "costs", "population", "predictors", "proxies", "segments", "version", "evaluators"),
    },
    "strategies": {"types", "check", "rng", "spaces", "pareto", "predictors", "strategies"},
    "checkpoint": {"types", "check"},
    "loop": {"types", "check", "checkpoint", "population", "processes", "loop"},
    "workdir": {"types", "check", "checkpoint", "processes", "loop"},
    "search": {"types", "check", "population", "processes", "preemption", "workdir", "loop"},
    "plots": {"types", "check", "spaces", "costs", "loop", "plots"},
    "references": {"check"},
    "config": {*PARTS, "checkpoint", "search", "workdir", "config"},
    "observers": {"check", "processes"},
    "analysis": {*PARTS, *LOOP, "plots", "config", "analysis"},
    "planning": {*PARTS, *LOOP, "config", "analysis", "planning"},
    "experiment": {*PARTS, *LOOP, "plots", "config", "analysis"},
}
MAY_IMPORT["benchmarks"] = {"", *MAY_IMPORT, "benchmarks"}  # they time the whole, and nothing is made of them


def imported(source: str) -> set[str]:
    """Absolute names of all modules imported anywhere in the source, `from package import name` as `package.name`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parts(source: str) -> set[str]:
    """The parts of jaxnas that the source imports."""
    return {name.split(".")[1] if "." in name else "" for name in imported(source) if name.split(".")[0] == "jaxnas"}


def test_reader_of_imports_sees_every_form():
    source = (
        "import jaxnas\nimport jaxnas.tasks.task\nfrom jaxnas import check\ndef f():\n  from jaxnas.spaces import x"
    )
    assert parts(source) == {"", "tasks", "check", "spaces"}


def test_imports_run_one_way():
    for module in sorted(set(MODULES) - {"__init__"}):
        part = module.split(".")[0]
        assert part in MAY_IMPORT, f"say in this test what {part} may import"
        assert parts(MODULES[module].read_text()) <= MAY_IMPORT[part], module


def test_library_does_not_know_its_programs():
    for module, path in MODULES.items():
        roots = {name.split(".")[0] for name in imported(path.read_text())}
        assert not roots & {"launch", "configs", "tests"}, module


def test_every_listed_name_exists_and_packages_only_list():
    for module, path in MODULES.items():
        if path.name != "__init__.py":
            continue
        listed = next(
            n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"
        )
        package = jaxnas if module == "__init__" else importlib.import_module(f"jaxnas.{module}")
        names = ast.literal_eval(listed.value)
        assert names == sorted(names) and all(hasattr(package, name) for name in names), module


def test_import_stays_light():
    heavy = [
        "tensorflow",
        "tensorflow_datasets",
        "PIL",
        "matplotlib",
        "sklearn",
        "orbax",
        "pandas",
        "gguf",
        "safetensors",
        "tokenizers",
        "jaxnas.benchmarks",
    ]
    code = f"import jaxnas, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"


def test_every_package_is_in_the_wheel():
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"jaxnas", "jaxnas.configs", "jaxnas.launch"}
    found |= {f"jaxnas.{path.parent.name}" for path in ROOT.glob("*/__init__.py")}
    assert settings["packages"] == sorted(found)

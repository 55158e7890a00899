"""What is handed out: wheel and source distribution, container, notebook, site, and the version of all of them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


def run(*command: object, **more) -> str:
    """What a command prints; fails where it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# -- version --


def test_the_version_is_the_newest_heading_of_the_changelog():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == PROJECT["version"]
    numbers = [tuple(map(int, heading.split("."))) for heading in headings]
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(len(number) == 3 for number in numbers)


# -- container --


def instructions() -> list[tuple[str, str]]:
    """Keyword and arguments of every instruction of the Dockerfile, lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(keyword, rest) for keyword, _, rest in (line.partition(" ") for line in lines)]


def test_the_dockerfile_copies_what_there_is_and_names_extras_that_exist():
    kinds = [keyword for keyword, _ in instructions()]
    assert set(kinds) == {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    assert kinds[:2] == ["ARG", "FROM"]
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [rest.split()[:-1] for keyword, rest in instructions() if keyword == "COPY" and "--from" not in rest]
    assert {name for names in copied for name in names} == sent
    assert all((ROOT / name).exists() for name in sent)
    text = (ROOT / "Dockerfile").read_text()
    extras = {name for names in re.findall(r"EXTRAS=([\w,]+)", text) for name in names.split(",")}
    assert extras <= set(PROJECT["optional-dependencies"])
    assert "cuda" in extras
    assert dict(instructions())["ENTRYPOINT"] == json.dumps([next(iter(PROJECT["scripts"]))])


# -- site --


def test_the_site_is_built_in_strict_mode(tmp_path):
    """With every page of docs/ in its navigation."""
    tool = shutil.which("zensical", path=f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        pytest.skip("zensical is not installed: pip install '.[docs]'")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    run(tool, "build", "--strict", cwd=tmp_path)
    named = re.findall(r"^  - .+: (\w+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    built = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert set(named) <= built


# -- notebook --


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text())
    found = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in found)
    return ["".join(cell["source"]) for cell in found]


def test_the_notebook_is_kept_without_outputs_and_compiles():
    for source in cells():
        compile(source, str(NOTEBOOK), "exec")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install '.[notebook]'")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "STEPS = 1_000_000" in first.source
    first.source = first.source.replace("STEPS = 1_000_000", "STEPS = 65_536")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment)
    printed = "".join(x.get("text", "") for cell in notebook.cells for x in cell.get("outputs", []))
    assert "TradingPhase1(MarketData(SYNTH: 30 sessions" in printed
    assert re.search(r"\d+ sessions, [+-][\d,]+ dollars each", printed)


# -- wheel and source distribution --


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    """A folder with the source distribution and the wheel that is built from it."""
    pytest.importorskip("build", reason="build is not installed: pip install '.[dev]'")
    out = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "checkout"
    left_out = shutil.ignore_patterns(".*", "runs", "build", "dist", "mutants", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left_out)
    run(sys.executable, "-m", "build", "--outdir", out, source)
    return out


def modules() -> set[str]:
    packages = ("trading_gymnax", "purejaxrl_ppo")
    kinds = (".py", ".css", ".js", ".json", ".typed")
    found = {path for package in packages for path in (ROOT / package).rglob("*") if path.suffix in kinds}
    return (
        {path.relative_to(ROOT).as_posix() for path in found}
        | {f"{package}/py.typed" for package in packages}
        | {"_console_start.py"}
    )


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"trading_gymnax-{PROJECT['version']}-py3-none-any.whl"
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == modules()
    assert {f"trading_gymnax/report/{name}" for name in ("page.css", "page.js", "trades.js")} <= names
    assert "trading_gymnax/accounts/topstep.json" in names


@pytest.mark.slow
def test_the_source_distribution_holds_no_tests(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert modules() <= names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "docs/rules.md"} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "shared", "."))]


def interpreter(version: str) -> str | None:
    """A Python of that version: on the path, or one of pyenv's."""
    found = sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_installs_and_runs_in_an_empty_environment(version, built, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    clean = {name: x for name, x in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL", "XLA"))}
    environment = clean | {"JAX_PLATFORMS": "cpu"}
    run(python, "-m", "venv", tmp_path / "v", env=environment)
    folder = tmp_path / "v" / "bin"
    (wheel,) = built.glob("*.whl")
    run(folder / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, env=environment)

    def typed(program: str, *args: str) -> str:
        return run(folder / program, *args, env=environment, cwd=tmp_path)

    assert "commission_per_side" in typed("trading-gymnax", "params")
    tiny = ["--num-envs", "8", "--num-steps", "32", "--total-timesteps", "512", "--hidden-sizes", "8"]
    assert "policy, logs and checkpoints are in" in typed("purejaxrl-ppo", "train", "CartPole-v1", *tiny)
    program = "import gymnax, trading_gymnax; print(*gymnax.make('TradingPhase2-v0'))"
    assert "EnvParamsPhase2(" in typed("python", "-c", program)

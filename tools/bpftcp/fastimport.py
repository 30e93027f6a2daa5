"""A tarball becomes one commit of a bare git repository, without being unpacked.

git fast-import writes a single pack while the tarball streams through: a third
of the time and none of the disk of unpacking, adding and committing.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO

from bpftcp import proc
from bpftcp.errors import SourceError
from bpftcp.progress import Stage, stage
from bpftcp.source import CHUNK, Source, sha256_of

IDENT = "bpftcp <bpftcp@localhost>"
"""Fixed, like the date, so that the same source is the same commit everywhere."""

_DECOMPRESS = {
    ".xz": ("xz", "-dc", "-T0"),
    ".gz": ("gzip", "-dc"),
    ".bz2": ("bzip2", "-dc"),
    ".zst": ("zstd", "-dc"),
    ".tar": ("cat",),
}


def import_tarball(source: Source, repository: Path) -> str:
    """Make sure the source is a commit of the bare repository; returns the commit's id.

    Raises SourceError when the file is not the one recorded, or is no kernel tarball.
    """
    if not (repository / "HEAD").is_file():
        proc.run(["git", "init", "-q", "--bare", repository]).require(
            SourceError, f"cannot create the repository {repository}"
        )
    ref = f"refs/sources/{source.sha256[:16]}"
    resolve = ("git", "-C", repository, "rev-parse", "-q", "--verify", f"{ref}^{{commit}}")
    known = proc.run(resolve)
    if known.ok:
        return known.output.strip()
    if source.path.suffix not in _DECOMPRESS or not shutil.which(
        _DECOMPRESS[source.path.suffix][0]
    ):
        raise SourceError(f"{source.path}: no way to unpack {source.path.suffix} here")
    if sha256_of(source.path) != source.sha256:
        raise SourceError(
            f"{source.path} is not the file that was recorded: delete it, then repeat"
        )
    with stage(f"import {source.name}") as progress:
        _stream(source, repository, ref, progress)
    return proc.run(resolve).require(SourceError, f"{source.path} was not imported").strip()


def _stream(source: Source, repository: Path, ref: str, progress: Stage) -> None:
    unpack = subprocess.Popen(
        [*_DECOMPRESS[source.path.suffix], source.path],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    load = subprocess.Popen(
        [
            "git",
            "-C",
            repository,
            "-c",
            "core.compression=1",
            "fast-import",
            "--quiet",
            "--depth=0",
        ],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert unpack.stdout is not None and load.stdin is not None
    try:
        entries, date = _write_blobs(unpack.stdout, load.stdin, progress)
        # tarfile stops at the archive's end mark: what follows must be sound too.
        while unpack.stdout.read(CHUNK):
            pass
        if unpack.wait() != 0:
            raise tarfile.ReadError("damaged or cut")
        if not any(path == "Kbuild" for _, _, path in entries):
            raise SourceError(f"{source.path} holds no kernel (no Kbuild at its top)")
        _write_commit(load.stdin, source, ref, entries, date)
        load.stdin.close()
        if load.wait() != 0:
            raise SourceError(f"{source.path}: git fast-import failed")
    except (tarfile.TarError, OSError, EOFError, KeyError) as e:
        raise SourceError(f"{source.path}: not a readable kernel tarball ({e})") from e
    finally:
        # fast-import writes its refs only at the end: killing it leaves no trace of the ref.
        for child in (load, unpack):
            if child.poll() is None:
                child.kill()
                child.wait()


def _write_blobs(
    tarball: IO[bytes], out: IO[bytes], progress: Stage
) -> tuple[list[tuple[str, int, str]], int]:
    """Hand over all files as they come; returns (mode, mark, path) of each and the newest date."""
    entries: list[tuple[str, int, str]] = []
    newest = 0
    with tarfile.open(fileobj=tarball, mode="r|") as tar:
        for member in tar:
            path = member.name.removeprefix("./").partition("/")[2]
            if not path or not (member.isfile() or member.issym()):
                continue
            if member.issym():
                data, mode = member.linkname.encode(), "120000"
            else:
                handle = tar.extractfile(member)
                data = handle.read() if handle else b""
                mode = "100755" if member.mode & 0o100 else "100644"
            entries.append((mode, len(entries) + 1, path))
            newest = max(newest, int(member.mtime))
            out.write(b"blob\nmark :%d\ndata %d\n" % (len(entries), len(data)))
            out.write(data)
            out.write(b"\n")
            progress.update(len(entries), None, path)
    return entries, newest


def _write_commit(
    out: IO[bytes], source: Source, ref: str, entries: list[tuple[str, int, str]], date: int
) -> None:
    message = f"{source.name}\n\nsha256 of the tarball: {source.sha256}\n".encode()
    out.write(f"commit {ref}\ncommitter {IDENT} {date} +0000\n".encode())
    out.write(b"data %d\n%b" % (len(message), message))
    for mode, mark, path in entries:
        quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
        out.write(f"M {mode} :{mark} {quoted}\n".encode())
    out.write(b"\n")

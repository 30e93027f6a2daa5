"""The stages put together for one run: which tree, which variant, which profile."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bpftcp import build, kconfig, kvm, source, testbuild
from bpftcp.apply import ApplyResult, apply_series
from bpftcp.applystate import State, load, recorded_base, save
from bpftcp.boot import Guest
from bpftcp.errors import SourceError, TreeError, UsageError
from bpftcp.fastimport import import_tarball
from bpftcp.layout import PATCHED, UNPATCHED, Base, Layout, load_bases, locked, tree_key
from bpftcp.series import Series, load_series
from bpftcp.tree import Tree, managed_tree, open_tree, refuse_unclean


@dataclass(frozen=True)
class Request:
    """What the command line asks for, as plain values."""

    base: str | None = None
    tree: Path | None = None
    tarball: Path | None = None
    topic: str | None = None
    profile: str = "lean"
    unpatched: bool = False
    update: bool = False
    offline: bool = False
    carry_on: bool = False
    jobs: int | None = None
    repeat: str = "tools/kbuild apply"


@dataclass(frozen=True)
class Kernel:
    """A built kernel with everything its users need."""

    tree: Tree
    config: kconfig.Config
    build: build.Build
    profile: kconfig.Profile


def _choose(bases: dict[str, Base], name: str) -> Base:
    if name not in bases:
        raise SourceError(
            f"base {name} is unknown",
            excerpt=source.alternatives(f"--base {known}" for known in bases),
        )
    return bases[name]


class Pipeline:
    """One run over one kernel. Each method does its stage and those before it, if needed."""

    def __init__(self, layout: Layout, request: Request) -> None:
        self.layout = layout
        self.request = request
        default, bases = load_bases(layout.patches)
        self.base = _choose(bases, request.base or default)
        self.canonical = bases[default]
        self.profiles = kconfig.load_profiles(layout.kconfig)

    def variant(self, *, unpatched: bool) -> Pipeline:
        """The same run over the kernel with or without the series."""
        return Pipeline(self.layout, replace(self.request, unpatched=unpatched))

    @property
    def key(self) -> str:
        """Name of the work folder: the base's, or one for a given tree or tarball."""
        given = self.request.tree or self.request.tarball
        return tree_key(given) if given else self.base.name

    @property
    def folder(self) -> Path:
        return self.layout.variant(self.key, UNPATCHED if self.request.unpatched else PATCHED)

    @property
    def out(self) -> Path:
        """The build folder of the profile."""
        return self.folder / self.profile().name

    @cached_property
    def tools(self) -> build.Toolchain:
        return build.toolchain(self.folder)

    def series(self) -> Series:
        return load_series(self.layout.patches, self.base.name, self.request.topic)

    def profile(self) -> kconfig.Profile:
        name = self.request.profile
        if name not in self.profiles:
            raise UsageError(f"no profile {name}; there is: {', '.join(self.profiles)}")
        return self.profiles[name]

    def base_commit(self) -> tuple[Path, str]:
        """The repository that holds the base, and the base's commit in it."""
        if self.request.tree:
            tree = open_tree(self.request.tree)
            return tree.path, recorded_base(tree) or tree.head()
        if self.request.tarball:
            return self._import(source.from_tarball(self.request.tarball))
        return self._import(self._package(self.base, update=self.request.update))

    def _package(self, base: Base, *, update: bool = False) -> source.Source:
        with locked(self.layout.cache, "download"):
            return source.from_package(
                base, self.layout.cache, update=update, offline=self.request.offline
            )

    def _import(self, src: source.Source) -> tuple[Path, str]:
        repository = self.layout.repository
        with locked(self.layout.cache, "import"):
            return repository, import_tarball(src, repository)

    def apply(self) -> tuple[Tree, ApplyResult | None]:
        """The tree with the series; or as it is, for an unpatched kernel."""
        repository, commit = self.base_commit()
        with locked(self.layout.work / self.key, "tree"):
            return self._apply(repository, commit)

    def _apply(self, repository: Path, commit: str) -> tuple[Tree, ApplyResult | None]:
        if self.request.unpatched:
            return self._unpatched(repository, commit), None
        series = self.series()
        if self.request.tree:
            tree = open_tree(self.request.tree)
        else:
            tree = managed_tree(repository, self.folder / "tree", commit)
        result = apply_series(
            tree,
            series,
            commit,
            carry_on=self.request.carry_on,
            repeat=self.request.repeat,
            find_blobs=self._import_canonical if tree.managed else lambda: None,
        )
        return tree, result

    def _unpatched(self, repository: Path, commit: str) -> Tree:
        """The base as it is: a baseline with local work in it is none."""
        tree = managed_tree(repository, self.folder / "tree", commit)
        refuse_unclean(tree)
        recorded = load(tree)
        if tree.head() != commit:
            if recorded is not None and tree.head() != recorded.base:
                raise TreeError(
                    f"{tree.path} has commits of yours; keep them elsewhere first",
                    repeat=f"git -C {tree.path} log {recorded.base[:12]}..HEAD",
                )
            tree.git("reset", "-q", "--hard", commit).require(TreeError, "cannot update")
        save(tree, State(commit))
        return tree

    def _import_canonical(self) -> None:
        """The source the canonical patches are made against: a 3-way merge starts from it."""
        if self.base != self.canonical and not self.request.offline:
            self._import(self._package(self.canonical))

    def configure(self) -> tuple[Tree, kconfig.Config]:
        tree, _ = self.apply()
        profile = self.profile()
        fragments = kconfig.fragment_paths(self.layout.kconfig, profile, self.base.kconfig)
        make_args = self.tools.make_args
        return tree, kconfig.configure(tree.path, self.out, fragments, make_args=make_args)

    def build(self) -> Kernel:
        tree, config = self.configure()
        profile = self.profile()
        made = build.build_kernel(
            tree, self.out, config.digest, self.tools, jobs=self.jobs, expected=profile.objects
        )
        return Kernel(tree, config, made, profile)

    @property
    def jobs(self) -> int:
        return self.request.jobs or build.default_jobs()

    def build_tests(self, kernel: Kernel) -> testbuild.TestBuild:
        with locked(self.layout.work / self.key, "tools"):
            return testbuild.build_tests(
                kernel.tree.path,
                kernel.build.vmlinux,
                self.layout.selftests,
                self.tests_folder(),
                self.folder / "tools",
                jobs=self.jobs,
                inputs=kernel.build.fingerprint,
            )

    def build_upstream(self, kernel: Kernel) -> Path:
        """The kernel's own MPTCP tests: the folder with their scripts and programs."""
        tests = self.build_tests(kernel)
        with locked(self.layout.work / self.key, "tools"):
            folder = testbuild.build_upstream(
                kernel.tree.path,
                kernel.build.vmlinux,
                self.layout.selftests,
                self.tests_folder(),
                self.folder / "tools",
                jobs=self.jobs,
            )
            shutil.copy2(tests.test_progs, folder)
        return folder

    def build_program(self, kernel: Kernel, program: Path) -> tuple[Path, Path]:
        """One BPF program for this kernel: its object, and bpftool."""
        with locked(self.layout.work / self.key, "tools"):
            return testbuild.build_program(
                program,
                kernel.tree.path,
                kernel.build.vmlinux,
                self.layout.selftests,
                self.tests_folder(),
                self.folder / "tools",
            )

    def tests_folder(self) -> Path:
        return self.out / "selftests"

    def guest(self, kernel: Kernel, run: str, *, allow_kvm: bool = True) -> Guest:
        """A guest for this kernel; run names the folder of its logs."""
        profile = kernel.profile
        return Guest(
            image=kernel.build.image,
            folder=self.out / "runs" / run,
            cpus=profile.cpus,
            memory=profile.memory,
            kvm=allow_kvm and kvm.usable(kernel.build.image, self.layout.cache),
            cmdline=profile.cmdline,
            boot_timeout=120 * profile.slowness,
            run_timeout=3600 * profile.slowness,
            quiet_timeout=240 * profile.slowness,
        )

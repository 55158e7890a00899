"""Which program this is."""

from __future__ import annotations

import importlib.metadata
import pathlib
import subprocess


def program_version() -> str:
    """This program's version, and the commit where it runs from a checkout that git knows."""
    try:
        version = f"trading-gymnax {importlib.metadata.version('trading-gymnax')}"
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
        version = "trading-gymnax, not installed"
    here = pathlib.Path(__file__).resolve()
    # Installed into someone else's repository, the commit found there would not be ours.
    if _git(here, "ls-files", "--error-unmatch", here.name) is None:
        return version
    commit = _git(here, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return version
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".", "../purejaxrl_ppo")
    return f"{version}, commit {commit}{' with changes not committed' if changed else ''}"


def _git(here: pathlib.Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

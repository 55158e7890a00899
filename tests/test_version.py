"""Which program this is, also where nobody installed it."""

import importlib.metadata

import pytest

from trading_gymnax import version


def test_a_checkout_that_was_never_installed_says_so(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(version.importlib.metadata, "version", missing)
    monkeypatch.setattr(version, "_git", lambda here, *arguments: "0123abc" if arguments[0] == "rev-parse" else "")
    assert version.program_version() == "trading-gymnax, not installed, commit 0123abc"

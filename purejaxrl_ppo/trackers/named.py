"""The trackers that an option asks for by name."""

import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any

from purejaxrl_ppo.trackers.base import Tracker

# name, which is also that of the package and of the extra -> module and class
_PLACES = {
    "wandb": ("purejaxrl_ppo.trackers.wandb_run", "WandbRun"),
    "mlflow": ("purejaxrl_ppo.trackers.mlflow_run", "MlflowRun"),
}
NAMES = tuple(_PLACES)


def missing_package(names: Iterable[str]) -> str | None:
    """What is said where the package of a tracker is not installed; None where all are."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            return f'{name} is not installed: pip install "trading-gymnax[{name}]"'
    return None


def named_trackers(names: Iterable[str], tensorboard: bool) -> list[Tracker]:
    """TensorBoard where it is wanted, then the named ones; imports no others."""
    places: list[Any] = [("purejaxrl_ppo.trackers.tensorboard", "TensorBoard")] if tensorboard else []
    places += [_PLACES[name] for name in dict.fromkeys(names)]
    return [getattr(importlib.import_module(module), cls)() for module, cls in places]

"""Environments by name, as the command line takes them."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from purejaxrl_ppo.words import is_refusal, nearest


def make_environment(
    name: str, env_args: dict[str, Any] | None = None, params: dict[str, Any] | None = None
) -> tuple[Any, Any]:
    """Environment and parameters.

    Args:
        name: a gymnax id (`CartPole-v1`), or `module:id`: the module is imported first, and `id` is what it
            registers with gymnax, or a class or function in it that makes an environment.
        env_args: arguments of the environment's factory.
        params: environment parameters in place of the defaults.

    Raises:
        ValueError: for an unknown module, id or parameter, with the nearest one, and for an argument that the
            factory does not take or lacks.
    """
    module, _, env_id = name.rpartition(":")
    found = _import(module) if module else None
    try:
        return _replaced(*_made(name, env_id, module, found, env_args or {}), params or {})
    except ValueError as error:
        if is_refusal(error, module.partition(".")[0]):  # a sentence of the environment's own package
            raise ValueError(str(error)) from error
        raise


def _made(name: str, env_id: str, module: str, found: Any, env_args: dict[str, Any]) -> tuple[Any, Any]:
    """Environment and default parameters."""
    import gymnax  # not before: it computes while it is imported, and processes must have met before anything does

    if env_id in gymnax.registered_envs:
        env, env_params = _call(partial(gymnax.make, env_id), name, env_args)
    elif found is not None and callable(getattr(found, env_id, None)):
        env = _call(getattr(found, env_id), name, env_args)
        env, env_params = env if isinstance(env, tuple) else (env, env.default_params)
    else:
        where = f" in the module {module!r} or registered by it" if module else ""
        raise ValueError(f"there is no environment {env_id!r}{where}{nearest(env_id, sorted(gymnax.registered_envs))}")
    return env, env_params


def parse_pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` arguments as a dict; values are Python literals, or else text.

    Raises:
        ValueError: for an argument without "=".
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{pair!r} is not of the form name=value")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


def _call(factory: Callable[..., Any], name: str, env_args: dict[str, Any]) -> Any:
    try:
        return factory(**env_args)
    except TypeError as error:
        surplus = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if surplus and surplus[1] in env_args:
            raise ValueError(f"{name} is made without an argument {surplus[1]!r} (env_args): leave it out") from error
        missing = re.search(r"missing \d+ required .* arguments?: '(\w+)'", str(error))
        if missing and missing[1] not in env_args:
            raise ValueError(f"{name} cannot be made without {missing[1]!r}: give it in env_args") from error
        raise


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            raise ValueError(f"there is no module {error.name!r} to import the environment from") from error
        raise


def _replaced(env: Any, env_params: Any, values: dict[str, Any]) -> tuple[Any, Any]:
    names = [field.name for field in dataclasses.fields(env_params)] if values else []
    for name in values:
        if name not in names:
            raise ValueError(f"the environment has no parameter {name!r}{nearest(name, names)}")
        if isinstance(values[name], str) and not isinstance(getattr(env_params, name), str):
            raise ValueError(f"environment parameter {name}={values[name]!r} is not a number")
    return env, env_params.replace(**values) if values else env_params

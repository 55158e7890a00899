"""Plans of accounts from JSON files: the package's own, and a user's, by the same reader.

{
  "firm": "Topstep",
  "sources": {"T": {"page": "example.org/rules", "dated": "2026-05", "read": "2026-11-26"}},
  "plans": [
    {
      "name": "topstep", "title": "...", "note": "", "sizes": ["50k", "100k"],
      "evaluation": {
        "profit_target": {"by_size": {"50k": 3000, "100k": 6000}, "from": "T"},
        "daily_limit": {"is": null, "from": "T"},
        "drawdown_lock": {"is": 0, "assumed": "why"},
        "contracts": {"by_size": {"50k": 5, "100k": 10}, "from": {"50k": "T"}, "assumed": {"100k": "why"}},
        ...
      },
      "funded": {...}, "fees": {...}
    },
    {"name": "topstep-intraday", "based_on": "topstep", "note": "...", "evaluation": {...what differs...}}
  ]
}

Every rule of `schema` must be there, once, with its page or the reason for which it is assumed. A plan that is
`based_on` another one of its file says only what differs.
"""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

from trading_gymnax.accounts.schema import PARTS, Kind, Origin, Plan, rules_of
from trading_gymnax.text import did_you_mean

_FOLDER = pathlib.Path(__file__).parent
_SOURCE = ("page", "dated", "read")
_PLAN = ("name", "title", "note", "sizes", *PARTS)
_SIZE_UNIT = 1_000


class PlanError(ValueError):
    """A file of plans that says too little, too much, or what cannot be."""


@functools.cache
def plans() -> dict[str, Plan]:
    """The plans that the package knows, by name, firm after firm."""
    found: dict[str, Plan] = {}
    for path in sorted(_FOLDER.glob("*.json")):
        found |= read_plans(path)
    return found


def plan(name: str) -> Plan:
    """The plan of a name, "topstep-50k" say. Raises PlanError for one that there is not."""
    if name not in plans():
        hint = did_you_mean(name, plans(), "`trading-gymnax accounts` lists them")
        raise PlanError(f"there is no plan {name!r}: {hint}")
    return plans()[name]


def one_plan(name: str) -> Plan:
    """The plan of a name, or the only one of a file. Raises PlanError, and OSError for a missing file."""
    if not name.endswith(".json"):
        return plan(name)
    found = list(read_plans(name).values())
    if len(found) > 1:
        raise PlanError(f"{name} has {len(found)} plans and sizes; leave one in it: {', '.join(x.name for x in found)}")
    return found[0]


def read_plans(path: str | pathlib.Path) -> dict[str, Plan]:
    """The plans of a file, by name and size. Raises PlanError, and OSError where the file cannot be read."""
    path = pathlib.Path(path)
    try:
        told = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except PlanError as refused:
        raise PlanError(f"{path.name}: {refused}") from None
    except ValueError as error:
        raise PlanError(f"{path.name} is no JSON: {error}") from None
    try:
        return _read(told)
    except PlanError as refused:
        raise PlanError(f"{path.name}: {refused}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which a name that stands twice would else hide the first."""
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise PlanError(f"{twice[0]!r} stands twice in one place")
    return dict(pairs)


def _read(told: Any) -> dict[str, Plan]:
    _check(told, ("firm", "sources", "plans"), "the file")
    sources = {}
    _want(isinstance(told["sources"], dict), "sources", "an object, a source by name")
    for key, source in told["sources"].items():
        _check(source, _SOURCE, f"source {key!r}")
        _want(all(isinstance(x, str) and x for x in source.values()), f"source {key!r}", "texts")
        sources[key] = Origin(**source)
    _want(isinstance(told["firm"], str) and told["firm"] != "", "firm", "a name")
    _want(isinstance(told["plans"], list) and len(told["plans"]) > 0, "plans", "a list of plans, one or more")
    whole: dict[str, dict[str, Any]] = {}
    found: dict[str, Plan] = {}
    for at, entry in enumerate(told["plans"]):
        entry = _whole(entry, whole, at)
        whole[entry["name"]] = entry
        for size in entry["sizes"]:
            made = _plan(told["firm"], entry, size, sources)
            found[made.name] = made
    return found


def _whole(entry: Any, whole: dict[str, dict[str, Any]], at: int) -> dict[str, Any]:
    """A plan as it would stand if it were based on no other one, its names checked."""
    name = entry.get("name") if isinstance(entry, dict) else None
    where = f"plan {name!r}" if isinstance(name, str) else f"plan {at + 1}"
    if isinstance(entry, dict) and "based_on" in entry:
        base = entry["based_on"]
        if base not in whole:
            hint = did_you_mean(base, whole, "it must stand before, in the same file")
            raise PlanError(f"{where} is based on {base!r}, which there is not: {hint}")
        unknown = [key for key in entry if key not in (*_PLAN, "based_on")]
        if unknown:
            raise PlanError(_unknown(unknown[0], (*_PLAN, "based_on"), where))
        _want("name" in entry and "note" in entry, where, "given a name and a note of its own")
        parts = {}
        for part in PARTS:
            _want(isinstance(entry.get(part, {}), dict), f"{where}, {part}", "an object")
            parts[part] = {**whole[base][part], **entry.get(part, {})}
        entry = {**whole[base], **{key: value for key, value in entry.items() if key != "based_on"}, **parts}
    _check(entry, _PLAN, where)
    _want(all(isinstance(entry[key], str) for key in ("name", "title", "note")), where, "told in texts")
    _want(name not in whole, where, "the only one of its name")
    sizes = entry["sizes"]
    good = isinstance(sizes, list) and len(sizes) > 0 and all(map(_is_size, sizes)) and len(set(sizes)) == len(sizes)
    _want(good, f"{where}, sizes", 'a list of thousands of dollars, ["50k", "100k"] say')
    for part in PARTS:
        _check(entry[part], tuple(rules_of(part)), f"{where}, {part}")
    return dict(entry)


def _plan(firm: str, entry: dict[str, Any], size: str, sources: dict[str, Origin]) -> Plan:
    parts, origins = {}, []
    name = f"{entry['name']}-{size}"
    for part, kind in PARTS.items():
        values = {}
        for rule, field in rules_of(part).items():
            where = f"plan {name!r}, {part}.{rule}"
            values[rule] = _value(entry[part][rule], size, field.metadata["kind"], field.metadata["optional"], where)
            origins.append((f"{part}.{rule}", _origin(entry[part][rule], size, sources, where)))
        parts[part] = kind(**values)
    made = Plan(
        name=name,
        firm=firm,
        title=entry["title"],
        size=int(size[:-1]) * _SIZE_UNIT,
        origins=tuple(origins),
        note=entry["note"],
        **parts,
    )
    _check_together(made)
    return made


def _value(told: Any, size: str, kind: Kind, optional: bool, where: str) -> Any:
    """The value of one rule for one size, checked; lists as tuples."""
    if not isinstance(told, dict) or ("is" in told) == ("by_size" in told):
        raise PlanError(f'{where} must be an object with "is", or "by_size" where sizes differ')
    unknown = [key for key in told if key not in ("is", "by_size", "from", "assumed")]
    if unknown:
        raise PlanError(_unknown(unknown[0], ("is", "by_size", "from", "assumed"), where))
    if "by_size" in told:
        _want(isinstance(told["by_size"], dict), f"{where}, by_size", "an object, a value by size")
        if size not in told["by_size"]:
            raise PlanError(f"{where}: by_size has no {size!r}")
        value = told["by_size"][size]
    else:
        value = told["is"]
    if value is None and optional:
        return None
    if not kind.holds(value):
        says = f"{kind.says}{', or null for none' if optional else ''}"
        raise PlanError(f"{where} must be {says}; got {json.dumps(value)}")
    return tuple(tuple(x) if isinstance(x, list) else x for x in value) if isinstance(value, list) else value


def _origin(told: dict[str, Any], size: str, sources: dict[str, Origin], where: str) -> Origin:
    """Where the value for a size is from; "from" and "assumed" may each be an object by size."""
    said = {
        key: told[key].get(size) if isinstance(told[key], dict) else told[key]
        for key in ("from", "assumed")
        if key in told
    }
    said = {key: value for key, value in said.items() if value is not None}
    if len(said) != 1:
        raise PlanError(f'{where} must say "from" which source it is, or why it is "assumed"')
    if "assumed" in said:
        _want(isinstance(said["assumed"], str) and said["assumed"] != "", f"{where}, assumed", "a reason")
        return Origin(assumed=_with_pages(said["assumed"], sources))
    if said["from"] not in sources:
        hint = did_you_mean(said["from"], sources, f"there are {', '.join(sources) or 'none'}")
        raise PlanError(f"{where} is from {said['from']!r}, which is no source of the file: {hint}")
    return sources[said["from"]]


def _with_pages(reason: str, sources: dict[str, Origin]) -> str:
    """A reason that names sources as the file calls them, with their pages instead."""
    for key, source in sources.items():
        reason = reason.replace(f'the source "{key}"', source.page).replace(f'source "{key}"', source.page)
    return reason


def _check_together(plan: Plan) -> None:
    """Rules that make no sense without one another."""
    for part in (plan.evaluation, plan.funded):
        where = f"plan {plan.name!r}, {type(part).__name__.lower()}"
        for one, other in (("daily_limit", "daily_limit_ends"), ("consistency", "consistency_of")):
            if (getattr(part, one) is None) != (getattr(part, other) is None):
                raise PlanError(f"{where}: {one} and {other} go together; give both, or null for both")
        _want(part.contracts > 0, f"{where}.contracts", "1 or more")
        _want(part.micros > 0, f"{where}.micros", "1 or more")
        _want(part.drawdown > 0, f"{where}.drawdown", "above 0 dollars")
        if part.scaling is not None:
            _want(part.scaling[-1][1] <= part.contracts, f"{where}.scaling", "within the contracts of the phase")
            _want(part.scaling[0][0] == 0, f"{where}.scaling", "given from a profit of 0 on")
    _want(plan.evaluation.profit_target > 0, f"plan {plan.name!r}, evaluation.profit_target", "above 0 dollars")


# -- refusals --


def _check(told: Any, names: tuple[str, ...], where: str) -> None:
    """Refuse what is no object, or has other names than these."""
    _want(isinstance(told, dict), where, "an object")
    unknown = [key for key in told if key not in names]
    missing = [name for name in names if name not in told]
    if unknown:
        raise PlanError(_unknown(unknown[0], names, where))
    if missing:
        raise PlanError(f"{where} lacks {', '.join(map(repr, missing))}{_says(missing[0])}")


def _unknown(key: str, names: tuple[str, ...], where: str) -> str:
    return f"{where} has no field {key!r}: {did_you_mean(key, names, f'there are {chr(44).join(names)}')}"


def _says(name: str) -> str:
    """What a missing rule means, for whoever has to write it."""
    for part in PARTS:
        if name in rules_of(part):
            field = rules_of(part)[name]
            none = "; null where there is none" if field.metadata["optional"] else ""
            return f" ({name}: {field.metadata['says']} It is {field.metadata['kind'].says}{none})"
    return ""


def _want(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise PlanError(f"{where} must be {what}")


def _is_size(text: Any) -> bool:
    return isinstance(text, str) and text[-1:] == "k" and text[:-1].isdecimal() and 0 < int(text[:-1]) <= 10_000

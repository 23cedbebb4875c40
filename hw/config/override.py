# SPDX-License-Identifier: Apache-2.0
"""A member of the family with some fields changed, as `pe.dpe.with_fp=true` says."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

from hw.config.checks import ConfigError
from hw.config.tree import ChipConfig

__all__ = ["overridden"]

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def overridden(config: ChipConfig, changes: Iterable[str]) -> ChipConfig:
    """The member with every change `path=value`, validated.

    Raises
    ------
    ConfigError
        When a path names no field, a value does not fit its field, or the result cannot be built.
    """
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"Change {change!r} must have the form field=value.")
        config = _changed(config, path.strip(), path.strip().split("."), text.strip())
    return config.validate()


def _changed(node: Any, path: str, words: list[str], text: str) -> Any:
    """A copy of a part of the tree with one field changed."""
    name, *rest = words
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{path!r}: there is no {name!r}, only {', '.join(fields)}.{hint}")
    old = fields[name]
    if dataclasses.is_dataclass(old):
        if not rest:
            inner = ", ".join(f"{path}.{field.name}" for field in dataclasses.fields(old))
            raise ConfigError(f"{path!r} is a group; change one of {inner}.")
        return dataclasses.replace(node, **{name: _changed(old, path, rest, text)})
    if rest:
        raise ConfigError(f"{path!r}: {name!r} has no fields.")
    return dataclasses.replace(node, **{name: _value(path, old, text)})


def _value(path: str, old: Any, text: str) -> Any:
    """`text` as a value of the old one's type."""
    if isinstance(old, bool):
        if text.lower() not in _BOOLEANS:
            raise ConfigError(f"{path} is {text!r}; it must be true or false.")
        return _BOOLEANS[text.lower()]
    if isinstance(old, (int, float)):
        kind, what = (int, "a whole number") if isinstance(old, int) else (float, "a number")
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{path} is {text!r}; it must be {what}.") from None
    return text

# SPDX-License-Identifier: Apache-2.0
"""What configurations are checked with."""

__all__ = ["ConfigError", "check", "power_of_two"]


class ConfigError(ValueError):
    """A configuration that cannot be built; the message is one sentence."""


def check(condition: bool, sentence: str) -> None:
    """Raise `ConfigError` with the sentence unless the condition holds."""
    if not condition:
        raise ConfigError(sentence)


def power_of_two(value: int) -> bool:
    """Whether a number is one, two, four, ..."""
    return value > 0 and value & (value - 1) == 0

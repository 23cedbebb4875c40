# SPDX-License-Identifier: Apache-2.0
"""The family's configuration: one frozen dataclass tree, and the named members ("presets") of the
family."""

from hw.config.checks import ConfigError
from hw.config.element import CpConfig, DpeConfig, FiConfig, LsConfig, PeConfig, ReConfig, SeConfig
from hw.config.presets import PRESETS, get_config
from hw.config.tree import ChipConfig, DramConfig, SramConfig

__all__ = [
    "PRESETS",
    "ChipConfig",
    "ConfigError",
    "CpConfig",
    "DpeConfig",
    "DramConfig",
    "FiConfig",
    "LsConfig",
    "PeConfig",
    "ReConfig",
    "SeConfig",
    "SramConfig",
    "get_config",
]

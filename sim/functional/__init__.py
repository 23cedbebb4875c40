# SPDX-License-Identifier: Apache-2.0
"""Functional simulator: executes command lists on the golden models, without RTL and without
time."""

from sim.functional.faults import FunctionalTrap, Hang, Rule, RuleBroken
from sim.functional.machine import FunctionalMachine

__all__ = ["FunctionalMachine", "FunctionalTrap", "Hang", "Rule", "RuleBroken"]

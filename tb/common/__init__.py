# SPDX-License-Identifier: Apache-2.0
"""What all benches share: runner, agents, seeds."""

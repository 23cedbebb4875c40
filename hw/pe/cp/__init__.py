# SPDX-License-Identifier: Apache-2.0
"""The command processor: it takes commands, checks and queues them, and owns the buffers."""

# SPDX-License-Identifier: Apache-2.0
"""Runtime: jobs, memory and errors of one chip, whatever it runs on."""

# SPDX-License-Identifier: Apache-2.0
"""Proofs with SymbiYosys; `common` says how to add one."""

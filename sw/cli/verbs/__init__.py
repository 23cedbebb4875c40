# SPDX-License-Identifier: Apache-2.0
"""The verbs of `mtia`: each module holds one, as a typer function called `command`.

A verb prints its result on stdout and anything else on stderr, raises `sw.errors.UserError` for
what the user can change, and writes files through `sw.files`. Slow imports go into the function, so
that the other verbs start quickly.
"""

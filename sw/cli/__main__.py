# SPDX-License-Identifier: Apache-2.0
"""`python -m sw.cli` is `mtia`."""

import sys

from sw.cli.app import main

sys.exit(main())

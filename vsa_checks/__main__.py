"""`python -m vsa_checks`: the same as `vsa-checks`."""

from __future__ import annotations

import sys

from vsa_checks.cli.main import main

sys.exit(main())

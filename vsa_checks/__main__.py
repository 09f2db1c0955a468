"""`python -m vsa_checks`: commands beside `pytest claims/`."""

from __future__ import annotations

import sys

from vsa_checks.cli.main import main

sys.exit(main())

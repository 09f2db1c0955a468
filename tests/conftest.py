"""No test finds, or leaves, anything in the cache of whoever runs them: those about the cache name one of their own."""

from __future__ import annotations

import os

from vsa_checks.paths import CACHE_OFF, CACHE_VARIABLE

os.environ[CACHE_VARIABLE] = CACHE_OFF

"""No test finds, or leaves, anything in the cache of whoever runs them: those about the cache name one of their own."""

from __future__ import annotations

import os

from vsa_checks.models.weights_cache import FOLDER_VARIABLE, OFF

os.environ[FOLDER_VARIABLE] = OFF

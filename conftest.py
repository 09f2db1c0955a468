"""Makes the options and fixtures of the claims known to pytest."""

pytest_plugins = ["vsa_checks.plugin.hooks"]

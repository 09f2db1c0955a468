"""The pytest entry point of this package: it adds the claims' options and hooks if claims are named.

Other runs of pytest are unchanged, because an option like --model would clash with those of other plugins.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from vsa_checks.errors import visible
from vsa_checks.paths import CLAIMS, IN_CHECKOUT, PYTEST_INI, ROOT
from vsa_checks.printing import open_stdout

PACKAGE = "vsa_checks.claims"
"""The claims by the name that `pytest --pyargs` takes."""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Called when this module is loaded: after pytest has read its configuration, before it loads any conftest.py."""
    config: pytest.Config = pluginmanager.get_plugin("pytestconfig")  # type: ignore[assignment]
    if not _claims_are_named(config):
        return
    from vsa_checks.plugin.options import settled

    open_stdout()
    given = config.invocation_params
    arguments = settled(given.args)
    values = {word for word in given.args if word not in arguments}
    misread = config.inipath != PYTEST_INI and any(os.path.exists(given.dir / value) for value in values)
    if misread or any(re.match(r"-\d", value) for value in values):
        # pytest did not know our options when it looked for its configuration, and took such a value, the folder of
        # a model say, for a folder of tests. Nothing of what it found there may count: pytest starts anew. It does so
        # too where it would take a value, as in `--layers -2,-1`, for an option.
        _warn_of_a_configuration(config, values)
        for path in config.getini("pythonpath"):
            if str(path) in sys.path:
                sys.path.remove(str(path))
        raise SystemExit(pytest.main(arguments, given.plugins))
    pluginmanager.import_plugin("vsa_checks.plugin.hooks")


def _warn_of_a_configuration(config: pytest.Config, values: Collection[str]) -> None:
    """Warn if pytest has read its configuration from the folder of a model or of another option's value.

    It is ignored when pytest restarts, but modules that it names may already have been loaded. With the command lines
    that the message names, pytest never looks there.
    """
    for value in values:
        folder = (config.invocation_params.dir / value).resolve()
        if config.inipath is not None and folder in config.inipath.parents:
            words = (
                f"Warning: pytest took {value} for a folder of tests, and read {config.inipath} before the checks could"
                f" prevent it. The file is ignored, but modules that it names may have been loaded. No model needs"
                f" such a file: look at what it contains. Write claims/ first, as in pytest claims/ --model DIR, or"
                f" write --model=DIR."
            )
            print(visible(words), file=sys.stderr)


def is_claims(argument: str, folder: Path, pyargs: bool) -> bool:
    """Whether this argument of pytest, given in this folder, names the claims: theirs, one of them, or the checkout."""
    name = argument.split("::")[0]
    if pyargs and f"{name}.".startswith(f"{PACKAGE}."):
        return True
    path = (folder / name).resolve()
    return path == CLAIMS or CLAIMS in path.parents or (IN_CHECKOUT and path == ROOT)


def _claims_are_named(config: pytest.Config) -> bool:
    """Whether the command line names the claims, or names nothing in a folder that contains them."""
    known, given = config.known_args_namespace, config.invocation_params
    named = [word for word in known.file_or_dir if word in given.args]  # and not what a configuration adds
    if any(is_claims(word, given.dir, known.pyargs) for word in named):
        return True
    if not is_claims(".", given.dir, pyargs=False):
        return False
    from vsa_checks.plugin.options import settled

    # Before pytest knows our options, their values stand among the arguments.
    return not set(named).intersection(settled(given.args))

"""Turn errors that libraries raise while loading or running a model into messages for the user."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vsa_checks import models
from vsa_checks.errors import ModelError, VsaChecksError, first_line
from vsa_checks.models import Basis, Model
from vsa_checks.workbench.resources import Plan

_PACKAGE = Path(models.__file__).parent.parent
_MODELS = _PACKAGE / "models"


def load(
    name: str, basis: Basis, device: str, plan: Plan | None = None, layers: Collection[int] | None = None
) -> Model:
    """Load a model in one basis of its weights, within the planned memory; read these layers together (None: all).

    Raises ModelError for any failure, including in a library.
    """
    held: dict[str, Any] = {} if plan is None else {"kept_bytes": plan.kept_bytes, "no_run": plan.no_run}
    try:
        model = models.load(name, basis=basis, device=device, check=False, **held)
        model.check(layers)
        return model
    except VsaChecksError:
        raise
    except Exception as error:
        raise unreadable(name, basis, error) from error


def unreadable(name: str, basis: Basis | None, error: Exception) -> ModelError:
    """The ModelError for an error raised while reading a model, in one basis or at all; to be raised `from` it."""
    where = f" in the {basis} basis" if basis else ""
    return ModelError(
        f"The model {name} could not be loaded{where}: {first_line(error)}. Check that its files "
        f"exist and are complete, that the installed libraries know this kind of model, and that there is enough free "
        f"memory; then run the same command again, with --full-trace to see where the error was raised."
    )


def with_trace(error: BaseException, wanted: bool) -> str:
    """The message of an error; on request, after the traceback of its cause."""
    cause = error.__cause__
    if not wanted or cause is None:
        return str(error)
    return f"{error}\n\n{''.join(traceback.format_exception(cause))}"


def raised_for_the_model(error: Exception) -> bool:
    """Whether this error came from a library or a file while the code that loads and runs models was using it.

    False for errors of a measure, and for errors of that code itself.
    """
    files = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [place for place, file in enumerate(files) if _PACKAGE in file.parents]
    if not own or _MODELS not in files[own[-1]].parents:
        return False
    return isinstance(error, OSError) or own[-1] < len(files) - 1

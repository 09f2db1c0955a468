"""What goes wrong between this machine and the hub, each in one paragraph with its remedy and without a token."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vsa_checks.errors import ModelError, first_line
from vsa_checks.models.hub_cache import cache_directory, endpoint, other_commits
from vsa_checks.models.hub_progress import in_bytes
from vsa_checks.models.registry import RegistryEntry

_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
_OFFLINE = "the network is switched off (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_WRITING = (errno.EACCES, errno.EPERM, errno.EROFS)
_FORMATS = {
    ".gguf": "GGUF",
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".ckpt": "pickle",
    ".pt": "pickle",
    ".pth": "pickle",
    ".pkl": "pickle",
    ".bin": "pickle",
    ".safetensors": "safetensors under another name",
}
_SECRETS = (
    (re.compile(r"(?<=//)[^/\s@]+@"), ""),  # name and password in an address
    (re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*"), r"\1"),  # signed addresses of files
    (re.compile(r"(?i)(bearer\s+)[^\s'\"]+"), r"\1..."),
    (re.compile(r"hf_[A-Za-z0-9]{6,}"), "hf_..."),
)


class Offline(Exception):
    """The environment forbids the network."""


def scrubbed(text: str) -> str:
    """A text without tokens, passwords and signatures."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        token = os.environ.get(variable, "").strip()
        if len(token) > 3:
            text = text.replace(token, "...")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def shown_endpoint() -> str:
    """The hub's address as it may be shown."""
    return scrubbed(endpoint())


def in_few_words(problem: BaseException) -> str:
    """Why the hub offers nothing now, as part of a sentence."""
    if _is_offline(problem):
        return _OFFLINE
    answer = _answer(problem)
    if answer is not None:
        return scrubbed(f"the hub at {endpoint()} answers {answer.status_code}")
    return scrubbed(f"the hub at {endpoint()} cannot be reached ({first_line(problem)})")


def not_there(entry: RegistryEntry, problem: str) -> ModelError:
    """The error for a model that is not cached and cannot be fetched."""
    others = [f"{entry.id}@{commit}" for commit in other_commits(entry)]
    other = f" The cache holds {' and '.join(others)}, which can be given as the model." if others else ""
    return _error(
        entry,
        f"its weights ({entry.id}, revision {entry.revision}) were looked for in the cache {cache_directory()} and "
        f"are not there, and {problem}.{other}{_typed(entry)} Run this once with network access, or set HF_HOME to a "
        "cache that holds them, or give the path of a directory, or use the embedded model: --model smollm2-135m.",
    )


def refusal(entry: RegistryEntry, problem: BaseException, file: str = "") -> ModelError:
    """The error for what the hub, the network or the disk raised, while `file` was fetched or before any was."""
    if isinstance(problem, ModelError):
        return problem
    if _is_offline(problem):
        return not_there(entry, _OFFLINE)
    answer = _answer(problem)
    if answer is not None:
        return _answered(entry, answer)
    codes = {one.errno for one in _chain(problem) if isinstance(one, OSError)}
    if codes & set(_NO_SPACE):
        return disk_full(entry, file)
    if codes & set(_NO_WRITING):
        return _error(
            entry,
            f"the cache {cache_directory()} cannot be written ({first_line(problem)}). Set HF_HOME to a folder that "
            "can, or correct its permissions.",
        )
    if not file:
        return not_there(entry, in_few_words(problem))
    return _error(
        entry,
        f"the download of {entry.id} from the hub at {endpoint()} broke off at {file} ({first_line(problem)}). Files "
        "that have arrived whole are kept: run the same command again, and it goes on from there.",
    )


def disk_full(entry: RegistryEntry, file: str = "", needed: int | None = None, free: int | None = None) -> ModelError:
    """The error for a disk without room for the files."""
    sizes = f": {in_bytes(needed)} are needed and {in_bytes(free)} are free" if needed is not None else ""
    at = f" while {file} was written" if file else ""
    return _error(
        entry,
        f"the disk of the cache {cache_directory()} is full{at}{sizes}. Free some space there (`hf cache ls` "
        "lists what the cache holds), or set HF_HOME to a folder on a larger disk.",
    )


def no_configuration(entry: RegistryEntry, sizes: Mapping[str, int | None]) -> ModelError:
    """The error for a repository without config.json."""
    return _error(
        entry, f"{entry.id} on the hub has no config.json and is no transformers model. {_what_there_is(entry, sizes)}"
    )


def no_weights(entry: RegistryEntry, sizes: Mapping[str, int | None]) -> ModelError:
    """The error for a repository that has no weights of a kind that is read without running code."""
    return _error(
        entry,
        f"{entry.id} on the hub has neither model.safetensors nor pytorch_model.bin, whole or in parts, and nothing "
        f"else is read from there. {_what_there_is(entry, sizes)}",
    )


def missing_shards(entry: RegistryEntry, index: str, missing: list[str]) -> ModelError:
    """The error for an index that names files which the repository does not have."""
    named = ", ".join(missing[:3]) or "no file"
    return _error(
        entry,
        f"{index} of {entry.id} on the hub names {named}, which the repository does not have. Give another revision "
        f"({entry.id}@REVISION) or another model.",
    )


def _what_there_is(entry: RegistryEntry, sizes: Mapping[str, int | None]) -> str:
    found: dict[str, list[str]] = {}
    for name in sorted(sizes):
        kind = _FORMATS.get(os.path.splitext(name)[1].lower())
        if kind is not None:
            found.setdefault(kind, []).append(name)
    if "adapter_config.json" in sizes:
        return "It is an adapter, a change to another model: give that model, or merge the two and save them."
    listed = "; ".join(
        f"{kind} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})" for kind, names in found.items()
    )
    if "GGUF" in found:
        return (
            f"There is: {listed}. Download a GGUF file (`hf download {entry.id} {found['GGUF'][0]}`) and give its path."
        )
    return f"There is: {listed or 'nothing with weights'}. Convert it with save_pretrained, or give another model."


def _answered(entry: RegistryEntry, answer: Any) -> ModelError:
    """The error for an answer of the hub that is no success."""
    status, code = answer.status_code, answer.headers.get("X-Error-Code", "")
    page, hub = f"{endpoint()}/{entry.id}", f"the hub at {endpoint()}"
    token_sent = "authorization" in answer.request.headers
    if code == "GatedRepo":
        again = " The token that was sent belongs to an account without access." if token_sent else ""
        return _error(
            entry,
            f"{entry.id} is gated.{again} Accept the licence on its page {page}, then {_LOG_IN}, and run this again.",
        )
    if code == "RevisionNotFound":
        others = [f"{entry.id}@{commit}" for commit in other_commits(entry)]
        cached = f" The cache holds {' and '.join(others)}." if others else ""
        return _error(
            entry,
            f"{entry.id} has no branch, tag or commit {entry.revision!r}.{cached} See {page}/commits for those that "
            f"there are, or leave @{entry.revision} out.",
        )
    if status == 401 and token_sent:
        return _error(
            entry,
            f"{hub} does not accept the token that was sent with the question for {entry.id}: it is wrong or has "
            f"expired. Make another on {endpoint()}/settings/tokens and {_LOG_IN}; or unset HF_TOKEN and `hf auth "
            "logout`, if the model is public.",
        )
    if status in (401, 404) and code in ("", "RepoNotFound"):
        who = "with the token that was sent" if token_sent else "without a token"
        return _error(
            entry,
            f"{hub} shows no model {entry.id} {who}: there is none of that name, or it is private.{_typed(entry)} "
            f"Correct the name (ORG/NAME, as on the model's page); for a private model, {_LOG_IN}.",
        )
    if status == 429:
        return _error(
            entry,
            f"{hub} asks to wait: too many requests came from here (429). Run this again {_after(answer)}; with a "
            f"token the limit is higher: {_LOG_IN}.",
        )
    if status == 403:
        return _error(
            entry,
            f"{hub} forbids access to {entry.id} (403). See {page}; if the model is open to you, {_LOG_IN} with a "
            "token that may read it.",
        )
    if status >= 500:
        return not_there(entry, f"{hub} answers {status}, an error of its own: it may be over in some minutes")
    return not_there(entry, f"{hub} answers {status}, perhaps because it is no hub (HF_ENDPOINT)")


def _after(answer: Any) -> str:
    """When to ask again, from Retry-After or the hub's own header."""
    seconds = answer.headers.get("Retry-After", "")
    if not seconds.isdigit():
        reset = re.search(r"\bt\s*=\s*(\d+)", answer.headers.get("RateLimit", ""))
        seconds = reset[1] if reset else ""
    return f"in {seconds} s" if seconds else "in some minutes"


def _typed(entry: RegistryEntry) -> str:
    """Said of a name that might have been meant as a path."""
    return " No file or directory of that name exists here either." if entry.name.startswith(entry.id) else ""


def _error(entry: RegistryEntry, text: str) -> ModelError:
    return ModelError(scrubbed(f"The model {entry.name} cannot be loaded: {text}"))


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = problem
    while current is not None and current not in seen:
        yield current
        seen.append(current)
        current = current.__cause__ or current.__context__


def _answer(problem: BaseException) -> Any:
    """The hub's answer that a problem comes from; None if it comes from none."""
    return next((one.response for one in _chain(problem) if hasattr(one, "response")), None)


def _is_offline(problem: BaseException) -> bool:
    return any(isinstance(one, Offline) or type(one).__name__ == "OfflineModeIsEnabled" for one in _chain(problem))

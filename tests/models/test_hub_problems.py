"""What the hub, the network and the disk refuse: one paragraph each, with the remedy and without a token."""

from __future__ import annotations

import errno
import shutil
import socket
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.models import tiny
from tests.models.hub_stand_in import HubStandIn
from vsa_checks.errors import ModelError
from vsa_checks.models import ensure_available
from vsa_checks.models.hub_problems import scrubbed

FIRST, SECOND = "1" * 40, "2" * 40
TOKEN = "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1"


@pytest.fixture
def tiny_gpt2(tmp_path: Path) -> Path:
    return tiny.write_hf(tmp_path / "gpt2", "gpt2", tokenizer=False)


def refusal(name: str = "people/tiny", seconds: float = 10) -> str:
    """The one paragraph that asking for a model ends with."""
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        ensure_available(name)
    assert time.monotonic() - start < seconds
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"The model {name} cannot be loaded: ")
    assert TOKEN not in message and "Traceback" not in message
    return message


def log_in(server: HubStandIn, monkeypatch: pytest.MonkeyPatch, *, valid: bool = True) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    if valid:
        server.tokens.add(TOKEN)


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_repository_that_is_not_there(server: HubStandIn, monkeypatch: pytest.MonkeyPatch, logged_in: bool) -> None:
    if logged_in:
        log_in(server, monkeypatch)
    message = refusal("people/nothing")
    for part in (
        "no model people/nothing",
        "private",
        "No file or directory of that name",
        "`hf auth login`",
        "HF_TOKEN",
    ):
        assert part in message
    assert ("with the token that was sent" in message) == logged_in


def test_a_private_repository_opens_with_a_token(
    server: HubStandIn, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.add("people/tiny", tiny_gpt2, FIRST, "main", access="private")
    assert "without a token" in refusal()
    log_in(server, monkeypatch, valid=False)
    assert "wrong or has expired" in refusal()
    log_in(server, monkeypatch)
    found = ensure_available("people/tiny")
    assert found.complete
    elsewhere = [one for one in server.log if one.path.startswith("/cdn/")]
    assert elsewhere and all("authorization" not in one.headers for one in elsewhere)
    assert TOKEN not in "".join(capsys.readouterr())
    cached = [path for path in (tiny_gpt2.parent / "hub cache").rglob("*") if path.is_file()]
    assert cached and not any(TOKEN.encode() in path.read_bytes() for path in cached)


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_gated_repository(
    server: HubStandIn, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch, logged_in: bool
) -> None:
    server.add("people/tiny", tiny_gpt2, FIRST, "main", access="gated")
    if logged_in:
        log_in(server, monkeypatch)
    message = refusal()
    for part in ("gated", "Accept the licence", f"{server.url}/people/tiny", "`hf auth login`", "HF_TOKEN"):
        assert part in message
    assert ("account without access" in message) == logged_in
    assert server.files_asked() == ["config.json"]


def test_a_revision_that_is_not_there(server: HubStandIn, tiny_gpt2: Path) -> None:
    server.add("people/tiny", tiny_gpt2, FIRST, "main")
    ensure_available("people/tiny")
    message = refusal("people/tiny@v9")
    assert "no branch, tag or commit 'v9'" in message
    assert f"people/tiny@{FIRST}" in message, "the one that is cached"
    assert "looked for" not in message


@pytest.mark.parametrize(
    ("headers", "when"),
    [({"Retry-After": "120"}, "in 120 s"), ({"RateLimit": '"api";r=0;t=55'}, "in 55 s"), ({}, "in some minutes")],
)
def test_too_many_requests(server: HubStandIn, headers: dict[str, str], when: str) -> None:
    server.answer = (429, headers)
    message = refusal()
    assert f"Run this again {when}" in message and "too many requests" in message


@pytest.mark.parametrize(
    ("status", "words"), [(503, "answers 503, an error of its own"), (403, "forbids access"), (418, "HF_ENDPOINT")]
)
def test_other_answers(server: HubStandIn, status: int, words: str) -> None:
    server.answer = (status, {})
    assert words in refusal()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["flax_model.msgpack", "tf_model.h5"], ("Flax (flax_model.msgpack)", "TensorFlow (tf_model.h5)")),
        (["pytorch_model.pt"], ("pickle (pytorch_model.pt)", "save_pretrained")),
        (["a.Q4_0.gguf", "a.Q8_0.gguf"], ("GGUF (a.Q4_0.gguf, a.Q8_0.gguf)", "hf download people/tiny a.Q4_0.gguf")),
        (["consolidated.safetensors"], ("safetensors under another name (consolidated.safetensors)",)),
        (["adapter_config.json", "adapter_model.safetensors"], ("adapter",)),
        (["README.md"], ("nothing with weights",)),
    ],
)
def test_no_weights_that_are_read_without_running_code(
    server: HubStandIn, tiny_gpt2: Path, files: list[str], words: tuple[str, ...]
) -> None:
    (tiny_gpt2 / "model.safetensors").unlink()
    server.add("people/tiny", tiny_gpt2, FIRST, "main", **dict.fromkeys(files, "x"))
    message = refusal()
    for part in ("neither model.safetensors nor pytorch_model.bin", *words):
        assert part in message
    assert server.files_asked() == ["config.json"]


def test_a_repository_that_is_no_transformers_model(server: HubStandIn) -> None:
    server.commit("people/tiny", {"a.Q4_0.gguf": b"GGUF"}, FIRST, "main")
    message = refusal()
    assert "no config.json" in message and "GGUF (a.Q4_0.gguf)" in message


def test_an_index_that_names_what_is_not_there(server: HubStandIn, tiny_gpt2: Path) -> None:
    (tiny_gpt2 / "model.safetensors").unlink()
    index = '{"weight_map": {"a": "more.safetensors"}}'
    server.add("people/tiny", tiny_gpt2, FIRST, "main", **{"model.safetensors.index.json": index})
    assert "names more.safetensors, which the repository does not have" in refusal()


def test_an_index_that_leaves_the_folder(server: HubStandIn, tiny_gpt2: Path) -> None:
    (tiny_gpt2 / "model.safetensors").unlink()
    index = '{"weight_map": {"a": "../../../escape.safetensors"}}'
    server.add("people/tiny", tiny_gpt2, FIRST, "main", **{"model.safetensors.index.json": index})
    with pytest.raises(ModelError, match=r"is refused: .*names '../../../escape.safetensors'"):
        ensure_available("people/tiny")
    assert not any(name.endswith("escape.safetensors") for name in server.files_asked())


def test_a_disk_without_room_is_said_before_anything_large_is_fetched(
    server: HubStandIn, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch, hub: Path
) -> None:
    server.add("people/tiny", tiny_gpt2, FIRST, "main")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000))
    message = refusal()
    for part in (str(hub), "full", "kB are needed", "2 kB are free", "HF_HOME"):
        assert part in message
    assert server.files_asked() == ["config.json"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "is full while model.safetensors was written"), (errno.EROFS, "cannot be written")],
)
def test_a_disk_that_fails_while_a_file_is_written(
    server: HubStandIn, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    import huggingface_hub

    server.add("people/tiny", tiny_gpt2, FIRST, "main")
    real = huggingface_hub.hf_hub_download

    def fails(repository: str, name: str, **options: Any) -> Any:
        if name == "model.safetensors":
            raise OSError(code, "what the system says")
        return real(repository, name, **options)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    assert words in refusal()


def test_a_connection_that_breaks_off_for_good(
    server: HubStandIn, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda _: None))
    server.add("people/tiny", tiny_gpt2, FIRST, "main")
    server.cuts = [0] * 100
    message = refusal()
    assert "broke off at model.safetensors" in message and "run the same command again" in message
    assert "SIGNED" not in message
    server.cuts.clear()
    server.log.clear()
    assert ensure_available("people/tiny").complete, "the same command goes on"
    assert server.files_asked() == ["model.safetensors"]


def test_the_stand_in_does_nothing_after_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    with HubStandIn() as hub:
        hub.silent_for = 30
        with socket.create_connection(("127.0.0.1", hub.port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while not hub.log:
                time.sleep(0.01)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
    assert not [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
    assert capsys.readouterr().err == ""


def test_a_hub_that_takes_the_connection_and_is_silent(server: HubStandIn) -> None:
    server.silent_for = 30
    message = refusal()
    for part in ("cannot be reached", server.url, "HF_HOME", "smollm2-135m"):
        assert part in message


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_the_revision_that_is_cached_is_named(
    server: HubStandIn, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server.add("people/tiny", tiny_gpt2, FIRST, "main")
    server.add("people/tiny", tiny_gpt2, SECOND, "v2")
    ensure_available("people/tiny")
    server.log.clear()
    monkeypatch.setenv(variable, "1")
    assert ensure_available("people/tiny").revision == FIRST
    message = refusal("people/tiny@v2")
    assert variable in message and f"people/tiny@{FIRST}" in message
    assert ensure_available(f"people/tiny@{FIRST}").complete
    assert server.log == []


def test_an_address_with_a_password_is_shown_without_it(server: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url.replace("//", "//me:secret@"))
    server.answer = (503, {})
    message = refusal()
    assert "secret" not in message and server.url in message


def test_a_token_that_no_header_can_hold_is_not_shown(server: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_first\x01second")
    assert "second" not in refusal()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Illegal header value b'Bearer abc.def'", "Illegal header value b'Bearer ...'"),
        (f"token {TOKEN} is bad", "token hf_... is bad"),
        ("for url 'https://cdn.example/a/b?X-Amz-Signature=1&b=2'", "for url 'https://cdn.example/a/b'"),
        ("https://me:pass@hub.example/x", "https://hub.example/x"),
        ("nothing to hide: a@b, 3 > 2?", "nothing to hide: a@b, 3 > 2?"),
    ],
)
def test_what_is_hidden_in_messages(text: str, shown: str) -> None:
    assert scrubbed(text) == shown

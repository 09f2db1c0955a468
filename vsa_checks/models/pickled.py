"""The tensors of .bin files, which are pickles: only plain ones are taken, and nothing of a file is run."""

from __future__ import annotations

import io
import mmap
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vsa_checks.errors import ModelError, first_line, visible
from vsa_checks.models.files import refuse_pointer
from vsa_checks.models.plain_pickles import LONGEST, check_plain
from vsa_checks.reading import GB, open_regular

if TYPE_CHECKING:
    import torch

# What torch writes around each of the files in its archive.
_AROUND_EACH, _AROUND_ALL = 1024, 1 << 20
_LONGEST_OLD = 20 * GB
# The older format: a number, its version, the machine's sizes, the tensors, and the names of their numbers.
_OLD_PICKLES = 5


def all_pickled(files: tuple[Path, ...], model: str) -> dict[str, torch.Tensor]:
    """The tensors of .bin files by name.

    Raises ModelError for a pickle that is damaged or holds more than tensors, and for a tensor that is in two files.
    """
    found: dict[str, torch.Tensor] = {}
    for file in files:
        own = _pickled(file, model)
        twice = sorted(found.keys() & own.keys())
        if twice:
            raise ModelError(
                f"The model {model} cannot be loaded: {file} holds {twice[0]:.200}, as another of its files does, and "
                "which of the two is meant is not said. Save the model again."
            )
        found |= own
    return found


def _pickled(file: Path, model: str) -> dict[str, torch.Tensor]:
    import pickle

    import torch

    check_archive(file, model)
    try:
        _check_content(file)
    except pickle.UnpicklingError as problem:
        raise _refused(file, model, f" ({visible(str(problem)):.200})") from None
    except Exception as problem:
        raise _damaged(file, model, first_line(problem)) from None
    try:
        content = _load(file)
    except pickle.UnpicklingError:  # its words advise to run what is in the file
        raise _refused(file, model) from None
    except Exception as problem:  # whatever is wrong with the file, it is the same to the person
        raise _damaged(file, model, first_line(problem)) from None
    if not isinstance(content, dict):
        raise ModelError(
            f"The model {model} cannot be loaded: {file} holds a {type(content).__name__} where named tensors "
            "are needed. Save the model's state_dict again."
        )
    tensors = {str(name): one for name, one in content.items() if isinstance(one, torch.Tensor)}
    for name, one in tensors.items():
        plain = one.layout == torch.strided and one.device.type == "cpu"
        if not plain or one.numel() * one.element_size() > one.untyped_storage().nbytes():
            raise _damaged(file, model, f"{name:.200} claims the shape {tuple(one.shape)} and has fewer numbers")
    return tensors


def check_archive(file: Path, model: str) -> None:
    """Compare a .bin file's size with what it says to hold, before it is hashed or read. Raises ModelError."""
    refuse_pointer(file, model)
    try:
        with open_regular(file, what="the file") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            if opened.read(4) != b"PK\x03\x04":  # the older format, which says nothing of its length
                if size > _LONGEST_OLD:
                    raise _damaged(file, model, f"it has {size:,} bytes and is no archive")
                return
            with zipfile.ZipFile(opened) as archive:
                held = archive.infolist()
    except ModelError:
        raise
    except Exception as problem:  # zipfile raises NotImplementedError too, for what it takes for another version
        raise _damaged(file, model, first_line(problem)) from None
    if any(one.compress_type != zipfile.ZIP_STORED for one in held):
        raise _damaged(file, model, "its archive is compressed, as torch never does")
    if any(one.filename.endswith(".pkl") and one.file_size > LONGEST for one in held):
        raise _damaged(file, model, "the list of its tensors is too long")
    named = sum(one.file_size for one in held)
    if not named <= size <= named + _AROUND_EACH * len(held) + _AROUND_ALL:
        raise _damaged(file, model, f"it has {size:,} bytes for {named:,} bytes of content")


def _damaged(file: Path, model: str, why: str) -> ModelError:
    return ModelError(
        f"The model {model} cannot be loaded: {file.name} in {file.parent} cannot be read ({why}). Fetch, save or "
        "convert the model again."
    )


def _refused(file: Path, model: str, why: str = "") -> ModelError:
    return ModelError(
        f"The model {model} is refused: {file.name} in {file.parent} is a pickle that asks to run code, holds more "
        f"than tensors or is damaged{why}, and only plain tensors are read. Convert it to safetensors where you trust "
        "it."
    )


def _check_content(file: Path) -> None:
    """Follow the pickles that torch will read. Raises pickle.UnpicklingError for more than tensors."""
    import torch

    with open_regular(file, what="the file") as opened:
        if opened.read(4) != b"PK\x03\x04":
            with _mapped(opened) as mapped:
                check_plain(mapped, _OLD_PICKLES)
            return
    # torch's own reader of archives, because another might find another file of that name in it
    check_plain(io.BytesIO(torch._C.PyTorchFileReader(str(file)).get_record("data.pkl")))


def _mapped(opened: BinaryIO) -> mmap.mmap:
    """A file that gives no more than it has, whatever length is asked for: another makes room for all of it first."""
    return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def _load(file: Path) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError) as problem:
        if "mmap" not in str(problem):
            raise
    # the older format, which is no zip archive
    with open_regular(file, what="the file") as opened, _mapped(opened) as mapped:
        return torch.load(mapped, map_location="cpu", weights_only=True)  # type: ignore[arg-type]

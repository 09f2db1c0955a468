"""Steps of a pickle that would keep torch busy, or lead it astray: passed over if no tensor needs them, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models.pickles import (
    APPEND,
    BUILD,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    FALSE,
    MARK,
    NONE,
    ORDERED,
    REDUCE,
    SETITEM,
    STORED,
    TUPLE,
    TUPLE1,
    TUPLE2,
    WRITERS,
    call,
    get,
    named,
    named_a,
    put,
    read,
    refusal,
    stored,
    tensor,
    tuple_of,
    under,
    value,
    word,
)

DOUBLED = EMPTY_TUPLE + put(0) + b"".join(get(at) + TUPLE2 + put(at + 1) for at in range(60))
"""A tuple of two tuples of two tuples ..., 60 times over."""
DEEP = EMPTY_TUPLE + TUPLE1 * 300_000


@pytest.mark.parametrize("kind", WRITERS)
def test_the_builders_of_these_tests_write_what_torch_reads(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    WRITERS[kind](path, named_a(tensor(stored(word("0"), value(2), *([NONE] if kind == "older format" else [])))))
    for found in (torch.load(path, weights_only=True), read(path)):
        assert found["a"].tolist() == [1.0, 2.0]


PASSED_OVER = {
    "doubled tuples as a key": under(DOUBLED, NONE),
    "deep tuples as a key": under(DEEP, NONE),
    "keys that are all alike to a dictionary": EMPTY_DICT
    + b"".join(value(at * (2**61 - 1)) + NONE + SETITEM for at in range(20_000)),
    "room for gigabytes": named_a(call("builtins.bytearray", value(1 << 33))),
    "a set of doubled tuples": named_a(call("builtins.set", EMPTY_LIST + DOUBLED + APPEND)),
    "a size of what is no tuple": named_a(call("torch.Size", tensor(stored(), value(0), value((2,)), value((0,))))),
    "a tensor as a key": under(tensor(stored()), NONE),
    "a list in itself": named_a(EMPTY_LIST + put(0) + get(0) + APPEND),
    "attributes that hide methods": ORDERED + under(word("items"), NONE) + BUILD,
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", PASSED_OVER)
def test_what_no_tensor_needs_is_passed_over(tmp_path: Path, kind: str, writer: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    WRITERS[writer](path, named_a(tensor(stored())) + word("rest") + PASSED_OVER[kind] + SETITEM)
    found = read(path)
    assert {name: one.tolist() for name, one in found.items()} == {"a": [1.0, 2.0]}


SIZES = value((1 << 40,)), value((1,))
REFUSED = {
    "a long name": (named("torch." + "x" * 5000), "a name that is too long"),
    "a long module": (b"c" + b"y" * 5_000_000, "a name that is too long"),
    "a long word": (word("z" * 2_000_000), "a word that is too long"),
    "a word of gigabytes": (b"X\xff\xff\xff\xff", "a word that is too long"),
    "many long words": (MARK + word("v" * 900_000) * 12 + TUPLE, "the list of its tensors is too long"),
    "more steps than tensors take": (MARK + NONE * 810_000 + TUPLE, "the list of its tensors is too long"),
    "a function of the system": (call("os.system", word("true")), "it asks for os.system"),
    "a function of torch": (call("torch.load", word("x")), "it calls torch.load"),
    "a storage of gigabytes": (call("torch.FloatStorage", value(1 << 33)), "it calls torch.FloatStorage"),
    "an ordered dictionary of one long list many times": (
        MARK
        + named("collections.OrderedDict")
        + put(0)
        + tuple_of(EMPTY_LIST + MARK + (NONE + NONE + TUPLE2) * 60_000 + b"e")
        + put(1)
        + REDUCE
        + (get(0) + get(1) + REDUCE) * 400
        + TUPLE,
        "the list of its tensors is too long",
    ),
    "a tensor of many arguments many times": (
        named("torch._utils._rebuild_tensor_v2") + tuple_of(stored(), NONE * 300_000) + REDUCE,
        "from other things",
    ),
    "names and nothing else": (named("torch.a") * 50_000, "the list of its tensors is too long"),
    "no numbers along axes beyond number": (
        named_a(tensor(stored(), value(0), value((0, 1 << 39, 1 << 39)), value((1, 1, 1)))),
        "has fewer numbers",
    ),
    "a name in another alphabet": (named("torch.ＦloatStorage"), "cannot be read"),
    "a word that is called": (word("w" * 900_000) + EMPTY_TUPLE + REDUCE, "it calls what is no function"),
    "a tensor without a name": (under(DOUBLED, tensor(stored())), "no name of its own"),
    "two tensors of one name": (named_a(tensor(stored())) + word("a") + tensor(stored()) + SETITEM, "no name of its"),
    "storage of a list": (EMPTY_LIST + STORED, "no storage"),
    "storage under a number": (stored(value(7)), "no storage"),
    "storage under doubled tuples": (stored(DOUBLED), "no storage"),
    "storage of less than nothing": (stored(word("0"), value(-1)), "no storage"),
    "storage of as many as a tensor says": (stored(word("0"), tensor(stored())), "no storage"),
    "a view of a storage": (stored(word("0"), value(2), value(("1", 0, 2))), "no storage"),
    "a tensor of a word": (tensor(word("0")), "from other things"),
    "a tensor of attributes": (tensor(ORDERED + under(word("dtype"), NONE) + BUILD), "from other things"),
    "a parameter of nothing": (call("torch._utils._rebuild_parameter", NONE, FALSE, ORDERED), "what is no tensor"),
    "a negative stride": (tensor(stored(), value(1), value((2,)), value((-1,))), "axes of no known length"),
    "a size of truth": (tensor(stored(), value(0), value((True,))), "axes of no known length"),
    "many axes": (tensor(stored(), value(0), value((1,) * 300), value((1,) * 300)), "from other things"),
    "a tensor made anew": (
        tensor(stored()) + tuple_of(NONE, value(0), *SIZES) + BUILD,
        "changes what is no container",
    ),
    "more numbers than there are": (named_a(tensor(stored(), value(0), value((3,)))), "has fewer numbers"),
    "numbers behind the end": (named_a(tensor(stored(), value(1))), "has fewer numbers"),
    "a stride behind the end": (named_a(tensor(stored(), value(0), value((2,)), value((2,)))), "has fewer numbers"),
    "one number a billion times": (
        named_a(tensor(stored(), value(0), value((1 << 30,)), value((0,)))),
        "has fewer numbers",
    ),
    "terabytes": (named_a(tensor(stored(), value(0), *SIZES)), "has fewer numbers"),
    "more storage than there is": (named_a(tensor(stored(word("0"), value(1 << 40)), value(0))), "other numbers"),
    "numbers of no known kind": (
        named_a(tensor(stored().replace(b"FloatStorage", b"Tensor"), value(0))),
        "numbers of the kind Tensor",
    ),
    "a step that torch does not know": (NONE + b"0", "more than tensors"),
    "nothing to take from": (APPEND, "more than there is"),
    "no mark": (TUPLE, "cannot be read"),
    "a memo that was never written": (get(7), "cannot be read"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", REFUSED)
def test_more_than_tensors_is_refused(tmp_path: Path, kind: str, writer: str) -> None:
    steps, said = REFUSED[kind]
    WRITERS[writer](tmp_path / "pytorch_model.bin", steps)
    message = refusal(tmp_path / "pytorch_model.bin")
    assert said in message and "pytorch_model.bin" in message and len(message) < 1000

"""Pickles that do more than hold data: run code, fill memory, never end, read as two things."""

import collections
import os
import pickle
import struct
import subprocess

import numpy as np


class Reduce:
    """Pickles as a call."""

    def __init__(self, function, *arguments, state=None):
        self.value = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.value


def text(data):
    return b"\x8c" + bytes([len(data)]) + data


def array(raw):
    """The instructions that make an NDArray of these bytes."""
    return b"cmxnet.ndarray.ndarray\nNDArray\nN\x85R}X\6\0\0\0handlecbuiltins\nbytearray\nB" + struct.pack(
        "<I", len(raw)
    ) + raw + b"\x85Rsb"  # fmt: skip


def dense(shape, data=b"", magic=0xF993FAC9):
    return (
        struct.pack(f"<Iii{len(shape)}q", magic, 0, len(shape), *shape) + struct.pack("<iii", 1, 0, 0) + data
    )


def running_code():
    """Every way known to us in which unpickling calls something."""
    command = "echo attacked"
    for protocol in range(6):
        for name, function, arguments in [
            ("os.system", os.system, (command,)),
            ("subprocess", subprocess.Popen, (["true"],)),
            ("eval", eval, ("__import__('os').getpid()",)),
            ("exec", exec, ("import os",)),
            ("import", __import__, ("antigravity",)),
            ("open", open, (os.devnull, "w")),
            ("getattr", getattr, (os, "system") if False else ("x", "upper")),
            ("map", map, (print, [1])),
            ("pickle.loads", pickle.loads, (b"N.",)),
            ("numpy object scalar", np.frombuffer, (b"12345678", "f8")),
        ]:
            yield f"{name}, protocol {protocol}", pickle.dumps({0: Reduce(function, *arguments)}, protocol)
    yield "as the optimizer", pickle.dumps(({}, Reduce(os.system, command)))
    yield "as a key", pickle.dumps({0: None, 1: [Reduce(os.system, command)]})
    yield "defaultdict with a factory", pickle.dumps({0: collections.defaultdict(list)})
    yield (
        "state of an OrderedDict",
        pickle.dumps({0: Reduce(collections.OrderedDict, state={"__class__": Reduce(os.system, command)})}),
    )
    yield "INST", b"(S'echo attacked'\nios\nsystem\n."
    yield "OBJ", b"(cos\nsystem\nS'echo attacked'\no."
    yield "NEWOBJ of a function", b"\x80\x02cos\nsystem\n)\x81."
    yield "NEWOBJ with arguments", b"\x80\x02cmxnet.optimizer.optimizer\nSGD\nK\1\x85\x81."
    yield (
        "NEWOBJ with an array",
        b"\x80\x02cmxnet.optimizer.optimizer\nSGD\n" + array(dense((2,), b"12345678")) + b"\x81.",
    )
    yield "NEWOBJ_EX", b"\x80\x04" + text(b"os") + text(b"system") + b"\x93)}\x92."
    yield "STACK_GLOBAL", b"\x80\x04" + text(b"os") + text(b"system") + b"\x93" + text(b"x") + b"\x85R."
    yield "dotted name", b"\x80\x04" + text(b"mxnet") + text(b"os.system") + b"\x93" + text(b"x") + b"\x85R."
    yield (
        "dotted name under a good module",
        (b"\x80\x04" + text(b"mxnet.ndarray.ndarray") + text(b"NDArray.__class__") + b"\x93N\x85R."),
    )
    yield "class of MXNet that acts on a file", b"\x80\x02cmxnet.gluon.utils\ndownload\nU\1x\x85R."
    yield "array of two arguments", b"\x80\x02cmxnet.ndarray.ndarray\nNDArray\nNN\x86R."
    yield (
        "_reconstructor of another base",
        b"ccopy_reg\n_reconstructor\n(cmxnet.optimizer\nSGD\ncbuiltins\nint\nNtR.",
    )
    yield "_reconstructor with unhashable base", b"ccopy_reg\n_reconstructor\n(cmxnet.optimizer\nSGD\n]NtR."
    yield "codec that is a module", b"\x80\x02c_codecs\nencode\nX\1\0\0\0aX\4\0\0\0zlib\x86R."
    yield (
        "BUILD that sets a class",
        (b"\x80\x02cmxnet.optimizer.optimizer\nSGD\n)\x81}U\t__class__cbuiltins\neval\nsb."),
    )
    yield "BUILD with slots", b"\x80\x02cmxnet.optimizer.optimizer\nSGD\n)\x81N}\x86b."
    yield "BUILD of a list", b"\x80\x02]}b."
    yield "persistent id", b"Pxyz\n."
    yield "binary persistent id", b"\x80\x02K\1Q."
    yield "extension 1", b"\x80\x02\x82\1."
    yield "extension 2", b"\x80\x02\x83\1\0."
    yield "extension 4", b"\x80\x02\x84\1\0\0\0."
    yield "out-of-band buffer", b"\x80\x05\x97."
    yield "read-only buffer", b"\x80\x05C\1x\x98."
    yield (
        "numpy scalar of objects",
        (
            b"\x80\x02}K\0cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\2O8K\0K\1\x87RU\x08\1\2\3\4\5\6\7\x08\x86Rs."
        ),
    )
    yield "numpy dtype by string", b"\x80\x02cnumpy\ndtype\nU\6f4,f4,K\0K\1\x87R."
    yield "numpy array", pickle.dumps({0: np.zeros(3)})


def breaking_the_machine():
    """Instruction tricks that lead a careless interpreter astray."""
    yield "no end", b"\x80\x04N"
    yield "empty stack", b"\x80\x04."
    yield "two values", b"\x80\x04NN."
    yield "open mark", b"\x80\x04(N."
    yield "no mark", b"\x80\x04Nt."
    yield "tuple of too few", b"\x80\x04N\x87."
    yield "set in nothing", b"\x80\x04NNs."
    yield "set in a tuple", b"\x80\x04)NNs."
    yield "append to a dict", b"\x80\x04}Na."
    yield "key without value", b"\x80\x04}(Nu."
    yield "list as a key", b"\x80\x04}]Ns."
    yield "array as a key", b"\x80\x04}" + array(dense((1,), b"1234")) + b"Ns."
    yield "NaN as a key", b"\x80\x04}G\x7f\xf8\0\0\0\0\0\0Ns."
    yield "missing memo", b"\x80\x04h\7."
    yield "far memo", b"\x80\x04Nr\xff\xff\xff\xff."
    yield "endless memo index", b"N" + b"p" + b"9" * 100_000 + b"\n."
    yield "negative memo index", b"Np-1\n."
    yield "protocol 6", b"\x80\x06N."
    yield "protocol 255", b"\x80\xffN."
    yield "protocol in the middle", b"\x80\x04N\x80\x04."
    yield "frame beyond the end", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff."
    yield "negative length", b"\x80\x04\x8b\xff\xff\xff\xff."
    yield "long of 2 GB", b"\x80\x04\x8b\xff\xff\xff\x7f."
    yield "bytes of 2**64", b"\x80\x04\x8e" + b"\xff" * 8 + b"."
    yield "text of 4 GB", b"\x80\x04X\xff\xff\xff\xff."
    yield "decimal of 100,000 digits", b"L" + b"9" * 100_000 + b"L\n."
    yield "integer with underscores", b"I1_0\n."
    yield "float with underscores", b"F1_0\n."
    yield "float that is text", b"Fnan(0x1)\n."
    yield "string without quotes", b"Sabc\n."
    yield "string with a broken escape", b"S'\\x4'\n."
    yield "text that is no UTF-8", b"\x80\x04\x8c\1\xff."
    yield "unicode with a broken escape", b"V\\u12\n."
    yield "unicode beyond the last", b"V\\Uffffffff\n."
    yield "handle that is a number", b"\x80\x02cmxnet.ndarray.ndarray\nNDArray\nN\x85R}U\6handleK\1sb."
    yield "two handles", b"\x80\x02cmxnet.ndarray.ndarray\nNDArray\nN\x85R}U\6handleNsb}U\6handleNsb."
    yield "array without contents", b"\x80\x02}K\0cmxnet.ndarray.ndarray\nNDArray\nN\x85Rs."
    yield "optimizer as the states", b"\x80\x02cmxnet.optimizer.optimizer\nSGD\n)\x81}b."
    yield "optimizer as a state", b"\x80\x02}K\0cmxnet.optimizer.optimizer\nSGD\n)\x81}bs."
    yield "name as a state", b"\x80\x02}K\0cmxnet.optimizer.optimizer\nSGD\ns."
    yield "dtype as a state", b"\x80\x02}K\0cnumpy\ndtype\nU\2f4K\0K\1\x87Rs."
    yield "list that contains itself", b"\x80\x02}K\0]q\1h\1as."
    yield "dict that contains itself", b"\x80\x02}q\1K\0h\1s."
    yield "optimizer that contains itself", b"\x80\x02}cmxnet.optimizer\nSGD\n)\x81q\1}U\1ah\1sb\x86."
    yield "lone surrogate as a key", b"\x80\x04}X\3\0\0\0\xed\xa0\x80Ns" + b"N."


def filling_the_memory():
    """Small files that unfold; each a few megabytes at most."""
    yield "marks", b"\x80\x02" + b"(" * 1_000_000 + b"."
    yield "empty lists", b"\x80\x02" + b"]" * 50_000 + b"."
    yield "empty dicts", b"\x80\x02(" + b"}" * 50_000 + b"t."
    yield "nones", b"\x80\x02(" + b"N" * 50_000 + b"t."
    yield "memos", b"\x80\x04N" + b"\x94" * 50_000 + b"."
    yield (
        "gaps in the memo",
        b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", i << 16) for i in range(1, 10_000)) + b".",
    )
    yield "deep tuples", b"\x80\x02N" + b"\x85" * 50_000 + b"."
    yield "deep lists", b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b"."
    yield "deep dicts in a state", b"\x80\x02}K\0" + b"}K\0" * 20_000 + b"N" + b"s" * 20_001 + b"."
    yield "doubling", b"\x80\x02}K\0]q\0" + b"".join(
        b"]q" + bytes([i]) + b"(" + b"h" + bytes([i - 1]) + b"h" + bytes([i - 1]) + b"e" for i in range(1, 60)
    ) + b"s."  # fmt: skip
    raw = dense((250_000,), bytes(1_000_000))
    again = b"cmxnet.ndarray.ndarray\nNDArray\nN\x85R}X\6\0\0\0handleh\1sb"
    yield (
        "one buffer, many arrays",
        b"\x80\x02B" + struct.pack("<I", len(raw)) + raw + b"q\x01(" + again * 500 + b"t.",
    )
    part = (
        b"cmxnet.ndarray.ndarray\nNDArray\nN\x85R}X\x08\0\0\0writableh\0(" + b"]" * 500 + b"esX\6\0\0\0handle"
    )
    yield (
        "a list that grows while arrays are made",
        b"\x80\x02(]q\0" + (part + b"C\x24" + dense((1,), b"1234") + b"sb") * 100 + b"t.",
    )
    yield (
        "the contents of an array as a list item",
        b"\x80\x02(cmxnet.ndarray.ndarray\nNDArray\nN\x85R}X\6\0\0\0handleC\x24" + dense((1,), b"1234")
        + b"q\0sbh\0t.",
    )  # fmt: skip
    yield "one string, many keys", b"\x80\x02T\0\0\1\0" + b"k" * 65536 + b"q\1(" + b"}h\1Ns" * 50_000 + b"t."
    yield (
        "wide text",
        b"\x80\x02}X" + struct.pack("<I", 2_000_004) + b"k" * 2_000_000 + "😀".encode() + b"Ns.",
    )
    yield "wide escaped text", b"(dV" + b"k" * 2_000_000 + b"\\U0001f600\nNs."
    yield "keys that collide", b"\x80\x02}(" + b"".join(
        b"\x8a\x10" + (k * (2**61 - 1)).to_bytes(16, "little", signed=True) + b"N" for k in range(20_000)
    ) + b"u."  # fmt: skip
    for name, shape in {
        "huge": (2**62,),
        "overflowing to 0": (2**32, 2**32),
        "overflowing to small": (2**31, 2**33, 4),
        "negative": (-1, -1),
        "of many dimensions": (1,) * 33,
        "empty but huge": (2**62, 2**62, 0),
        "wide": (1 << 40, 1 << 20),
    }.items():
        for magic in (0xF993FAC9, 0xF993FACA):
            yield f"shape {name}, {magic:x}", b"\x80\x02}K\0" + array(dense(shape, magic=magic)) + b"s."


def being_two_things():
    """Files that another program would read as something else."""
    good = b"\x80\x02}K\0" + array(dense((1,), b"1234")) + b"s."
    yield "pickle and zip", good + b"PK\3\4" + bytes(26)
    yield "pickle and pickle", good + good
    yield "pickle and newline", good + b"\n"
    yield "zip", b"PK\5\6" + bytes(18)
    yield "safetensors length and pickle", b"\x80\x02" + bytes(6) + b"{" + bytes(700)
    yield "npy", b"\x93NUMPY\1\0v\0{'descr': '|O'}"
    yield "gzip", b"\x1f\x8b\x08" + bytes(20)
    yield "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(30)
    yield "script", b"#!/bin/sh\necho attacked\n"


GROUPS = {
    group.__name__.replace("_", " "): group
    for group in (running_code, breaking_the_machine, filling_the_memory, being_two_things)
}
ATTACKS = {f"{group}: {name}": data for group, make in GROUPS.items() for name, data in make()}

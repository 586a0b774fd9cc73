"""Files in our format with false contents and valid checksums, so that the contents are what is checked."""

import json
import zlib

import numpy as np

from mxopt.states import native


def forged(document="null", tensors=None, data=b"", **metadata):
    metadata = {
        "checksum": "crc32:00000000",
        "format": native.FORMAT,
        "version": "1",
        "document": document,
        **metadata,
    }
    return sealed(
        json.dumps({"__metadata__": metadata, **(tensors or {})}, separators=(",", ":")).encode(), data
    )


def sealed(text, data=b""):
    header = bytearray(len(text).to_bytes(8, "little") + text)
    place = header.find(b'"checksum":"crc32:') + 18
    if place > 18:
        header[place : place + 8] = b"%08x" % zlib.crc32(header)
    return bytes(header) + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def array_node(name, count=1):
    return json.dumps({"array": [name] + ["00000000"] * count})


def forged_rows(indices, shape=(5, 1), dtype="F32", stored=(2, 1)):
    data, rows = np.zeros(2, "f4").tobytes(), np.array(indices, "i8").tobytes()
    document = {
        "row_sparse": [
            {"array": ["d", f"{zlib.crc32(data):08x}"]},
            {"array": ["i", f"{zlib.crc32(rows):08x}"]},
            shape,
        ]
    }
    tensors = {
        "i": entry("I64", (len(indices),), (0, len(rows))),
        "d": entry(dtype, stored, (len(rows), len(rows) + 8)),
    }
    return forged(json.dumps(document), tensors, rows + data)


EMPTY = {"a": entry(shape=(0,), offsets=(0, 0))}
TWICE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
SEAL = b'{"__metadata__":{"checksum":"crc32:00000000"'

FORGERIES = {
    "overlap": (forged("null", {"a": entry(), "b": entry(offsets=(2, 6))}, b"123456"), "overlaps"),
    "gap": (forged("null", {"a": entry(), "b": entry(offsets=(6, 10))}, b"1234567890"), "leaves a gap"),
    "gap at the start": (forged("null", {"a": entry(offsets=(4, 8))}, b"12345678"), "leaves a gap"),
    "hidden tail": (forged("null", {"a": entry()}, b"1234PK\3\4"), "the arrays end at"),
    "beyond the end": (forged("null", {"a": entry(offsets=(0, 8), shape=(2,))}, b"1234"), "the file was cut"),
    "backwards": (forged("null", {"a": entry(offsets=(4, 0))}, b"1234"), "the file was cut"),
    "negative offset": (forged("null", {"a": entry(offsets=(-4, 0))}, b"1234"), "two offsets"),
    "huge shape": (forged("null", {"a": entry(shape=(2**62, 2**62))}, b"1234"), "needs .* bytes and has 4"),
    "shape that overflows": (
        forged("null", {"a": entry(shape=(2**32, 2**32, 2**32, 0))}, b"1234"), "needs 0 bytes"),
    "huge empty shape": (
        forged(array_node("a", 0), {"a": entry(shape=(2**62, 2**62, 0), offsets=(0, 0))}), "cannot be made"),
    "negative shape": (forged("null", {"a": entry(shape=(-1, -1))}, b"1234"), "lengths >= 0"),
    "fractional shape": (forged("null", {"a": entry(shape=(1.0,))}, b"1234"), "lengths >= 0"),
    "true as a length": (forged("null", {"a": entry(shape=(True,))}, b"1234"), "lengths >= 0"),
    "too many dimensions": (forged("null", {"a": entry(shape=(1,) * 33)}, b"1234"), "up to 32 lengths"),
    "unknown dtype": (forged("null", {"a": entry(dtype="O64")}, b"1234"), "unknown dtype"),
    "dtype that is a list": (forged("null", {"a": entry(dtype=[])}, b"1234"), "unknown dtype"),
    "surplus field": (forged("null", {"a": {**entry(), "x": 1}}, b"1234"), "must have dtype, shape"),
    "array that is no object": (forged("null", {"a": 1}), "must have dtype, shape"),
    "unnamed array": (forged("null", {"a": entry()}, b"1234"), "nowhere in the document"),
    "array named twice": (
        forged(f"[{array_node('a')},{array_node('a')}]", {"a": entry()}, b"1234"), "the array 'a' twice"),
    "array that is not there": (forged(array_node("b")), "which the header lacks"),
    "too few checksums": (forged(array_node("a", 0), {"a": entry()}, b"1234"), "has 0 checksums"),
    "wrong checksum": (forged(array_node("a"), {"a": entry()}, b"1234"), "does not match its checksum"),
    "unknown tag": (forged('{"call":["os.system","id"]}'), "unknown tag 'call'"),
    "two tags": (forged('{"tuple":[],"dict":[]}'), "without one name"),
    "tuple of nothing": (forged('{"tuple":1}'), "a tuple must be"),
    "dict without pairs": (forged('{"dict":[1]}'), "must be a pair"),
    "dict with a list as key": (forged('{"dict":[[[],1]]}'), "must be a pair"),
    "key twice": (forged('{"dict":[[1,1],[1,2]]}'), "occurs twice in one dict"),
    "JSON name twice": (forged('{"tuple":[],"tuple":[]}'), "without one name"),
    "float by a wrong name": (forged('{"float":"1e5"}'), "must be nan, inf"),
    "scalar out of range": (forged('{"scalar":["int8",300]}'), "out of range|not a scalar"),
    "scalar of objects": (forged('{"scalar":["object",1]}'), "a scalar must be"),
    "scalar of a list": (forged('{"scalar":[[],1]}'), "a scalar must be"),
    "scalar of an array": (forged(f'{{"scalar":["int8",{array_node("a", 0)}]}}', EMPTY), "not a scalar"),
    "float of an array": (forged(f'{{"float":{array_node("a", 0)}}}', EMPTY), "a float by name"),
    "no name": (forged('{}'), "without one name"),
    "text after the end": (forged('null null'), "something follows"),
    "comma at the end": (forged('[1,]'), "not JSON"),
    "checksum that is no number": (
        forged('{"array":["a","0x000001"]}', {"a": entry()}, b"1234"), "an array must be"),
    "name twice in the header": (sealed(SEAL + b"}," + TWICE + b"," + TWICE + b"}", b"1234"), "occurs twice"),
    "scalar float of int": (forged('{"scalar":["float32",1]}'), "not a scalar"),
    "NaN in the document": (forged("NaN"), "NaN is not JSON"),
    "endless digits": (forged("1" * 100_000), "integer of 100000 digits"),
    "deep lists": (forged("[" * 100_000), "nested too deeply|not JSON"),
    "deep document": (forged("[" * 200 + "]" * 200), "nested too deeply"),
    "deep header": (
        sealed(SEAL + b'},"a":' + b"[" * 90_000), "must be an? (JSON )?object"),
    "many small values": (forged("[" + "[]," * 2_000_000 + "0]"), "more entries"),
    "header of nothing": (b"\x02" + b"\0" * 7 + b"{}", "not one with optimizer states"),
    "header that is a list": ((2).to_bytes(8, "little") + b"[]", "must be an? (JSON )?object"),
    "header that is not UTF-8": ((3).to_bytes(8, "little") + b'{"\xff', "not JSON"),
    "huge header": (b"\xff" * 8 + b"{}", "announce a header"),
    "metadata of numbers": (
        sealed(SEAL + b',"format":1}}'), "strings to strings"),
    "other format": (forged(format="mxopt-states2"), "format must be 'mxopt-states'"),
    "no document": (forged(document=""),
                    "not JSON"),
}  # fmt: skip

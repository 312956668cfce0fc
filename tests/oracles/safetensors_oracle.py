"""Our safetensors reader and writer against PyPI's safetensors: the same bytes, the same refusals."""

import itertools
import json
import pathlib
import random
import struct
import subprocess
import tempfile

import support

numpy = support.require("numpy")
safetensors = support.require("safetensors")

# Refusals that the reference does not share; all others must be its own, too.
STRICTER = ("appears twice", "unknown field", "doesn't start with '{'", "a dimension is",
            "more than 8 dimensions", "a NUL", "isn't a string")
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2,
         "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}


def random_tensors(rng):
    """name -> {dtype, shape, data} of every type."""
    tensors = {}
    for dtype in SIZES:
        for _ in range(rng.randrange(3)):
            shape = [rng.choice([0, 1, 2, 3, 7]) for _ in range(rng.randrange(4))]
            name = "".join(rng.choice("ab.\u2603\"\\\n z") for _ in range(rng.randrange(1, 9)))
            size = SIZES[dtype] * int(numpy.prod(shape, dtype=numpy.int64))
            tensors[name] = {"dtype": dtype, "shape": shape, "data": rng.randbytes(size)}
    return tensors


def to_bytes(tensors, metadata):
    names = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2",
             "F8_E4M3": "float8_e4m3fn", "I16": "int16", "U16": "uint16", "F16": "float16",
             "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32",
             "I64": "int64", "U64": "uint64", "F64": "float64"}
    buffers = {name: numpy.frombuffer(tensor["data"], numpy.uint8)
               for name, tensor in tensors.items()}
    specs = {name: safetensors.TensorSpec(dtype=names[tensor["dtype"]], shape=tensor["shape"],
                                          data_ptr=buffers[name].ctypes.data,
                                          data_len=buffers[name].size)
             for name, tensor in tensors.items()}
    return safetensors.serialize(specs, metadata)


def from_bytes(content):
    return {name: (tensor["dtype"], tuple(tensor["shape"]), bytes(tensor["data"]))
            for name, tensor in safetensors.deserialize(content)}


def check_copies(tool, directory, rng):
    source, copy = directory / "a.safetensors", directory / "b.safetensors"
    for _ in range(50):
        tensors = random_tensors(rng)
        expected = to_bytes(tensors, {"format": "pt"})
        source.write_bytes(expected)
        subprocess.run([tool, "copy", source, copy], check=True)
        assert copy.read_bytes() == expected, f"{copy.read_bytes()}\n is not the reference's\n{expected}"
        source.write_bytes(to_bytes(tensors, None if not tensors else {"b": "\u2603", "a": "1"}))
        subprocess.run([tool, "copy", source, copy], check=True)
        content = copy.read_bytes()
        assert from_bytes(content) == from_bytes(source.read_bytes())
        with safetensors.safe_open(copy, "numpy") as file:
            wanted = {"b": "\u2603", "a": "1", "format": "pt"} if tensors else {"format": "pt"}
            assert file.metadata() == wanted, file.metadata()


def mutations(rng, content):
    """Valid files, files with one changed byte of the header, and files whose JSON was edited."""
    length = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + length], content[8 + length :]
    for _ in range(60):
        changed = bytearray(content)
        changed[rng.randrange(8 + length)] ^= 1 << rng.randrange(8)
        yield bytes(changed)
    parsed = json.loads(header)
    odd = [0, 1, -1, 2**31, 2**48, 2**63, 2**64, 1.0, 1.5, "1", None, True, [], {}, [0], [0, 0],
           [0, 1], [2**32, 2**32], "F32", "f32"]
    for name, field in itertools.product(parsed, ("dtype", "shape", "data_offsets")):
        edited = json.loads(header)
        if field in edited[name]:
            edited[name][field] = rng.choice(odd)
            text = json.dumps(edited).encode()
            yield struct.pack("<Q", len(text)) + text + data
    yield content + b"\0"
    yield content[:-1]
    yield struct.pack("<Q", length + 3) + header + b"   " + data


def check_refusals(tool, directory, rng):
    contents = []
    for _ in range(25):
        content = to_bytes(random_tensors(rng), {"format": "pt"})
        contents += [content, *mutations(rng, content)]
    paths = []
    for index, content in enumerate(contents):
        paths.append(directory / f"{index}.safetensors")
        paths[-1].write_bytes(content)
    answers = subprocess.run([tool, "check"], input="\n".join(map(str, paths)) + "\n", text=True,
                             check=True, stdout=subprocess.PIPE).stdout.splitlines()
    assert len(answers) == len(contents)
    accepted = 0
    for content, answer in zip(contents, answers):
        try:
            safetensors.deserialize(content)
            refusal = None
        except Exception as error:  # pylint: disable=broad-except
            refusal = str(error)
        accepted += answer == "ok"
        if answer == "ok":
            assert refusal is None, f"the reference refuses {content[:400]}: {refusal}"
        elif refusal is None:
            assert any(rule in answer for rule in STRICTER), f"only we refuse: {answer}"
    print(f"{len(contents)} files: {accepted} accepted")
    assert 25 <= accepted < len(contents) / 2


def main():
    arguments = support.arguments(__doc__, seed=support.seed())
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        check_copies(arguments.tool, pathlib.Path(name), rng)
        check_refusals(arguments.tool, pathlib.Path(name), rng)


if __name__ == "__main__":
    main()

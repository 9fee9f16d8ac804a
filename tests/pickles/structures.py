"""Programs that are short and do not end, take all memory, or end the process: what a pickle may be made of."""

import struct

P = b"\x80\x02"
PRIME = 2**61 - 1  #: Python's whole numbers hash to their remainder
MANY, DEEP = 60_000, 30_000


def put(place):
    return b"r" + struct.pack("<I", place)


def get(place):
    return b"j" + struct.pack("<I", place)


def text(content):
    return b"X" + struct.pack("<I", len(content)) + content


def whole(number):
    content = number.to_bytes((number.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def tuples(levels=60):
    """A tuple that holds itself as it was before twice, again and again."""
    return b"K\x01" + b"\x85q\x00h\x00\x86" * levels


def lists(levels=60):
    """The same of lists: the last one is on top of the stack."""
    return b"]" + put(0) + b"".join(b"]" + put(i) + b"(" + get(i - 1) * 2 + b"e" for i in range(1, levels))


def chain(length=20_000, size=2**17):
    """Numbers that a dict looks for one behind the other."""
    place, places = 0, []
    for _ in range(length):
        places.append(place)
        place = (5 * place + 1) % size
    return places + [place + size * turn for place in places[:100] for turn in range(1, 300)]


def entries(keys):
    return b"}(" + b"".join(key + b"N" for key in keys) + b"u"


def of_array(shape):
    """An array's program with another shape."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return P + b"}U\x04data" + made + b"(K\x01(" + shape + b"t" + kind + b"\x89U\x01atbs."


LONG = text(b"a" * 10**6)
LATIN = text(b"latin1")
SET = b"c__builtin__\nset\n"
STRUCTURES = {
    "a key that doubles": P + b"}" + tuples() + b"K\x01s.",
    "a key of an inner dict that doubles": P + b"}U\x01a}" + tuples() + b"K\x01ss.",
    "a set of what doubles": P + b"}U\x01a(" + tuples() + b"\x90s.",
    "a frozenset of what doubles": P + b"}U\x01a(" + tuples() + b"\x91s.",
    "a set of Python 2 of what doubles": P + b"}U\x01a" + SET + b"](" + tuples() + b"e\x85Rs.",
    "a thousand sets of one list": (
        P + b"}U\x01a(]" + put(0) + b"(" + tuples(15) + put(9) + get(9) * 1000 + b"e"
        + SET + put(1) + (get(1) + get(0) + b"\x85R") * 1000 + b"ts."
    ),
    "keys that hash to 0": P + entries(whole(PRIME * (i + 1)) for i in range(MANY)) + b".",
    "keys that hash to 0 in an inner dict": (
        P + b"}U\x01a" + entries(whole(PRIME * (i + 1)) for i in range(MANY)) + b"s."
    ),
    "keys in a chain": P + entries(whole(key) for key in chain()) + b".",
    "floats as keys": P + entries(b"G" + struct.pack(">d", 2.0**-1000 * (i + 1)) for i in range(MANY)) + b".",
    "two long equal keys in turn": (
        P + b"}(" + LONG + put(0) + b"N" + LONG + put(1) + b"N" + (get(0) + b"N" + get(1) + b"N") * 20_000 + b"u."
    ),
    "tuples in depth": P + b"}U\x01a)" + b"\x85" * 10**6 + b"s.",
    "tuples in depth as a key": P + b"})" + b"\x85" * 10**6 + b"Ns.",
    "lists in depth": P + b"}U\x01a" + b"]" * DEEP + b"a" * (DEEP - 1) + b"s.",
    "dicts in depth": P + b"}U\x01a" + b"}U\x01a" * DEEP + b"N" + b"s" * DEEP + b"s.",
    "objects in depth": P + b"}U\x01acnumpy\ndtype\nq\x00" + b"h\x00" * DEEP + b"\x85R" * DEEP + b"s.",
    "a list that doubles as a call": P + lists() + b")R.",
    "a list that doubles as a class": P + lists() + b")\x81.",
    "a list that doubles as a reference": P + lists() + b"\x85Q.",
    "a list that doubles as a storage": P + b"(U\x07storagectorch\nFloatStorage\n" + lists() + b"U\x03cpuK\x01tQ.",
    "a list that doubles as a layout": P + b"ctorch._utils\n_rebuild_sparse_tensor\n" + lists() + b"N\x86R.",
    "names that double": P + b"}U\x0blabel_names](" + lists(30) + b"es.",
    "bytes again and again": (
        P + b"}U\x01a](" + LONG + put(0) + LATIN + put(1) + b"c_codecs\nencode\n" + put(2)
        + (get(2) + get(0) + get(1) + b"\x86R") * 20_000 + b"es."
    ),
    "a memo of 2 billion": P + b"}r\xff\xff\xff\x7f.",
    "a bytearray of a terabyte": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"}.",
    "a buffer from elsewhere": b"\x80\x05\x97}.",
    "bytes of a terabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"}.",
    "a frame of a terabyte": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"}.",
    "a shape of long numbers": of_array((b"\x8a\xff" + b"\x7f" * 255) * 900),
    "a shape of many sides": of_array(b"K\x01" * DEEP),
    "items of an array": of_array(b"")[:-5] + b"U\x01aK\x01s.",
    "slots of a call": P + b"cnumpy.core.multiarray\n_reconstruct\nN}U\x08__code__K\x01s\x86b.",
    "a call of a set": P + b"}U\x01ac_codecs\nencode\n" + SET + b")R" + LATIN + b"\x86Rs.",
}  # fmt: skip

"""Bodies of any size that need no memory and show every shifted, lost or doubled byte."""

import hashlib
import random

# A prime length, so that no buffer size of anybody divides it.
_BLOCK = random.Random(1).randbytes(1_000_003)


def chunks(size):
    """The first `size` bytes of the pattern in pieces."""
    while size > 0:
        piece = _BLOCK[:size]
        yield piece
        size -= len(piece)


def whole(size):
    return b"".join(chunks(size))


def digest(size):
    """SHA-256 of the first `size` bytes, in hexadecimal."""
    digest_of_all = hashlib.sha256()
    for piece in chunks(size):
        digest_of_all.update(piece)
    return digest_of_all.hexdigest()


def digest_of(receive):
    """SHA-256 and size of what `receive()` returns until it returns nothing."""
    digest_of_all, size = hashlib.sha256(), 0
    while piece := receive():
        digest_of_all.update(piece)
        size += len(piece)
    return digest_of_all.hexdigest(), size

"""The secrets of a TLS connection: from a client's key log, and what is made of them."""

import hashlib
import hmac
import struct
from pathlib import Path

_KEY_BYTES = {"AES128": 16, "AES_128": 16, "AES256": 32, "AES_256": 32, "CHACHA20": 32}


def read_key_log(path):
    """label -> secret of the last connection in the log, and its client random."""
    found, last = {}, None
    for line in Path(path).read_text().splitlines():
        if line.startswith("#"):
            continue
        label, random, secret = line.split()
        if random != last:
            found, last = {}, random
        found[label] = bytes.fromhex(secret)
    return found, bytes.fromhex(last)


def expand_label(secret, label, length, context=b""):
    """RFC 8446 section 7.1, in as few blocks as these lengths need: one."""
    name = b"tls13 " + label.encode()
    info = (struct.pack("!H", length) + bytes([len(name)]) + name
            + bytes([len(context)]) + context)
    return hmac.digest(secret, info + b"\1", hash_of(secret))[:length]


def hash_of(secret):
    return "sha384" if len(secret) == 48 else "sha256"


def updated(secret):
    """The traffic secret after a KeyUpdate (RFC 8446 section 7.2)."""
    return expand_label(secret, "traffic upd", len(secret))


def key_bytes(cipher):
    return next(size for name, size in _KEY_BYTES.items() if name in cipher)


def traces_of_secret(name, secret, cipher):
    """A TLS 1.3 traffic secret and all that it opens records with."""
    key = expand_label(secret, "key", key_bytes(cipher))
    return {name: secret, f"{name} iv": expand_label(secret, "iv", 12),
            f"{name} finished": expand_label(secret, "finished", len(secret)),
            **_traces_of_key(f"{name} key", key, cipher)}


def traces_of_tls12(master, client_random, server_random, cipher):
    """A TLS 1.2 master secret and its key block (RFC 5246 section 6.3)."""
    size = key_bytes(cipher)
    hash_name = "sha384" if "SHA384" in cipher else "sha256"
    block = _prf(master, b"key expansion" + server_random + client_random, 2 * size + 24,
                 hash_name)
    return {"MASTER": master,
            **_traces_of_key("CLIENT key", block[:size], cipher),
            **_traces_of_key("SERVER key", block[size:2 * size], cipher)}


def _prf(secret, seed, length, hash_name):
    result, link = b"", seed
    while len(result) < length:
        link = hmac.digest(secret, link, hash_name)
        result += hmac.digest(secret, link + seed, hash_name)
    return result[:length]


def _traces_of_key(name, key, cipher):
    """A key, and the round keys of AES, from any two of which it can be computed."""
    if "AES" not in cipher:
        return {name: key}
    return {name: key} | {f"{name} round {number}": round_key
                          for number, round_key in enumerate(aes_round_keys(key))}


def aes_round_keys(key):
    """The key schedule of FIPS 197 section 5.2, 16 bytes each."""
    words = [key[at:at + 4] for at in range(0, len(key), 4)]
    step, constant = len(words), 1
    for at in range(step, 4 * (step + 7)):
        word = words[-1]
        if at % step == 0:
            word = bytes(_SBOX[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _double(constant)
        elif step > 6 and at % step == 4:
            word = bytes(_SBOX[byte] for byte in word)
        words.append(bytes(a ^ b for a, b in zip(word, words[at - step], strict=True)))
    return [b"".join(words[at:at + 4]) for at in range(0, len(words), 4)]


def _double(value):
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _make_sbox():
    table, a, b = [0] * 256, 1, 1
    while True:
        a = a ^ _double(a)  # times 3
        for shift in (1, 2, 4):  # divided by 3
            b ^= b << shift & 0xFF
        b ^= 0x09 if b & 0x80 else 0
        rotated = b
        for shift in (1, 2, 3, 4):
            rotated ^= (b << shift | b >> (8 - shift)) & 0xFF
        table[a] = rotated ^ 0x63
        if a == 1:
            break
    table[0] = 0x63
    return table


_SBOX = _make_sbox()

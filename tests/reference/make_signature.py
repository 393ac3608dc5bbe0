"""A signed file for the tests of `rad-dino-edge verify`, in minisign's format, made with another implementation of Ed25519
and BLAKE2b than ours. The secret key is thrown away.

    pip install cryptography==46.0.3 && python tests/reference/make_signature.py
"""

import base64
import hashlib
import os
import pathlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

folder = pathlib.Path(__file__).parent / "data" / "signature"
folder.mkdir(parents=True, exist_ok=True)


def b64(data):
    return base64.standard_b64encode(data).decode()


def write_key(name):
    secret, key_id = Ed25519PrivateKey.generate(), os.urandom(8)
    public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shown = f"{int.from_bytes(key_id, 'little'):016X}"
    (folder / name).write_text(f"untrusted comment: minisign public key {shown}\n{b64(b'Ed' + key_id + public)}\n")
    return secret, key_id


def sign(data, secret, key_id, prehashed=True):
    signature = secret.sign(hashlib.blake2b(data).digest() if prehashed else data)
    comment = "timestamp:1764000000\tfile:signed.bin\thashed"
    trusted = secret.sign(signature + comment.encode())
    algorithm = b"ED" if prehashed else b"Ed"
    return (
        "untrusted comment: signature from minisign secret key\n"
        f"{b64(algorithm + key_id + signature)}\ntrusted comment: {comment}\n{b64(trusted)}\n"
    )


# Longer than one chunk of the reader, and no multiple of BLAKE2b's block.
data = b"".join(i.to_bytes(4, "little") for i in range(20_001))
(folder / "signed.bin").write_bytes(data)
secret, key_id = write_key("release.pub")
(folder / "signed.bin.minisig").write_text(sign(data, secret, key_id))
(folder / "old-mode.minisig").write_text(sign(data, secret, key_id, prehashed=False))
write_key("other.pub")

"""Files in the format of SOPS (https://getsops.io) with age keys, written and read without the program itself.

What is written here, `sops -d`, Flux and Argo CD's plug-ins decrypt; what sops wrote for age keys, this reads.
The libraries behind it (pyrage, cryptography) are loaded when something is encrypted or decrypted, not before.
"""

from __future__ import annotations

KEY = "sops"  # the top-level key of an encrypted file's metadata
FORMAT = "3.13.3"  # the version of sops whose format this is

"""Transparency log formats as C2SP specifies them: what a third party's program reads. Pure, without any I/O.

signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof and tlog-witness: https://c2sp.org. Whatever is
malformed or does not verify raises `ProofError`.
"""

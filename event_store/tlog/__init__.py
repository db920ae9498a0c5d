"""Transparency log formats of C2SP, which third-party programs can read. Pure: no I/O.

signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof and tlog-witness: https://c2sp.org. Malformed
data and failed verification raise `ProofError`.
"""

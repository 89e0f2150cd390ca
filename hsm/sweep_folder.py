"""Paths of a sweep below a folder of sweeps, the same at every machine."""

from __future__ import annotations

OUTPUTS = "outputs"
"""The folder, in a folder of sweeps or in the project itself, that holds the folders of sweeps."""

RECEIPT_FOLDER = ".hsm-sync"
"""The folder of HSM's own files at a destination: receipts and the lock."""


def sweep_folder(sweep: str) -> str:
    """Return a sweep's folder, relative to the folder of sweeps."""
    return f"{OUTPUTS}/{sweep}"


def receipt_folder(sweep: str) -> str:
    """Return the folder of a sweep's receipts, relative to the folder of sweeps."""
    return f"{OUTPUTS}/{sweep}/{RECEIPT_FOLDER}"

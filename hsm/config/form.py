"""Form of `.hsm/sync_config.yaml`, for messages about its mistakes."""

from __future__ import annotations

from hsm.config.schema import SyncConfig
from hsm.config.yaml.findings import FileForm

SYNC_CONFIG = FileForm(SyncConfig, "bad_config", "correct the file, then look at it with `hsm sync list`")

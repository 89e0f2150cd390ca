"""Form of `.hsm/sync_config.yaml`, for messages about its mistakes."""

from __future__ import annotations

from hsm.config.rules.ssh_options import SECRET_OPTIONS
from hsm.config.schema import ConfigSection
from hsm.config.yaml.document import Location
from hsm.config.yaml.findings import FileForm


def _is_secret(location: Location) -> bool:
    """Tell whether the value at a place of the file may be a secret."""
    return location[-3:-1] == ("ssh", "options") and str(location[-1]).lower() in SECRET_OPTIONS


SYNC_CONFIG = FileForm(
    ConfigSection, "bad_config", "correct the file, then look at it with `hsm sync list`", is_secret=_is_secret
)

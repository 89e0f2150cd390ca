"""Configuration: models and reader of `.hsm/sync_config.yaml`, and the template of `hsm sync init`."""

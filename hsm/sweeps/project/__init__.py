"""Configuration of the sweeps that a project runs: `.hsm/config.yaml`, below it the user's and the site's."""

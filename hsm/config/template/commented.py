"""Commented configuration that loads as it stands, for both directions; and `.hsm/.gitignore`."""

from __future__ import annotations

import json

from hsm.errors import UsageError

GITIGNORE = """\
# Written by `hsm sync init`: what HSM keeps here for itself. The configuration beside it is yours to commit.
cache/
sync/
project.json
"""

_TEMPLATE = """\
# HSM copies the results of sweeps from one machine to another: this file says which, and where. There are two ways:
#
#   - pull: HSM runs on your desktop or laptop, which can log in to the cluster:  hsm sync from latest --dry-run
#   - push: HSM runs on the cluster, which can log in to your desktop:            hsm sync to latest --dry-run
#
# Keep the target that is yours, and put your own machine into `host` and `project_root`.
# Lines behind a # show the defaults, or what else can be set; `hsm docs configuration` explains all of it.

default_target: hpc              # used when you give no --target; a list of names means all of them

# source:                        # where sweeps and runs are in this project
#   sweeps: sweeps               # relative to the project's folder, or absolute
#   wandb: wandb
#   wandb_folders: []            # further wandb folders, for example [train/wandb]; without them HSM looks for some

sync_targets:
  # desktop:                     # push: the machine that receives; write default_target: desktop for it
  #   host: desktop.example.org
  #   paths: {{project_root: {project_root}, sweeps: sweeps, wandb: wandb}}

  hpc:                           # pull: a name of your choice; add a section for each further machine
    host: hpc.example.org        # name, address or alias of ~/.ssh/config; without this line the target
    #                            # is a folder of this machine, such as a mounted disk
    # node: gpu-1                # a machine of .hsm/hosts.yaml, in place of host, user and port
    # user: me                   # login name; without it your ssh configuration decides
    # port: 22                   # without it your ssh configuration decides
    # rsync_path: /opt/bin/rsync # the rsync to run there, where it is not found by itself
    # engine: auto               # rsync where both ends have it, else sftp; copy: within this machine

    paths:                       # at the target: absolute, or ~/... for its home folder
      project_root: {project_root}  # optional: relative paths below start from here
      sweeps: sweeps             # sweep folders are in outputs/ of this folder
      wandb: wandb               # run folders are here

    # ssh:
    #   client: auto                      # openssh where this machine has it, else paramiko
    #   config: ~/.ssh/hpc_config         # another ssh configuration file (ssh -F)
    #   identity_file: ~/.ssh/id_hpc      # the private key to log in with (ssh -i)
    #   options:                          # further options of ssh_config(5), none that runs programs
    #     ServerAliveInterval: 15

    # secrets: warn                # small text files that seem to hold keys or tokens: warn of them,
    #                              # refuse to send anything, or ignore them

    # options:
    #   sync_sweep_metadata: true  # send the sweep's own folder
    #   sync_wandb_runs: true      # send the sweep's wandb runs
    #   latest_only: true          # leave out what a later version supersedes; false: send all;
    #                              # uploaded: leave it out only of runs that wandb has already
    #   max_depth: 1               # levels of the sweep's folder: 1 its own files, null all depths
    #   parallel_transfers: 4      # workers that send at the same time, 1 to 64
    #   compress: auto             # auto, zstd, lz4 or none
    #   check_remote_first: true   # compare with what the target has before anything is sent
    #   sync_artifact_staging: false  # with wandb_sync below: bring along artifacts that wait for their upload
    #   exclude: []                # files never sent, patterns as in .gitignore, for example ["*.ckpt"]
    #   receive_mode: private      # what is private here stays private there; umask: as the umask there says
    #   folder_links: skip         # symlinks to folders: skip, follow those that stay in the project, or
    #                              # a list of paths that they may lead into as well
    #   secret_patterns:           # likewise, left out as secrets; a list of your own takes the place of this one
    #     [.netrc, .env, ".env.*", "*.pem", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    #      .ssh/, "**/.aws/credentials", credentials.json, "**/wandb/settings"]

    # after_sync:                  # what is done at the target once a sweep has arrived
    #   - wandb_sync: true         # upload runs that have ended and are whole there (`wandb sync`)
    #   - run: make figures        # a command line, in project_root; it gets HSM_SWEEP, HSM_TARGET, HSM_RECEIPT

# sweeps:                        # other `paths` and `options` for the sweeps whose id a pattern matches
#   "sweep_2024*":
#     paths: {{wandb: /archive/wandb}}
#     targets:                   # or for single targets
#       hpc: {{options: {{max_depth: 2}}}}
"""


def check_project_name(name: str) -> str:
    """Return `name` if it can be one component of a path at a target.

    Raises:
        UsageError: It cannot, and why (kind `bad_project_name`).
    """
    reason = ""
    if not name or name != name.strip():
        reason = "is empty, or begins or ends with white space"
    elif not name.isprintable():
        reason = "has a line break, a control character or another that cannot be printed"
    elif "/" in name or name in (".", ".."):
        reason = "is no single folder's name"
    elif name.startswith(("-", "~", "$")):
        reason = f"begins with {name[0]}"
    elif len(name.encode()) > 255:
        reason = "is longer than the 255 bytes of a folder's name"
    if reason:
        raise UsageError(
            f"The project name {name[:80]!a} {reason}",
            hint="give another one with `hsm sync init --project-name NAME`",
            kind="bad_project_name",
        )
    return name


def make_template(project_name: str) -> str:
    """Make the text of a `.hsm/sync_config.yaml` whose paths carry the project's name.

    Args:
        project_name: Any text; it is checked, and quoted for YAML.

    Raises:
        UsageError: As `check_project_name`.
    """
    root = f"~/code/{check_project_name(project_name)}"
    return _TEMPLATE.format(project_root=quote_yaml(root))


def quote_yaml(text: str) -> str:
    """Quote printable text for YAML."""
    # A JSON string of printable characters is a double-quoted YAML string.
    return json.dumps(text, ensure_ascii=False)

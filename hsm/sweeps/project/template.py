"""Files that `hsm sweep init` writes: both load as they stand, and show what else can be set behind a #."""

from __future__ import annotations

import json
from collections.abc import Sequence

_SETTINGS = """\
# How this project runs sweeps (`hsm sweep`). Lines behind a # show what can be set.
# Texts like 12:30, no and 2024-01-01 are text here, and 1e-3 is a number (YAML 1.2).

project:
  name: {name}

paths:
{script_lines}
  # python_interpreter: .venv/bin/python  # without it the first python of PATH
  # conda_env: my_env                     # or the Python of a conda environment, by name or path
  # output_dir: sweeps/outputs            # where sweeps land; `hsm sync` looks there

# wandb:
#   project: my-project                   # WANDB_PROJECT of the tasks
#   entity: my-team                       # WANDB_ENTITY

# slurm:                                  # of one task; a sweep's own `resources` come over it
#   walltime: "04:00:00"                  # HH:MM:SS or D-HH:MM:SS
#   cpus_per_task: 4
#   mem: 16G                              # or mem_per_cpu
#   gpus: 1
#   gpu_type: a100
#   partition: gpu
#   account: my_account
#   qos: normal
#   modules: [cuda/12.4]
#   pre_script: |                         # lines of bash before the task
#     source .venv/bin/activate
#   env: {{OMP_NUM_THREADS: 4}}             # no secrets: they belong into your shell
#   extra: {{mail-type: END}}               # further long options of sbatch
#   throttle: 20                          # most tasks that run at the same time
#   max_array_size: 1000                  # most tasks of one job array

# local:                                  # tasks on this machine
#   parallel: 2                           # most tasks at the same time
#   gpus: all                             # all, cpu, a number, or GPUs such as 0,2

# machines:                               # other machines, by the name of a sync target or host
#   cluster:
#     path: ~/code/{plain_name}
#     python: ~/code/{plain_name}/.venv/bin/python
#     slurm: {{partition: gpu}}
"""

_DEFINITION = """\
# What a sweep varies. `hsm sweep run --dry-run` shows the tasks.

{script_line}
arguments: hydra              # how the script takes them: hydra (key=value), flags (--key value) or json (a file)

sweep:
  grid:                       # every value with every other
    lr: [1e-3, 3e-4]
    seed: [1, 2, 3]
  # paired:                   # parameters that vary together; groups multiply
  #   - size: {{model.width: [64, 128], model.depth: [2, 4]}}
  # random:                   # drawn; the same seed gives the same tasks everywhere
  #   n: 20
  #   seed: 7
  #   parameters: {{dropout: {{uniform: [0, 0.5]}}, opt: {{choice: [adam, sgd]}}}}
  # combinations:             # further tasks, written out
  #   - {{lr: 1e-2, seed: 9}}
  # fixed: {{epochs: 10}}       # the same in every task
  # exclude:                  # tasks in which all of these match are left out; a list means any of it
  #   - {{lr: 1e-3, seed: [2, 3]}}
  # order: {{shuffled: 1}}      # given: as written

# metadata: {{description: "", wandb_project: my-project, tags: []}}
# resources: {{walltime: "04:00:00", gpus: 1}}   # over `slurm` of .hsm/config.yaml
# command: [srun, "{{python}}", "{{script}}"]     # how a task is started; the arguments follow
# pass:                       # arguments that HSM adds: another name, or null for none
#   output.dir: null          # the task's folder
#   wandb.group: null         # the sweep's id
# resume: {{signal_seconds: 120, times: 10}}     # save at SIGTERM and go on in a further job
"""


def make_settings_template(name: str, scripts: Sequence[str]) -> str:
    """Make the text of `.hsm/config.yaml`.

    Args:
        name: The project's; any text.
        scripts: What looks like a training script. One is taken; of several none is.
    """
    if len(scripts) == 1:
        lines = f"  train_script: {_quote(scripts[0])}"
    else:
        shown = scripts or ["train.py"]
        lines = "\n".join(f"  # train_script: {_quote(script)}" for script in shown)
    plain = name if name.isascii() and name.replace("-", "").replace("_", "").isalnum() else "project"
    return _SETTINGS.format(name=_quote(name), plain_name=plain, script_lines=lines)


def make_definition_template(scripts: Sequence[str]) -> str:
    """Make the text of a definition to begin with."""
    if len(scripts) == 1:
        line = f"# script: {_quote(scripts[0])}            # without it paths.train_script of .hsm/config.yaml"
    else:
        shown = scripts or ["train.py"]
        choice = ["# script: choose one of these:"] if len(scripts) > 1 else []
        line = "\n".join([*choice, *(f"# script: {_quote(script)}" for script in shown)])
    return _DEFINITION.format(script_line=line)


def _quote(text: str) -> str:
    # A JSON string without control characters is a double-quoted YAML string; a plain word needs no quotes.
    is_plain = text.isascii() and text.replace("/", "").replace("_", "").replace(".", "").isalpha()
    return text if is_plain and text.lower() not in ("null", "true", "false") else json.dumps(text)

"""Reader of task records for job scripts, in bash 3.2 (macOS) and newer."""

from __future__ import annotations

TASK_READER = r"""
# hsm_read_task SWEEP_FOLDER NUMBER CODE_FOLDER PYTHON
# Sets HSM_TASK_DIR, HSM_PARAMETERS, hsm_parameters (the content of that file) and the array hsm_words (the command).
# Returns 1 where the record is missing or not whole. Makes no file and no folder.
hsm_read_task() {
  local LC_ALL=C  # lengths in bytes
  local folder=$1 number=$2 code=$3 python=$4 line piece word='' is_first=1 n_bytes=0 part offset length
  HSM_TASK_DIR=$folder/tasks/task_$number
  HSM_PARAMETERS=$HSM_TASK_DIR/parameters.json
  hsm_parameters='' hsm_words=()
  line=$(tail -c "+$(((number - 1) * 64 + 1))" "$folder/.hsm-sweep/index" | head -c 64) || :
  # No here-document: bash before 5.1 writes a file for each. No `set --`: the caller's IFS and globs would count.
  part=${line%% *} line=${line#* }
  offset=${line%% *} line=${line#* }
  length=${line%% *}
  case $part.$offset.$length in
    *[!0-9.]* | .* | *..* | *.) return 1 ;;
  esac
  while IFS= read -r -d '' piece; do
    n_bytes=$((n_bytes + ${#piece} + 1))
    case $piece in
      [lL]*) word=$word${piece#?} ;;
      [tT]) word=$word$HSM_TASK_DIR ;;
      [cC]) word=$word$code ;;
      [pP]) word=$word$python ;;
      [jJ]) word=$word$HSM_PARAMETERS ;;
      *) return 1 ;;
    esac
    case $piece in
      [LTCPJ]*)
        if [ -n "$is_first" ]; then hsm_parameters=$word is_first=''; else hsm_words+=("$word"); fi
        word='' ;;
    esac
  done < <(tail -c "+$((offset + 1))" "$folder/.hsm-sweep/tasks-$part" | head -c "$length")
  [ "$n_bytes" -eq "$length" ] && [ "${#hsm_words[@]}" -gt 0 ]
}
"""
"""A function for the head of a script that bash runs; see the comment in it, and docs/design/sweeps.md."""

# Runs one task of a sweep: bash 3.2 and newer. Part of every job script, behind its head, which sets
#   hsm_folder, hsm_code, hsm_python   the places, absolute
#   hsm_walltime          seconds, 0 for none
#   hsm_resume_seconds    a task is asked to save its state so long before its limit; 0: it is not resumed
#   hsm_resume_times      how often at most
#   hsm_node, hsm_job     the names for task_info.txt
#   hsm_saves_at_term     set where the signal to save the state is TERM, as the one at the limit: Slurm's
#   hsm_early             seconds by which a signal may come before its time
# and exports what every task gets.

# A task runs in a process group of its own, so that all of it can be ended.
set -m

hsm_say() { printf 'hsm: %s\n' "$*" >&2; }

# hsm_now NAME: the variable gets the time.
hsm_now() { printf -v "$1" '%s' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"; }

# hsm_save FILE TEXT: written beside it and renamed.
hsm_save() { printf '%s' "$2" >"$1.hsm-new" && mv -f "$1.hsm-new" "$1"; }

# hsm_write_info [LINE...]: task_info.txt with further lines.
hsm_write_info() {
  local text line
  printf -v text 'Parameters: %s\nAttempt: %s\nStarted: %s\nNode: %s\nJob: %s\n' \
    "${hsm_parameters%$'\n'}" "$HSM_ATTEMPT" "$hsm_started" "$hsm_node" "$hsm_job"
  for line in "$@"; do text=$text$line$'\n'; done
  hsm_save "$HSM_TASK_DIR/task_info.txt" "$text" || hsm_say "task_info.txt of task $HSM_TASK cannot be written"
}

# hsm_keep_earlier: what an earlier attempt wrote gets its number; returns 1 where the task is complete.
hsm_keep_earlier() {
  local line earlier=1 info=$HSM_TASK_DIR/task_info.txt
  [ ! -e "$HSM_TASK_DIR/.done" ] || rm -f "$HSM_TASK_DIR/.done"
  [ -f "$info" ] || return 0
  while IFS= read -r line; do
    case $line in
      'Attempt: '*) earlier=${line#Attempt: } ;;
      'Status: COMPLETED' | 'Status: SUCCESS') return 1 ;;
    esac
  done <"$info"
  case $earlier in '' | *[!0-9]*) earlier=1 ;; esac
  mv -f "$info" "$HSM_TASK_DIR/task_info.$earlier.txt"
}

# hsm_is_cancelled NUMBER ATTEMPT: whether a person had this attempt, or a later one, cancelled.
hsm_is_cancelled() {
  local number attempt
  [ -f "$hsm_folder/.hsm-sweep/cancelled" ] || return 1
  while read -r number attempt; do
    [ "$number" = "$1" ] && [ "$attempt" -ge "$2" ] && return 0
  done 2>/dev/null <"$hsm_folder/.hsm-sweep/cancelled"
  return 1
}

# Signals to this script: TERM ends all of the task, USR2 asks it to save its state, USR1 kills it. What the task got is
# in hsm_signal: SAVE, TERM or KILL.
hsm_signal='' hsm_child='' hsm_interrupted=''
hsm_on_term() {
  # Slurm asks for the state with the same signal that ends a task at its limit.
  if [ -z "$hsm_signal" ] && [ -n "$hsm_saves_at_term" ] && hsm_is_near_limit; then hsm_on_save; return; fi
  hsm_interrupted=1 hsm_signal=TERM
  [ -z "$hsm_child" ] || kill -TERM -- "-$hsm_child" 2>/dev/null
}
hsm_on_save() {
  hsm_interrupted=1 hsm_signal=SAVE
  # The task's own process alone: what it has started would else end before it has saved.
  [ -z "$hsm_child" ] || kill -TERM "$hsm_child" 2>/dev/null
}
hsm_on_kill() {
  hsm_interrupted=1 hsm_signal=KILL
  [ -z "$hsm_child" ] || kill -KILL -- "-$hsm_child" 2>/dev/null
}
hsm_set_traps() { trap hsm_on_term TERM; trap hsm_on_save USR2; trap hsm_on_kill USR1; }

hsm_is_near_limit() {
  [ "$hsm_walltime" -gt 0 ] && [ $((SECONDS - hsm_began)) -ge $((hsm_walltime - hsm_resume_seconds - hsm_early)) ]
}

# hsm_run_task NUMBER ATTEMPT RESTARTS: returns the exit code of the task: 0 also where it was complete before, 75 where
# it is to be resumed.
hsm_run_task() {
  local code line log=$hsm_folder/logs/task_$1.$2 restarts=$3
  hsm_child=''
  hsm_now hsm_started
  if ! hsm_read_task "$hsm_folder" "$1" "$hsm_code" "$hsm_python"; then
    hsm_say "the record of task $1 is not whole"
    hsm_words=(false) hsm_parameters=''
  fi
  export HSM_TASK=$1 HSM_ATTEMPT=$2 HSM_TASK_DIR HSM_PARAMETERS
  mkdir -p "$HSM_TASK_DIR" || return 73
  hsm_keep_earlier || return 0
  printf -v line '%q ' "${hsm_words[@]}"
  hsm_save "$HSM_PARAMETERS" "$hsm_parameters"
  hsm_save "$HSM_TASK_DIR/command.txt" "${line% }"$'\n'
  hsm_write_info
  (
    set +m
    trap - TERM USR1 USR2
    cd "$hsm_code" && exec "${hsm_words[@]}"
  ) </dev/null >>"$log.out" 2>>"$log.err" &
  hsm_child=$!
  # One that came before there was a child to hand it on to.
  case $hsm_signal in TERM) hsm_on_term ;; SAVE) hsm_on_save ;; KILL) hsm_on_kill ;; esac
  while :; do
    hsm_interrupted=''
    wait "$hsm_child"
    code=$?
    [ -n "$hsm_interrupted" ] || break  # else it is the status of the interruption
  done
  kill -KILL -- "-$hsm_child" 2>/dev/null  # what it left running
  hsm_finish_task "$code" "$restarts"
}

# hsm_finish_task CODE RESTARTS: writes how the task ended.
hsm_finish_task() {
  local code=$1 lines now
  hsm_now now
  if [ "$code" = 0 ] && { [ -z "$hsm_signal" ] || [ -e "$HSM_TASK_DIR/.done" ]; }; then
    hsm_write_info "Completed: $now" 'Status: COMPLETED' 'Exit Code: 0'
    return 0
  fi
  if [ "$hsm_signal" = SAVE ] && [ ! -e "$HSM_TASK_DIR/.done" ] && [ "$2" -lt "$hsm_resume_times" ] &&
    ! hsm_is_cancelled "$HSM_TASK" $((HSM_ATTEMPT - $2)); then
    hsm_write_info "Requeued: $now" 'Status: REQUEUED' "Exit Code: $code"
    return 75
  fi
  lines=("Failed: $now" 'Status: FAILED' "Exit Code: $code")
  if [ -n "$hsm_signal" ]; then
    lines+=("Signal: ${hsm_signal/SAVE/TERM}")
    if hsm_is_near_limit; then lines+=('Reason: time limit'); fi
  fi
  hsm_write_info "${lines[@]}"
  [ "$code" != 0 ] || code=143
  return "$code"
}

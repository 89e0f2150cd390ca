# Runs many tasks, some at a time: the pool of a machine, or one job of Slurm with several tasks. Behind task.sh. Set by
# the head:
#   hsm_tasks, hsm_attempts     arrays: what may be run
#   hsm_n_slots, hsm_gpus       how many at a time; an array with the GPUs of each, where some are dealt
#   hsm_grace                   seconds from TERM to KILL
#
# Each task that runs has a slot and a process, a copy of this script, which says through a pipe that it has ended: bash
# before 4.3 cannot wait for whichever child ends first.

hsm_queue=() hsm_head=0       # positions in hsm_tasks that wait, and the first of them
hsm_pids=() hsm_runs=()       # of each slot: its process, empty while it is free; what it runs: position.restarts
hsm_starts=() hsm_asked=()    # of each slot: when it began; SAVE, the time of TERM, or KILL, as it was asked to end
hsm_restarts=()               # of each position
hsm_stops='' hsm_failed=0

# hsm_deal SLOT: gives it its GPUs.
hsm_deal() {
  [ -n "${hsm_gpus[$1]:-}" ] || return 0
  export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=${hsm_gpus[$1]}
  [ "$CUDA_VISIBLE_DEVICES" != none ] || CUDA_VISIBLE_DEVICES=''
}

# hsm_begin SLOT POSITION
hsm_begin() {
  local restarts=${hsm_restarts[$2]:-0}
  (
    set -m  # a copy of the shell has lost it
    hsm_signal='' hsm_child=''
    hsm_set_traps
    hsm_began=$SECONDS
    hsm_deal "$1"
    hsm_run_task "${hsm_tasks[$2]}" $((${hsm_attempts[$2]} + restarts)) "$restarts" 4>&-
    code=$?
    echo "$1 $2.$restarts" >&4
    exit "$code"
  ) &
  hsm_pids[$1]=$! hsm_runs[$1]=$2.$restarts hsm_starts[$1]=$SECONDS hsm_asked[$1]=''
}

# hsm_end SLOT: collects its process.
hsm_end() {
  local code position=${hsm_runs[$1]%.*}
  while :; do
    hsm_interrupted=''
    wait "${hsm_pids[$1]}" 2>/dev/null
    code=$?
    [ -n "$hsm_interrupted" ] || break
  done
  hsm_pids[$1]=''
  case $code in
    0) return ;;
    75)
      if [ -z "$hsm_stops" ]; then
        hsm_restarts[$position]=$((${hsm_restarts[$position]:-0} + 1))
        hsm_queue+=("$position")
        return
      fi ;;
    137) hsm_mark_killed "${hsm_tasks[$position]}" ;;
  esac
  hsm_failed=1
}

# hsm_mark_killed NUMBER: writes the end of a task whose process could not.
hsm_mark_killed() {
  local line text='' now info=$hsm_folder/tasks/task_$1/task_info.txt
  while IFS= read -r line; do
    case $line in 'Status: '*) return ;; esac
    text=$text$line$'\n'
  done 2>/dev/null <"$info"
  hsm_now now
  hsm_save "$info" "${text}Failed: $now"$'\nStatus: FAILED\nExit Code: 137\nSignal: KILL\n'
}

# hsm_check SLOT: ends what is over its limit or cancelled, and collects what was killed without a word.
hsm_check() {
  local pid=${hsm_pids[$1]} age=$((SECONDS - ${hsm_starts[$1]})) position=${hsm_runs[$1]%.*}
  if ! kill -0 "$pid" 2>/dev/null; then hsm_end "$1"; return; fi
  case ${hsm_asked[$1]} in
    KILL) return ;;
    [0-9]*)
      [ "$SECONDS" -lt $((${hsm_asked[$1]} + hsm_grace)) ] || hsm_ask "$1" USR1 KILL
      return ;;
  esac
  if hsm_is_cancelled "${hsm_tasks[$position]}" "${hsm_attempts[$position]}"; then
    hsm_ask "$1" TERM "$SECONDS"
  elif [ "$hsm_walltime" = 0 ]; then
    return
  elif [ "$age" -ge "$hsm_walltime" ]; then
    hsm_ask "$1" TERM "$SECONDS"
  elif [ -z "${hsm_asked[$1]}" ] && [ "$hsm_resume_seconds" -gt 0 ] &&
    [ "$age" -ge $((hsm_walltime - hsm_resume_seconds)) ]; then
    hsm_ask "$1" USR2 SAVE
  fi
}

# hsm_ask SLOT SIGNAL NOTE
hsm_ask() { kill "-$2" "${hsm_pids[$1]}" 2>/dev/null; hsm_asked[$1]=$3; }

# TERM: no further task begins, and those that run are ended.
hsm_on_pool_term() {
  local slot
  hsm_interrupted=1 hsm_stops=1
  for ((slot = 0; slot < hsm_n_slots; slot++)); do
    [ -z "${hsm_pids[$slot]:-}" ] || hsm_ask "$slot" TERM "$SECONDS"
  done
}

# hsm_next: sets position to that of the next task; returns 1 where there is none.
hsm_next() {
  while [ "$hsm_head" -lt "${#hsm_queue[@]}" ] && [ -z "$hsm_stops" ]; do
    position=${hsm_queue[$hsm_head]}
    hsm_head=$((hsm_head + 1))
    hsm_is_cancelled "${hsm_tasks[$position]}" "${hsm_attempts[$position]}" || return 0
    hsm_failed=1
  done
  return 1
}

# hsm_run_pool POSITION...: runs the tasks at these positions; returns 0 where none failed.
hsm_run_pool() {
  local slot position pipe n_running run
  hsm_queue=("$@")
  pipe=$(mktemp -d "${TMPDIR:-/tmp}/hsm-pool.XXXXXX") && mkfifo "$pipe/ended" && exec 4<>"$pipe/ended" || return 73
  rm -rf "$pipe"
  trap hsm_on_pool_term TERM
  while :; do
    n_running=0
    for ((slot = 0; slot < hsm_n_slots; slot++)); do
      [ -z "${hsm_pids[$slot]:-}" ] || hsm_check "$slot"
      if [ -z "${hsm_pids[$slot]:-}" ] && hsm_next; then hsm_begin "$slot" "$position"; fi
      [ -z "${hsm_pids[$slot]:-}" ] || n_running=$((n_running + 1))
    done
    [ "$n_running" -gt 0 ] || break
    # Of a slot that was found dead before its word came, the word is an old one.
    if read -r -t 1 -u 4 slot run && [ "${hsm_runs[$slot]:-}" = "$run" ] && [ -n "${hsm_pids[$slot]:-}" ]; then
      hsm_end "$slot"
    fi
  done
  exec 4>&-
  return "$hsm_failed"
}

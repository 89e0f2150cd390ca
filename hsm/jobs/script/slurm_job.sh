# Main part of a job of Slurm. Set by the head: hsm_tasks, hsm_attempts, hsm_per_job, hsm_n_slots, hsm_gpus_per_task.
hsm_node=${SLURMD_NODENAME:-${HOSTNAME:-}}
hsm_job=${SLURM_JOB_ID:-0}
[ -z "${SLURM_ARRAY_JOB_ID:-}" ] || hsm_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
hsm_first=$(((${SLURM_ARRAY_TASK_ID:-1} - 1) * hsm_per_job))
hsm_n_restarts=${SLURM_RESTART_COUNT:-0}

# hsm_run_packed: runs the tasks of this job, hsm_n_slots at a time, and deals them its GPUs.
hsm_run_packed() {
  local i positions=() given
  hsm_saves_at_term='' hsm_early=1 hsm_grace=20 hsm_gpus=()
  for ((i = hsm_first; i < hsm_first + hsm_per_job && i < ${#hsm_tasks[@]}; i++)); do
    positions+=("$i")
    hsm_attempts[$i]=$((${hsm_attempts[$i]} + hsm_n_restarts))
  done
  if [ "$hsm_gpus_per_task" -gt 0 ]; then
    IFS=, read -r -a given <<<"${CUDA_VISIBLE_DEVICES:-}"
    for ((i = 0; i < hsm_n_slots; i++)); do
      hsm_gpus[$i]=$(IFS=,; echo "${given[*]:$((i * hsm_gpus_per_task)):$hsm_gpus_per_task}")
    done
  fi
  hsm_run_pool "${positions[@]}"
}

# hsm_run_single: runs the one task of this job, and has the job come again where the task is to be resumed.
hsm_run_single() {
  local code
  hsm_saves_at_term=1 hsm_began=0 hsm_early=90  # Slurm's signal comes up to 60 s early
  [ "$hsm_resume_seconds" -gt 0 ] || hsm_saves_at_term=''
  hsm_set_traps
  if hsm_is_cancelled "${hsm_tasks[$hsm_first]}" "${hsm_attempts[$hsm_first]}"; then return 143; fi
  hsm_run_task "${hsm_tasks[$hsm_first]}" $((${hsm_attempts[$hsm_first]} + hsm_n_restarts)) "$hsm_n_restarts"
  code=$?
  [ "$code" != 75 ] || hsm_requeue
  return "$code"
}

# hsm_requeue: this element alone, never the array. Slurm then ends this script.
hsm_requeue() {
  local i
  trap '' TERM
  for i in 1 2 3; do
    if scontrol requeue "$hsm_job"; then sleep 60; return; fi
    sleep 5
  done
  hsm_say "$hsm_job could not be requeued"
}

if [ "$hsm_per_job" = 1 ]; then hsm_run_single; else hsm_run_packed; fi
hsm_code=$?
# Slurm's own log of this element, of which it writes something only where it has to say something.
hsm_log=$hsm_folder/logs/$hsm_name${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}.log
[ -s "$hsm_log" ] || rm -f "$hsm_log"
exit "$hsm_code"

# Main part of the pool of a machine: `start` chooses the slots and leaves a process behind that goes on without the
# terminal; `run` is that process. Set by the head: hsm_name, hsm_tasks, hsm_attempts, and
#   hsm_gpus_per_task    0 for none
#   hsm_gpu_choice       all, cpu, a number, GPUs with commas (0,2 or 0,), or empty: those that nobody uses
#   hsm_most_slots       0: as many as there is room for
#   hsm_cpus_per_task    0: not known
hsm_node=${HOSTNAME:-$(uname -n)}
hsm_saves_at_term='' hsm_early=1 hsm_grace=${HSM_GRACE_SECONDS:-30}
hsm_own=$hsm_folder/.hsm-sweep/$hsm_name

# hsm_list_gpus: sets hsm_free to the GPUs that may be dealt, in the order of their bus.
hsm_list_gpus() {
  local index busy memory allowed=",${CUDA_VISIBLE_DEVICES:-}," limit=()
  hsm_free=()
  case $hsm_gpu_choice in
    *,*)
      IFS=, read -r -a hsm_free <<<"$hsm_gpu_choice"
      return ;;
  esac
  command -v nvidia-smi >/dev/null || { hsm_say 'there is no nvidia-smi'; return 1; }
  if command -v timeout >/dev/null; then limit=(timeout 30); fi
  while IFS=' ,' read -r index busy memory; do
    case $index in '' | *[!0-9]*) continue ;; esac
    [ "$allowed" = ,, ] || case $allowed in *",$index,"*) ;; *) continue ;; esac
    # A GPU that cannot say how busy it is ([N/A]) counts by its memory.
    case $busy in *[!0-9]*) busy=0 ;; esac
    case $memory in *[!0-9]*) memory=0 ;; esac
    if [ "$hsm_gpu_choice" = all ] || { [ "${busy:-0}" -lt 5 ] && [ "${memory:-0}" -lt 500 ]; }; then
      hsm_free+=("$index")
    fi
  done < <(${limit[@]+"${limit[@]}"} nvidia-smi --query-gpu=index,utilization.gpu,memory.used --format=csv,noheader,nounits)
  case $hsm_gpu_choice in '' | all) ;; *) hsm_free=(${hsm_free[@]+"${hsm_free[@]:0:$hsm_gpu_choice}"}) ;; esac
}

# hsm_choose_slots: sets hsm_n_slots and hsm_gpus; returns 1 where there is no room for one task.
hsm_choose_slots() {
  local i n_cpus
  hsm_gpus=() hsm_n_slots=0
  if [ "$hsm_gpus_per_task" -gt 0 ] && [ "$hsm_gpu_choice" != cpu ]; then
    hsm_list_gpus || return 1
    for ((i = 0; i + hsm_gpus_per_task <= ${#hsm_free[@]}; i += hsm_gpus_per_task)); do
      hsm_gpus+=("$(IFS=,; echo "${hsm_free[*]:$i:$hsm_gpus_per_task}")")
    done
    hsm_n_slots=${#hsm_gpus[@]}
    [ "$hsm_n_slots" -gt 0 ] || {
      hsm_say "${#hsm_free[@]} GPUs are free, and a task needs $hsm_gpus_per_task"
      return 1
    }
  else
    n_cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || n_cpus=1
    hsm_n_slots=1
    [ "$hsm_cpus_per_task" = 0 ] || hsm_n_slots=$((n_cpus / hsm_cpus_per_task))
    [ "$hsm_n_slots" -gt 0 ] || hsm_n_slots=1
    [ "$hsm_most_slots" = 0 ] || hsm_n_slots=$hsm_most_slots
    if [ "$hsm_gpu_choice" = cpu ]; then for ((i = 0; i < hsm_n_slots; i++)); do hsm_gpus+=(none); done; fi
  fi
  [ "$hsm_most_slots" = 0 ] || [ "$hsm_n_slots" -le "$hsm_most_slots" ] || hsm_n_slots=$hsm_most_slots
  [ "$hsm_n_slots" -le "${#hsm_tasks[@]}" ] || hsm_n_slots=${#hsm_tasks[@]}
}

case ${1:-} in
  start)
    hsm_choose_slots || exit 3
    # Whoever makes the folder starts the pool: a pool is never started twice.
    mkdir "$hsm_own.started" 2>/dev/null || { echo started; exit 0; }
    nohup bash "$0" run "$hsm_n_slots" ${hsm_gpus[@]+"${hsm_gpus[@]}"} </dev/null >>"$hsm_folder/logs/$hsm_name.log" 2>&1 &
    hsm_pid=$!
    # Whoever asks from now on finds its record.
    for ((hsm_i = 0; hsm_i < 200; hsm_i++)); do
      [ ! -f "$hsm_own.pool" ] && kill -0 "$hsm_pid" 2>/dev/null || break
      sleep 0.05
    done
    echo "pool $hsm_pid $hsm_node $hsm_n_slots"
    ;;
  run)
    hsm_n_slots=$2 hsm_gpus=("${@:3}") hsm_job=$$
    trap '' HUP
    hsm_save "$hsm_own.pool" "$$ $hsm_node"$'\n'
    hsm_positions=()
    for ((hsm_i = 0; hsm_i < ${#hsm_tasks[@]}; hsm_i++)); do hsm_positions+=("$hsm_i"); done
    hsm_run_pool "${hsm_positions[@]}"
    ;;
esac

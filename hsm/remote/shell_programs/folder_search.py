r"""The search for wandb folders behind a shell: its program. Pure; `search_answer` reads what it prints.

The rules are those of `hsm.remote.folder_search.rules`. A `find` reads up to 200 folders of one level at once, and awk
says what was found and which folders come next, so a level takes four processes. Names travel as quoted words of the
shell, one a line (`'it'\''s'`; a line break is `'"$nl"'`): neither awk nor the variables of a shell can hold NUL.
"""

from __future__ import annotations

import math

from hsm.endpoint import FolderSearch
from hsm.remote.folder_search.rules import CROWDS
from hsm.remote.shell import quote, quote_path

# Run by `find -exec`: $1 the letter of the lines, then paths. Of folders, u are those that cannot be read, h are `.hsm`
# with a configuration and i those without; each gets its line, since the lines are counted.
_WORDS = r"""
k=$1; shift
nl='
'
swap() {
  r=$1 o=
  while :; do
    case $r in *"$2"*) o=$o${r%%"$2"*}$3 r=${r#*"$2"} ;; *) break ;; esac
  done
  o=$o$r
}
for d do
  t=$k
  case $k$d in
  [dp]*/.hsm) if [ -e "$d/sync_config.yaml" ]; then if [ "$k" = d ]; then t=h; fi; else t=i; fi ;;
  d*) if [ ! -r "$d" ] || [ ! -x "$d" ]; then t=u; fi ;;
  esac
  case $d in *\'*|*"$nl"*) swap "$d" "'" "'\\''"; swap "$o" "$nl" "'\"\$nl\"'"; d=$o ;; esac
  printf '%s\n' "$t'$d'"
done
"""

# Reads: b the base, l folders to be left, v the file systems of the folders, in their order; d, u, h and i as above;
# m marks, p a symlink `.hsm`; t that the time is over. How many entries a folder has is told by c0, its own line, and a
# c1 for each entry, or by the slashes in their paths alone. Prints: V the base's file system; W wandb folders, J jobs,
# P multiruns, E and R what was cut off; T the number of the folder in which the time was over; 0, 1 and 2 the folders
# to be read later, by their crowd.
_RULES = r"""
function body(w) { return substr(w, 2, length(w) - 2) }
function above(p) { match(p, "/[^/]*$"); return substr(p, 1, RSTART - 1) }
function count(p) { return gsub("/", "/", p) }
function is_left(p) { return ((base == "/" ? "" : base) substr(p, 2)) in left }
function tally(is_start) { if (is_start) { n_starts++; n = 0 } else if (++n > entries) over[n_starts] = 1 }
function say(letter, p) { print letter q p q }
function queue(c, p) { line[c] = line[c] " " q p q; if (++n_line[c] == 200) flush(c) }
function flush(c) { if (n_line[c]) print c line[c]; line[c] = ""; n_line[c] = 0 }
BEGIN { q = sprintf("%c", 39) }
/^\/*$/ { tally(length($0) == level); next }
{ t = substr($0, 1, 1); w = substr($0, 2) }
t == "c" { tally(w == "0"); is_in_order = 1 }
t == "b" { base = body(w) }
t == "l" { left[body(w)] = 1 }
t == "v" { device[++n_devices] = w; late[n_devices] = is_in_order && (n_starts in over) }
t == "h" || t == "p" { is_project[above(body(w))] = 1 }
t == "m" {
  p = body(w)
  if (p ~ /\/multirun\.yaml$/) is_multirun[above(p)] = 1; else is_venv[above(p)] = 1
}
t == "h" || t == "i" { n_folders++ }
t == "d" || t == "u" {
  n_folders++; p = body(w)
  if (count(p) == level) { start[++n_read] = p; if (t == "u") is_closed[p] = 1; if (p == ".") own = n_folders; next }
  if (p ~ /\/\.hydra$/) is_job[above(p)] = 1
  else if (++n_kids[above(p)] <= entries || p ~ /\/\.?wandb$/) {
    kid[++n_all] = p; number[n_all] = n_folders; type[n_all] = t
  }
}
t == "t" { print "T" n_starts + 0 }
END {
  knows = n_devices == n_folders
  if (level == 0) { file_system = knows ? device[own] : ""; print "V" file_system }
  for (i = 1; i <= n_read; i++) {
    p = start[i]
    if (p in is_closed) { say("R", p); is_shut[p] = 1; continue }
    if (p != "." && ((p in is_venv) || (p in is_project))) { is_shut[p] = 1; continue }
    if (i in over) say("E", p)
    if (p in is_job) say("J", p)
    if (p in is_multirun) { say("P", p); if (p != ".") is_shut[p] = 1 }
  }
  if (level >= depth) exit
  for (i = 1; i <= n_all; i++) {
    p = kid[i]; k = number[i]
    if ((above(p) in is_shut) || is_left(p)) continue
    if (knows && late[k]) continue
    if (p ~ /\/\.?wandb$/) say("W", p)
    else if (knows && file_system != "" && device[k] != file_system) continue
    else if (type[i] == "u") say("R", p)
    else { next_one[++n_next] = p; n_next_of[above(p)]++ }
  }
  for (i = 1; i <= n_next; i++) {
    n = n_next_of[above(next_one[i])]; c = (n > many) + (n > more)
    queue(c > crowd ? c : crowd, next_one[i])
  }
  for (c = 0; c <= 2; c++) flush(c)
}
"""

# $folder, $depth, $most, $entries, $many, $more, $seconds and $left are set before. macOS has no `timeout`, and that of
# an old BusyBox takes other words.
_SEARCH = r"""
nl='
'
if timeout 5 sh -c : 2>/dev/null; then timer=timeout
elif command -v perl >/dev/null 2>&1; then timer=perl
else timer=; fi
limited() {
  for_seconds=$((ends - $(date +%s)))
  [ "$for_seconds" -gt 0 ] || return 124
  case $timer in
  timeout) timeout "$for_seconds" "$@" ;;
  perl) perl -e 'alarm shift; exec @ARGV' "$for_seconds" "$@" ;;
  *) "$@" ;;
  esac
}
look() {
  case $how in
  gnu) set -- "$@" -maxdepth 1 -printf 'c%d\n' ;;
  *) limited find "$@" -maxdepth 1 -print0 | tr -dc '/\0' | tr '\0' '\n'; set -- "$@" -maxdepth 1 ;;
  esac
  # No parentheses around `-exec ... +`, which BusyBox 1.35 then never runs.
  set -- "$@" -type d '(' -name .wandb -o -name .hydra -o -name .hsm -o ! -name '.?*' ')'
  set -- "$@" ! -name site-packages ! -name node_modules ! -name __pycache__
  case $how in
  gnu) set -- "$@" -printf 'v%D\n' ;;
  busybox) set -- "$@" -exec stat -c v%d '{}' + ;;
  bsd) set -- "$@" -exec stat -f v%d '{}' + ;;
  esac
  set -- "$@" -exec sh -c "$words" words d '{}' + -o '(' -name multirun.yaml -o -name pyvenv.cfg ')'
  set -- "$@" '(' -type f -o -type l ')' -exec sh -c "$words" words m '{}' +
  set -- "$@" -o -type l -name .hsm -exec sh -c "$words" words p '{}' +
  limited find "$@"
  if [ $? -gt 100 ]; then echo t; fi
}
weigh() {
  awk -v level="$level" -v depth="$depth" -v entries="$entries" -v many="$many" -v more="$more" \
    -v crowd="$crowd" -v file_system="$system" "$rules"
}
cut() { printf '%s\n' "$1$(sh -c "$words" words '' "$2")"; }
read_some() { { printf '%s\n' "$here"; if [ -n "$left" ]; then printf '%s\n' "$left"; fi; look "$@"; } | weigh; }
sort_out() {
  for line in $1; do
    case $line in
    V*) system=${line#V} heard=1 ;;
    [012]*) name=later_${line%"${line#?}"}_$((level + 1)); eval "$name=\$$name\$nl\${line#?}" ;;
    T*) late=${line#T} ;;
    *) printf '%s\n' "$line" ;;
    esac
  done
}
walk() {
  n=0 crowd=0 system= heard= late= later_0_0=" '.'" ends=$(($(date +%s) + seconds))
  while [ "$crowd" -le 2 ]; do
    level=0
    while [ "$level" -le "$depth" ]; do
      eval "todo=\${later_${crowd}_$level-}"
      for some in $todo; do
        step "$some" || return 0
      done
      level=$((level + 1))
    done
    crowd=$((crowd + 1))
  done
}
step() {
  eval "set -- $1"
  if [ "$(date +%s)" -ge "$ends" ]; then cut T "$1"; return 1; fi
  over=
  if [ $((n + $#)) -gt "$most" ]; then
    i=$n
    for d do
      shift; i=$((i + 1))
      if [ "$i" -le "$most" ]; then set -- "$@" "$d"; elif [ $((i - 1)) -eq "$most" ]; then over=$d; fi
    done
  fi
  n=$((n + $#))
  if [ $# -gt 0 ]; then sort_out "$(read_some "$@")"; fi
  if [ -z "$heard" ]; then cut R .; return 1; fi  # there is no awk
  if [ -n "$late" ]; then
    if [ "$late" -gt 1 ] && [ "$late" -le $# ]; then shift $((late - 1)); fi
    cut T "$1"; return 1
  fi
  if [ -n "$over" ]; then cut F "$over"; return 1; fi
}
if [ -d "$folder" ]; then
  if cd -P -- "$folder" 2>/dev/null; then here=$(cut b "$PWD"); else cut b "$folder"; cut R .; exit; fi
  set -f; IFS=$nl
  printf '%s\n' "$here"; walk
fi
"""


def make_search_program(search: FolderSearch) -> str:
    """Make the program that searches; it changes nothing and complains of nothing."""
    bounds = search.bounds
    numbers = {
        "depth": bounds.depth,
        "most": bounds.n_folders,
        "entries": bounds.n_entries,
        "many": CROWDS[0],
        "more": CROWDS[1],
        "seconds": math.ceil(bounds.seconds),
    }
    left = "\n".join(f"l{_make_word(path)}" for path in search.left)
    return "\n".join(
        [
            "(",
            " ".join(f"{name}={number}" for name, number in numbers.items()),
            f"folder={quote_path(search.base)} left={quote(left)}",
            f"words={quote(_WORDS)}",
            f"rules={quote(_RULES)}",
            _SEARCH,
            ") 2>/dev/null </dev/null",
        ]
    )


def _make_word(path: str) -> str:
    """Make the line of a path as the program writes it."""
    return "'" + path.replace("'", "'\\''").replace("\n", "'\"$nl\"'") + "'"

#!/bin/sh
# Becomes a program, and leaves behind a watcher that kills it once its parent is gone: a parent that is killed cannot.
# The program is $LOCAL_WORKERD, which nothing else tells; or the arguments, where $END_GRACE_S gives it so many seconds
# to end by itself first.
#
# Whether the parent is gone is seen by who has adopted the program: a parent that was killed keeps its process id until
# somebody reads its exit code, and another process may get that id afterwards.
parent=$PPID

# Prints the process id of the parent of a process, nothing where that has ended.
parent_of() {
  if [ -r /proc/self/stat ]; then
    read -r _ _ _ id _ 2>/dev/null <"/proc/$1/stat" && echo "$id"
  else
    ps -o ppid= -p "$1" | tr -d ' '
  fi
}

# Prints the process ids of what a process has started, this watcher aside.
children_of() {
  for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do
    [ "$child" = "$watcher" ] || echo "$child"
  done
}

(
  read -r watcher _ 2>/dev/null </proc/self/stat
  while [ "$(parent_of $$)" = "$parent" ]; do sleep 1; done
  left=${END_GRACE_S:-0}
  while [ "$left" -gt 0 ] && [ -n "$(parent_of $$)" ]; do
    sleep 1
    left=$((left - 1))
  done
  # With what it has started, which may be stopped and see nothing of its end.
  [ -z "$(parent_of $$)" ] || kill -KILL $$ $(children_of $$)
) </dev/null >/dev/null 2>&1 3>&- &

if [ -n "$END_GRACE_S" ]; then exec "$@"; fi
# Where util-linux is there, the kernel itself kills workerd with whoever started it, should the watcher be gone by then.
if setpriv --pdeathsig KILL true 2>/dev/null; then exec setpriv --pdeathsig KILL "$LOCAL_WORKERD" "$@"; fi
exec "$LOCAL_WORKERD" "$@"

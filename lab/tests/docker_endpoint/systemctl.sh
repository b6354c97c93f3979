#!/bin/sh
# What the scripts of vagrant/ ask of systemctl, on a machine whose first process is not systemd: the
# units' own ExecStart lines, each in a session of its own, with what `systemctl stop` does to it.
set -eu

# A unit and what is dropped in beside it; the machine's own goes before the package's.
lines() {
  for folder in /etc/systemd/system /lib/systemd/system; do
    if [ -e "$folder/$1" ]; then
      cat "$folder/$1"
      break
    fi
  done
  cat "/etc/systemd/system/$1.d/"*.conf 2>/dev/null || true
}

setting() { lines "$1" | sed -n "s/^$2=-\{0,1\}//p"; }

stop() {
  running=/run/units/$1.pid
  [ -e "$running" ] || return 0
  group=$(cat "$running")
  signal=$(setting "$1" KillSignal | sed 's/^SIG//')
  kill "-${signal:-TERM}" "-$group" 2>/dev/null || true
  while kill -0 "-$group" 2>/dev/null; do sleep 0.1; done
  rm "$running"
}

start() {
  unit=$1
  for file in $(setting "$unit" EnvironmentFile); do
    if [ -e "$file" ]; then . "$file"; fi
  done
  socket=$(setting "${unit%.service}.socket" ListenStream)
  # Words as systemd makes them: variables are split at blanks, and nothing else is done to them.
  line=$(setting "$unit" ExecStart | tail -n 1)
  set -f
  eval "set -- $line"
  set +f
  if [ -n "$socket" ]; then
    rm -f "$socket"
    set -- systemd-socket-activate -l "$socket" "$@"
  fi
  setsid "$@" >>"/run/units/$unit.log" 2>&1 </dev/null &
  echo $! >"/run/units/$unit.pid"
  # The first client starts it, and waits until it answers.
  if [ -n "$socket" ]; then
    until [ -S "$socket" ]; do sleep 0.1; done
    docker -H "unix://$socket" version >/dev/null
  fi
}

verb=$1
shift
while [ $# -gt 0 ]; do
  case $1 in
    --now) [ "$verb" != disable ] || verb=stop ;;
    -*) ;;
    *) break ;;
  esac
  shift
done
mkdir -p /run/units
case $verb in
  daemon-reload | enable | disable) ;;
  start | stop) "$verb" "$1" ;;
  restart)
    stop "$1"
    start "$1"
    ;;
  *)
    echo "systemctl $verb: not known here" >&2
    exit 1
    ;;
esac

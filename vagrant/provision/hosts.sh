#!/bin/sh
# What every host has: the names of all the others, and its certificates.
# HOSTS: address and name of each, with commas between them. FILES: where the files of this host were put. TLS: on or off.
set -eu

# Written in place: in a container the file cannot be replaced. Only what stands between the marks
# is ours, so a second run changes nothing.
kept=$(sed '/^# swarmlab$/,/^# swarmlab end$/d' /etc/hosts)
names=$(echo "$HOSTS" | tr ',' '\n')
printf '%s\n# swarmlab\n%s\n# swarmlab end\n' "$kept" "$names" >/etc/hosts

if [ "$TLS" = on ]; then
  install -d -m 755 /etc/pki/tls
  for file in "$FILES"/certs/*.pem; do
    case $file in
      *key.pem) install -m 600 "$file" /etc/pki/tls/ ;;
      *) install -m 644 "$file" /etc/pki/tls/ ;;
    esac
  done
fi

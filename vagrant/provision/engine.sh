#!/bin/sh
# The Docker engine, from the distribution. ENGINE_ARGS: its words.
set -eu

# Before the package, which starts the engine at once.
install -d -m 755 /etc/swarmlab /etc/systemd/system/docker.service.d
printf 'ENGINE_ARGS="%s"\n' "$ENGINE_ARGS" >/etc/swarmlab/engine.env
install -m 644 "$FILES/units/docker.service.d/swarmlab.conf" /etc/systemd/system/docker.service.d/
systemctl daemon-reload

if ! command -v dockerd >/dev/null; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker.io iptables ca-certificates
fi
systemctl enable -q docker.service
systemctl restart docker.service

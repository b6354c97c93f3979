#!/bin/sh
# The manager, the one endpoint of all engines. MANAGER_ARGS: its words after `swarm`.
set -eu

install -d -m 755 /etc/swarmlab
install -m 755 "$FILES/swarm" /usr/local/bin/swarm.new
mv /usr/local/bin/swarm.new /usr/local/bin/swarm
printf 'MANAGER_ARGS="%s"\n' "$MANAGER_ARGS" >/etc/swarmlab/manager.env
install -m 644 "$FILES/units/swarm-manager.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable -q swarm-manager.service
systemctl restart swarm-manager.service

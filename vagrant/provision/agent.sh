#!/bin/sh
# The agent, which announces this host's engine in the store. AGENT_ARGS: its words after `swarm`.
set -eu

install -d -m 755 /etc/swarmlab
install -m 755 "$FILES/swarm" /usr/local/bin/swarm.new
mv /usr/local/bin/swarm.new /usr/local/bin/swarm
printf 'AGENT_ARGS="%s"\n' "$AGENT_ARGS" >/etc/swarmlab/agent.env
install -m 644 "$FILES/units/swarm-agent.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable -q swarm-agent.service
systemctl restart swarm-agent.service

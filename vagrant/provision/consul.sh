#!/bin/sh
# The discovery store: one Consul server. CONSUL_CONFIG: its configuration, JSON. TLS: on or off.
set -eu

# Debian has Consul up to release 11, Ubuntu up to 22.04. Its package needs nothing but a C library,
# so where the distribution has none any more, Debian 11's is taken, verified like every package.
fetch() {
  release=bullseye
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  apt=$(mktemp -d)
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  own=$(sed -nE 's,^(URIs:|deb( \[[^]]*\])?) +(https?://[^ ]+/debian)/?( .*)?$,\3,p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
  for mirror in $own http://deb.debian.org/debian http://archive.debian.org/debian; do
    echo "deb [signed-by=$keyring] $mirror $release main" >"$apt/sources.list"
    set -- -q -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
      -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root \
      -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none
    if apt-get "$@" update --error-on=any && (cd "$apt" && apt-get "$@" download consul); then
      dpkg-deb -x "$apt"/consul_*.deb "$apt/root"
      install -m 755 "$apt/root/usr/bin/consul" /usr/local/bin/consul
      rm -rf "$apt"
      return 0
    fi
  done
  echo "no mirror has Consul" >&2
  return 1
}

if ! command -v consul >/dev/null; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends consul || {
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debian-archive-keyring
    fetch
  }
fi

install -d -m 755 /etc/swarmlab
(umask 077 && printf '%s\n' "$CONSUL_CONFIG" >/etc/swarmlab/consul.json)
install -m 644 "$FILES/units/swarmlab-consul.service" /etc/systemd/system/
systemctl daemon-reload
systemctl disable -q --now consul.service 2>/dev/null || true
systemctl enable -q swarmlab-consul.service
systemctl restart swarmlab-consul.service

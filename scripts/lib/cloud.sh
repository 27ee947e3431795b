# cloud.sh   sourced by scripts/conformance and scripts/esi-functional: a server of its own with fake hardware
#
# cloud_new NAME             makes the folder $cloud. It ends with the caller, and so does the server; if the caller failed, the
#                            server's log is left as .build/NAME-server.log
# cloud_up [CONFIGURATION]   a site in that folder and a server for it on a free port; the administrator's credentials are in
#                            the environment. CONFIGURATION is more YAML for the site's file
# $cloud_networks  more of the section `networks`, with a comma in front
# $cloud_helpers   processes of the caller's, to be ended with the server
# The caller is in the project's folder. STEELYARD_PRODUCTS names another build.

products=${STEELYARD_PRODUCTS:-.build/debug}
cloud= cloud_server= cloud_name= cloud_helpers=

cloud_down() {
  local status=$?
  trap - EXIT INT TERM
  # shellcheck disable=SC2086
  [ -z "$cloud_helpers" ] || { kill $cloud_helpers 2>/dev/null && wait $cloud_helpers 2>/dev/null; } || true
  [ -z "$cloud_server" ] || { kill "$cloud_server" 2>/dev/null && wait "$cloud_server" 2>/dev/null; } || true
  [ ! -d "$cloud/site/volumes" ] || "$products/steelyard" volumes stop --data "$cloud/site" || true
  if [ $status != 0 ] && [ -s "$cloud/server.log" ]; then
    mkdir -p .build && cp "$cloud/server.log" ".build/$cloud_name-server.log"
    echo "$cloud_name: the server's log is .build/$cloud_name-server.log" >&2
  fi
  [ -z "$cloud" ] || rm -rf "$cloud"
  exit $status
}

cloud_new() { # NAME
  cloud_name=$1
  cloud=$(mktemp -d "${TMPDIR:-/tmp}/steelyard-$cloud_name-XXXXXX")
  trap cloud_down EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

cloud_up() { # [CONFIGURATION]
  [ -x "$products/steelyard" ] || swift build --product steelyard
  local port first name
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # Consoles listen next to the API: a hundred ports that the system does not hand out by itself.
  first=$((10000 + port % 20000))
  cat >"$cloud/site.yaml" <<YAML
listen: {address: 127.0.0.1, port: $port}
networks: {physical_network: datacentre, first_vlan: 2, last_vlan: 4000${cloud_networks:-}}
console: {address: 127.0.0.1, first_port: $first, last_port: $((first + 99))}
fake_hardware: {enabled: true}
${1:-}
YAML
  "$products/steelyard" init --data "$cloud/site" --configuration "$cloud/site.yaml" >"$cloud/init.log"
  "$products/steelyard" serve --data "$cloud/site" --log-level "${STEELYARD_LOG:-info}" >"$cloud/server.log" 2>&1 &
  cloud_server=$!
  for _ in $(seq 100); do
    if python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; then break; fi
    kill -0 $cloud_server 2>/dev/null || { tail -5 "$cloud/server.log" >&2; exit 1; }
    sleep 0.1
  done
  for name in $(env | sed -n 's/^\(OS_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
  export OS_AUTH_URL=$(cloud_value auth_url) OS_USERNAME=$(cloud_value username) OS_PASSWORD=$(cloud_value password)
  export OS_REGION_NAME=$(cloud_value region_name) OS_PROJECT_NAME=$(cloud_value project_name)
  export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default
}
cloud_value() { sed -n "s/^ *$1: *//p" "$cloud/site/clouds.yaml" | head -1; }

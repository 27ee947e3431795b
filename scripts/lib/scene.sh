# scene.sh   sourced by scripts/demo and scripts/story: a lab, a site on it, and a server
#
# scene_up FOLDER NAMESPACE PORT MACHINES ROOM   everything up to a server that answers
# scene_down FOLDER NAMESPACE               everything gone
# The caller is in the project's folder. Progress goes to standard output.

cache=${STEELYARD_CACHE:-$HOME/.cache/steelyard}
products=.build/debug

scene_build() {
  echo "building the server (the first build takes minutes)"
  local log=.build/scene-build.log
  mkdir -p .build
  { swift build --product steelyard && swift build --product steelyard-simulator; } >"$log" 2>&1 &
  local build=$! begun=$SECONDS
  while kill -0 $build 2>/dev/null; do
    sleep 2
    [ $(((SECONDS - begun) % 20)) -lt 2 ] && [ $((SECONDS - begun)) -gt 5 ] && echo "  … $((SECONDS - begun)) s  $(tail -n 1 "$log" | cut -c1-100)"
  done
  wait $build || { grep -E 'error' "$log" | head -20; echo "the build failed; the log is $log"; return 1; }
}

scene_images() { # FOLDER
  echo "building the deploy ramdisk and the tiny operating system"
  # One kernel and one busybox for both.
  nice ramdisk/build "$cache/ramdisk" "$cache/lab" >"$1/ramdisk.log" 2>&1 || { tail -5 "$1/ramdisk.log"; return 1; }
  lab/mk-tiny-image "$1/tiny-a.raw" marker-of-tenant-a "$cache/lab"
  lab/mk-tiny-image "$1/tiny-b.qcow2" marker-of-tenant-b "$cache/lab"
}

scene_up() { # FOLDER NAMESPACE PORT MACHINES ROOM
  local folder=$1 namespace=$2 port=$3 machines=$4 room=$5
  mkdir -p "$folder"
  scene_images "$folder" || return 1
  "$products/steelyard" lab up --data "$folder/lab" --namespace "$namespace" --machines "$machines" --room "$room" || return 1
  python3 - "$folder" "$port" "$cache/ramdisk" <<'CONFIGURATION'
import json, sys
folder, port, ramdisk = sys.argv[1:4]
lab = json.load(open(folder + '/lab/lab.json'))
site = {
    'listen': {'address': '127.0.0.1', 'port': int(port)},
    'provisioning': dict(lab['provisioning'], port=8077, first='10.77.0.50', last='10.77.0.250'),
    'ramdisk': {'kernel': ramdisk + '/kernel', 'initrd': ramdisk + '/initrd'},
    'switches': [lab['switch']],
    'networks': {'physical_network': 'datacentre', 'first_vlan': 200, 'last_vlan': 299},
    'console': {'address': '127.0.0.1', 'first_port': int(port) + 1000, 'last_port': int(port) + 1099},
    'erase': 'full',
    # Two processors for everything: machines that boot at the same time are slow, not broken.
    'limits': {'agent_patience': 300, 'agent_silence': 90, 'power_patience': 30, 'power_sync': 20, 'switch_audit': 20},
}
json.dump(site, open(folder + '/site.json', 'w'), indent=1)
CONFIGURATION
  "$products/steelyard" init --data "$folder/site" --configuration "$folder/site.json" || return 1
  serve "$folder" "$port" || return 1
  scene_values "$folder" >"$folder/scene.json"
}

serve() { # FOLDER PORT
  "$products/steelyard" serve --data "$1/site" --log-level "${STEELYARD_LOG:-info}" >>"$1/server.log" 2>&1 &
  echo $! >"$1/server.pid"
  local tries=0
  until (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries -gt 100 ] || ! kill -0 "$(cat "$1/server.pid")" 2>/dev/null; then
      echo "the server did not start:"; tail -5 "$1/server.log"; return 1
    fi
    sleep 0.1
  done
}

scene_values() { # FOLDER: the names that docs/usage.md uses, as JSON; makes the clouds.yaml of all roles
  python3 - "$1" "$(pwd)/$products/steelyard" "$(cat "$cache/clients")/bin" <<'VALUES'
import json, secrets, sys
folder, program, clients = sys.argv[1:4]
lab = json.load(open(folder + '/lab/lab.json'))
values = {'steelyard': program, 'clients': clients, 'lab': folder + '/lab', 'namespace': lab['namespace'], 'folder': folder, 'clouds': folder + '/clouds.yaml',
          'site': folder + '/site', 'switch': lab['switch']['name'], 'image_a': folder + '/tiny-a.raw', 'image_b': folder + '/tiny-b.qcow2'}
for machine in lab['machines']:
    name = 'm%d' % machine['index']
    for key in ('name', 'address', 'username', 'password', 'driver', 'url', 'fingerprint', 'index'):
        if machine.get(key) is not None:
            values['%s.%s' % (name, key)] = machine[key]
    values[name + '.mac'] = machine['ports'][0]['mac']
    values[name + '.port'] = machine['ports'][0]['port']
text = open(folder + '/site/clouds.yaml').read()
url = text.split('auth_url: ')[1].split()[0]
admin = text.split('password: ')[1].split()[0]
clouds = 'clouds:\n'
for role, user, project in (('admin', 'admin', 'admin'), ('owner', 'owner', 'owner'), ('tenant-a', 'alice', 'tenant-a'), ('tenant-b', 'bob', 'tenant-b')):
    password = admin if role == 'admin' else secrets.token_hex(10)
    values[user + '.password'] = password
    clouds += ('  %s:\n    auth:\n      auth_url: %s\n      username: %s\n      password: %s\n      project_name: %s\n'
               '      user_domain_name: Default\n      project_domain_name: Default\n    region_name: RegionOne\n'
               % (role, url, user, password, project))
with open(values['clouds'], 'w') as f:
    f.write(clouds)
drive = {'meta_data': {'hostname': 'alice-1', 'public_keys': {'mine': 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkxZx alice'}}, 'user_data': '#!/bin/sh\necho USER-DATA-RAN\n'}
with open(folder + '/config-drive.json', 'w') as f:
    json.dump(drive, f)
values['config_drive'] = folder + '/config-drive.json'
json.dump(values, sys.stdout, indent=1)
VALUES
}

scene_down() { # FOLDER NAMESPACE
  if [ -s "$1/server.pid" ] && grep -qa "$1/site" "/proc/$(cat "$1/server.pid")/cmdline" 2>/dev/null; then
    kill "$(cat "$1/server.pid")"
    local tries=0
    while kill -0 "$(cat "$1/server.pid")" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -9 "$(cat "$1/server.pid")" 2>/dev/null || true
  fi
  [ -x "$products/steelyard" ] && "$products/steelyard" lab down --data "$1/lab" --namespace "$2"
  rm -rf "$1"
}

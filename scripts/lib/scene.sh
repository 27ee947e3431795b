# scene.sh   sourced by scripts/demo and scripts/story: a lab, a site on it, and a server
# SCENE_LAB   more words for `steelyard lab up`;  SCENE_CEPH=1   a small Ceph cluster has the volumes
# SCENE_PORTALS=1   the volumes have two portals, with an address each
#
# scene_up FOLDER NAMESPACE PORT MACHINES ROOM [MEMORY]   everything up to a server that answers; MEMORY of each machine in MiB
# scene_down FOLDER NAMESPACE               everything gone
# scene_port_free FOLDER PORT               fails, and says who it is, when the port is taken by anything but the scene's own server
# slowly LOG COMMAND…                       runs a program with its output in LOG, and tells how long it takes and what it says
# The caller is in the project's folder. Progress goes to standard output. A caller that is interrupted calls slowly_end.

cache=${STEELYARD_CACHE:-$HOME/.cache/steelyard}
products=${STEELYARD_PRODUCTS:-.build/debug}

slow=
slowly() {
  local log=$1 begun=$SECONDS next=2; shift
  # In a group of its own: what it has started ends with it.
  setsid "$@" >"$log" 2>&1 </dev/null &
  slow=$!
  while kill -0 "$slow" 2>/dev/null; do
    sleep 0.2
    [ $((SECONDS - begun)) -ge $next ] || continue
    echo "  … $((SECONDS - begun)) s  $(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c1-120)"
    next=$((SECONDS - begun + (next < 10 ? 4 : 15)))
  done
  local status=0
  wait "$slow" || status=$?
  slow=
  return $status
}
slowly_end() { [ -z "$slow" ] || kill -- "-$slow" 2>/dev/null || true; }

scene_build() {
  echo "building the server (the first build takes minutes)"
  local log=.build/scene-build.log
  mkdir -p .build
  slowly "$log" sh -c 'swift build --product steelyard && swift build --product steelyard-simulator' ||
    { grep -m 20 'error:' "$log" || tail -n 5 "$log"; echo "the build failed; the log is $log"; return 1; }
}

scene_images() { # FOLDER
  echo "building the deploy ramdisk, the rescue system and the tiny operating system"
  # One kernel and one busybox for both.
  slowly "$1/ramdisk.log" nice ramdisk/build "$cache/ramdisk" "$cache/lab" || { tail -5 "$1/ramdisk.log"; return 1; }
  slowly "$1/rescue.log" nice ramdisk/build-rescue "$cache/ramdisk/rescue.tar.gz" "$cache/lab" || { tail -5 "$1/rescue.log"; return 1; }
  lab/mk-tiny-image "$1/tiny-a.raw" marker-of-tenant-a "$cache/lab" || return 1
  lab/mk-tiny-image "$1/tiny-b.qcow2" marker-of-tenant-b "$cache/lab" || return 1
  lab/mk-tiny-image "$1/tiny-remembers.raw" marker-that-remembers "$cache/lab" remembers || return 1
  lab/mk-tiny-root "$1/tiny-root" "$cache/lab" || return 1
}

scene_port_free() { # FOLDER PORT
  scene_server_runs "$1" || ! (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null ||
    { echo "port $2 of 127.0.0.1 is taken: $(ss -Hltnp "sport = :$2" | sed -n 's/.*users:((//p' | head -1 | tr -d '()')"; return 1; }
}
scene_server_runs() { # FOLDER
  [ -s "$1/server.pid" ] && grep -qa "$1/site" "/proc/$(cat "$1/server.pid")/cmdline" 2>/dev/null
}

scene_up() { # FOLDER NAMESPACE PORT MACHINES ROOM [MEMORY]
  local folder=$1 namespace=$2 port=$3 machines=$4 room=$5 memory=${6:-384}
  mkdir -p "$folder"
  touch "$folder/.scene"
  scene_port_free "$folder" "$port" || return 1
  scene_images "$folder" || return 1
  "$products/steelyard" lab up --data "$folder/lab" --namespace "$namespace" --machines "$machines" --room "$room" --memory "$memory" \
    ${SCENE_LAB:-} || return 1
  # In the lab's namespace, where tgtd opens the cluster's images.
  [ -z "${SCENE_CEPH:-}" ] || { ip -n "$namespace" link set lo up &&
    slowly "$folder/ceph.log" nsenter --net="/run/netns/$namespace" scripts/lib/ceph-mini up "$folder/ceph"; } || return 1
  if [ -n "${SCENE_PORTALS:-}" ]; then
    ip -n "$namespace" addr add 10.77.0.20/24 dev prov && ip -n "$namespace" addr add 10.77.0.21/24 dev prov || return 1
  fi
  python3 - "$folder" "$port" "$cache/ramdisk" "${SCENE_CEPH:-}" "${SCENE_PORTALS:-}" <<'CONFIGURATION'
import json, sys
folder, port, ramdisk, ceph, portals = sys.argv[1:6]
lab = json.load(open(folder + '/lab/lab.json'))
site = {
    'listen': {'address': '127.0.0.1', 'port': int(port)},
    'provisioning': dict(lab['provisioning'], port=8077, first='10.77.0.50', last='10.77.0.250',
                         volume_first='10.77.0.2', volume_last='10.77.0.19'),
    'ramdisk': {'kernel': ramdisk + '/kernel', 'initrd': ramdisk + '/initrd', 'rescue': ramdisk + '/rescue.tar.gz'},
    'switches': [lab['switch']],
    'networks': {'physical_network': 'datacentre', 'first_vlan': 200, 'last_vlan': 299},
    'console': {'address': '127.0.0.1', 'first_port': int(port) + 1000, 'last_port': int(port) + 1099},
    'erase': 'full',
    # Two processors for everything: machines that boot at the same time are slow, not broken.
    'limits': {'agent_patience': 300, 'agent_silence': 90, 'power_patience': 30, 'power_sync': 20, 'switch_audit': 20},
}
if 'ovn' in lab:
    site['ovn'] = lab['ovn']
if ceph:
    site['volumes'] = {'backends': [{'name': 'ceph', 'driver': 'rbd', 'pool': 'rbd', 'ceph_configuration': folder + '/ceph/ceph.conf'},
                                    {'name': 'local', 'driver': 'local'}]}
if portals:
    site['volumes'] = {'portals': ['10.77.0.20:3260', '10.77.0.21:3260'], 'namespace': lab['namespace']}
json.dump(site, open(folder + '/site.json', 'w'), indent=1)
CONFIGURATION
  "$products/steelyard" init --data "$folder/site" --configuration "$folder/site.json" || return 1
  serve "$folder" "$port" || return 1
  scene_values "$folder" >"$folder/scene.json"
}

serve() { # FOLDER PORT
  setsid "$products/steelyard" serve --data "$1/site" --log-level "${STEELYARD_LOG:-info}" >>"$1/server.log" 2>&1 </dev/null &
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
  python3 - "$1" "$(pwd)/$products/steelyard" "$(cat "$cache/clients")/bin" "$cache/lab/vmlinuz" <<'VALUES'
import json, os, secrets, subprocess, sys
folder, program, clients, kernel = sys.argv[1:5]
lab = json.load(open(folder + '/lab/lab.json'))
values = {'steelyard': program, 'clients': clients, 'lab': folder + '/lab', 'namespace': lab['namespace'], 'folder': folder, 'clouds': folder + '/clouds.yaml',
          'site': folder + '/site', 'switch': lab['switch']['name'], 'ovsdb': lab['switch']['endpoint'],
          'image_a': folder + '/tiny-a.raw', 'image_b': folder + '/tiny-b.qcow2',
          'tiny_root': folder + '/tiny-root', 'tiny_kernel': kernel,
          'image_remembers': folder + '/tiny-remembers.raw',
          'image_debian': folder + '/debian.qcow2'}
for machine in lab['machines']:
    name = 'm%d' % machine['index']
    for key in ('name', 'address', 'username', 'password', 'driver', 'url', 'fingerprint', 'index'):
        if machine.get(key) is not None:
            values['%s.%s' % (name, key)] = machine[key]
    for number, port in enumerate(machine['ports'], 1):
        suffix = '' if number == 1 else str(number)
        values[name + '.mac' + suffix], values[name + '.port' + suffix] = port['mac'], port['port']
site = json.load(open(folder + '/site.json'))
for number, portal in enumerate(site.get('volumes', {}).get('portals', []), 1):
    values['portal_%d' % number] = portal
    values['portal_%d.address' % number] = portal.split(':')[0]
# Of the first machine, as another host of its tenant's network logs in there.
values['key'] = folder + '/key'
if not os.path.exists(values['key']):
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'alice', '-f', values['key']], check=True)
values['guest'] = ('lab/vlan-host %(lab)s 200 run ssh -i %(key)s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null '
                   '-o LogLevel=ERROR -o ConnectTimeout=60 root@10.20.1.11' % values)
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
# (Debian runs it after the login prompt, which would scroll away)
whole = 'echo "USER-DATA-RAN $(ip -4 -br addr show eth0)" >/dev/console\nsystemctl restart serial-getty@ttyS0\n'
for name, host, script in (('config_drive', 'alice-1', 'echo USER-DATA-RAN\n'), ('config_drive_debian', 'alice-debian', whole)):
    drive = {'meta_data': {'hostname': host, 'public_keys': {'mine': 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkxZx alice'}},
             'user_data': '#!/bin/sh\n' + script}
    values[name] = '%s/%s.json' % (folder, name.replace('_', '-'))
    with open(values[name], 'w') as f:
        json.dump(drive, f)
json.dump(values, sys.stdout, indent=1)
VALUES
}

scene_down() { # FOLDER NAMESPACE
  if [ -n "$(ls -A "$1" 2>/dev/null)" ] && [ ! -e "$1/.scene" ] && [ ! -e "$1/site.json" ]; then echo "$1 was not made by this script; it stays"; return 1; fi
  local tries=0 process space
  if scene_server_runs "$1"; then
    kill "$(cat "$1/server.pid")"
    while scene_server_runs "$1" && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    if scene_server_runs "$1"; then kill -9 "$(cat "$1/server.pid")"; fi
  fi
  # Machines may have been left with their volumes.
  [ ! -d "$1/site/volumes" ] || "$products/steelyard" volumes stop --data "$1/site" || true
  [ ! -d "$1/ceph" ] || scripts/lib/ceph-mini down "$1/ceph" || true
  # Tenants' own servers (lab/foreign-boot), and hosts outside (lab/vlan-host).
  for space in $(ip netns list 2>/dev/null | sed -n "s/^\($2-[fv][0-9]*\).*/\1/p"); do
    for process in $(ip netns pids "$space"); do kill "$process"; done
    ip netns del "$space"
  done
  # What a server that was killed has left.
  for process in $(ip netns pids "$2" 2>/dev/null); do
    if grep -qsa "$1/site" "/proc/$process/cmdline"; then kill "$process"; fi
  done
  if [ -x "$products/steelyard" ]; then
    "$products/steelyard" lab down --data "$1/lab" --namespace "$2" || return 1
  elif [ -e "$1/lab" ]; then
    echo "the lab in $1/lab is ended by $products/steelyard, which is not there: swift build --product steelyard, and again"
    return 1
  fi
  rm -rf "$1"
}

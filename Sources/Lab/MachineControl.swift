/// The machine control command: how controllers drive a machine (docs/lab.md, "Machine control").
///
/// A shell script, because `get power` is asked several times a second; only starting a machine calls `steelyard`.
struct MachineControl {
  let lab: Laboratory
  let machine: LabMachine
  init(_ lab: Laboratory, _ machine: LabMachine) {
    self.lab = lab
    self.machine = machine
  }

  var script: String {
    """
    #!/bin/sh
    # control get power|boot | set power on|off | set boot DEVICE once|continuous | set mode bios|uefi | shutdown
    cd \(quoted(lab.machineFolder(machine.index))) || exit 1
    # (a process that has ended and that nobody has reaped yet has no program any more)
    on() { [ -s pid ] && readlink "/proc/$(cat pid)/exe" >/dev/null; }
    case "$1 $2" in
      "get power") on && echo on || echo off ;;
      "get boot") cat boot 2>/dev/null || echo "disk continuous" ;;
      "set power")
        case $3 in
          on) on || exec \(quoted(lab.program)) lab machine-start --data \(quoted(lab.folder)) --namespace \(quoted(lab.namespace)) \(machine.index) ;;
          off)
            on || exit 0
            process=$(cat pid); kill "$process"
            tries=0
            while on; do
              tries=$((tries + 1)); [ $tries = 100 ] && kill -9 "$process"; [ $tries -gt 150 ] && exit 1
              sleep 0.02
            done
            rm -f pid ;;
          *) exit 1 ;;
        esac ;;
      "set boot")
        case $3 in none) rm -f boot ;; pxe | disk | cdrom) echo "$3 ${4:-once}" >boot.new && mv boot.new boot ;; *) exit 1 ;; esac ;;
      "set mode") [ "$3" = \(machine.firmware.rawValue) ] ;;
      "shutdown "*)
        on || exit 0
        printf '{"execute":"qmp_capabilities"}{"execute":"system_powerdown"}' | timeout 2 socat -t1 - UNIX-CONNECT:qmp.sock >/dev/null ;;
      *) echo "control: what is $*?" >&2; exit 1 ;;
    esac

    """
  }

  /// The same for `ipmi_sim`, which asks in its own words: `<mc> get|set|check parameter [value] …`.
  ///
  /// It loses "persistent" on the way, so a boot device other than the disk holds for one boot.
  var chassisScript: String {
    """
    #!/bin/sh
    control=\(quoted(lab.machineFolder(machine.index)))/control
    shift
    verb=$1; shift
    case $verb in
      get)
        for parameter in "$@"; do
          case $parameter in
            power) [ "$("$control" get power)" = on ] && echo power:1 || echo power:0 ;;
            boot) case $("$control" get boot) in pxe*) echo boot:pxe ;; cdrom*) echo boot:cdrom ;; *) echo boot:default ;; esac ;;
            *) exit 1 ;;
          esac
        done ;;
      set)
        while [ $# -gt 1 ]; do
          case $1 in
            power) [ "$2" = 1 ] && "$control" set power on </dev/null >/dev/null 2>&1 || { [ "$2" = 0 ] && "$control" set power off; } || exit 1 ;;
            reset) [ "$("$control" get power)" = on ] && "$control" set power off && "$control" set power on </dev/null >/dev/null 2>&1 ;;
            boot) case $2 in pxe | cdrom) "$control" set boot "$2" once ;; *) "$control" set boot disk continuous ;; esac ;;
            shutdown | graceful_shutdown) "$control" shutdown ;;
            *) exit 1 ;;
          esac
          shift 2
        done ;;
      check) case $1 in power | boot | reset | graceful_shutdown) exit 0 ;; *) exit 1 ;; esac ;;
    esac
    exit 0

    """
  }

  private func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }
}

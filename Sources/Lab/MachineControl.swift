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
    on() { [ -s pid ] && case $(readlink "/proc/$(cat pid)/exe") in *qemu*) ;; *) false ;; esac; }
    # Two controllers, or a controller and a person, may speak at once. (What is started must not hold the lock.)
    alone() { exec 9>lock && flock -w 60 9; }
    # One command to QEMU's monitor (QMP: a greeting, then an answer to each command, events between).
    tell() {
      timeout 10 bash -c '
        coproc socat - UNIX-CONNECT:qmp.sock
        read -r _ <&"${COPROC[0]}" || exit 1
        printf "%s\\n" "{\\"execute\\":\\"qmp_capabilities\\"}" "$1" >&"${COPROC[1]}"
        answers=0
        while read -r line <&"${COPROC[0]}"; do
          case $line in
            *\\"return\\"*) answers=$((answers + 1)); [ $answers = 2 ] && kill "$COPROC_PID" && exit 0 ;;
            *\\"error\\"*) echo "control: $line" >&2; exit 1 ;;
          esac
        done
        exit 1' bash "$1"
    }
    # What firmware finds at its next reset, while the machine stays on.
    disk_at() { tell "{\\"execute\\":\\"qom-set\\",\\"arguments\\":{\\"path\\":\\"/machine/peripheral/disk\\",\\"property\\":\\"bootindex\\",\\"value\\":$1}}"; }
    case "$1 $2" in
      "get power") on && echo on || echo off ;;
      "get boot") cat boot 2>/dev/null || echo "disk continuous" ;;
      "set power")
        case $3 in
          on)
            alone || exit 1
            on && exit 0
            case $(cat boot 2>/dev/null) in *once) once=yes ;; *) once= ;; esac
            \(quoted(lab.program)) lab machine-start --data \(quoted(lab.folder)) --namespace \(quoted(lab.namespace)) \(machine.index) 9>&- || exit 1
            # Used up: a machine that restarts by itself boots what it boots without the override.
            [ -z "$once" ] || disk_at \(MachineStart.diskFirst)
            exit 0 ;;
          off)
            alone || exit 1
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
        alone || exit 1
        case $3 in
          none) rm -f boot ;;
          pxe | disk | cdrom) echo "$3 ${4:-once}" >boot.new && mv boot.new boot ;;
          *) exit 1 ;;
        esac
        case "$3 ${4:-once}" in
          "pxe continuous") on && disk_at \(MachineStart.diskLast) ;;
          none* | "disk continuous") on && disk_at \(MachineStart.diskFirst) ;;
        esac
        exit 0 ;;
      "set mode") [ "$3" = \(machine.firmware.rawValue) ] ;;
      "shutdown "*)
        on || exit 0
        tell '{"execute":"system_powerdown"}' ;;
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

import CLinux
import Glibc
import Processes

/// Turns a machine on: this process becomes QEMU.
///
/// The machine's NICs are taps in the lab's namespace; QEMU itself runs outside. So the taps are opened inside and handed
/// over as descriptors. To be called before any other thread exists: entering a namespace is a thread's own affair.
public enum MachineStart {
  /// - Returns: only when it failed.
  public static func become(_ lab: Laboratory, index: Int) throws {
    guard let machine = lab.machines().first(where: { $0.index == index }) else {
      throw Laboratory.Failure("there is no machine \(index) in \(lab.folder)")
    }
    // The caller is a controller, whose sockets are open here too: a machine that kept them would occupy the
    // controller's address for as long as it is on.
    for name in fileNames(in: "/proc/self/fd") {
      if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }
    let descriptors = try openTaps(machine.taps, namespace: lab.namespace)
    let folder = lab.machineFolder(index)
    let boot = (try? Files.read("\(folder)/boot"))?.split(whereSeparator: \.isWhitespace).map { String($0) } ?? []
    if boot.count > 1, boot[1] == "once" { unlink("\(folder)/boot") }
    unlink("\(folder)/pid")
    let arguments = command(machine, folder: folder, taps: descriptors, boot: boot.first ?? "disk")
    // Swift's threads block signals, and a program inherits that: QEMU would not hear SIGTERM.
    var none = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, nil)
    var pointers = arguments.map { strdup($0) } + [nil]
    execvp(arguments[0], &pointers)
    throw Laboratory.Failure("cannot run \(arguments[0]): \(String(cString: strerror(errno)))")
  }

  private static func openTaps(_ names: [String], namespace: String) throws -> [Int32] {
    let ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)
    let theirs = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
    guard ours >= 0, theirs >= 0, clinux_setns_network(theirs) == 0 else {
      throw Laboratory.Failure("cannot enter network namespace \(namespace): is the lab up?")
    }
    defer {
      _ = clinux_setns_network(ours)
      close(ours)
      close(theirs)
    }
    return try names.map { name in
      let descriptor = clinux_open_tap(name)
      guard descriptor >= 0 else {
        throw Laboratory.Failure("cannot open tap \(name): \(String(cString: strerror(errno)))")
      }
      return descriptor
    }
  }

  /// Where the disk stands in the boot order; the NICs follow each other from 1. The control command changes it while the
  /// machine runs, which firmware sees at its next reset.
  static let diskFirst = 0
  static let diskLast = 99

  private static func command(_ machine: LabMachine, folder: String, taps: [Int32], boot: String) -> [String] {
    let isNetwork = boot == "pxe"
    var arguments = [
      "qemu-system-x86_64", "-name", machine.name, "-machine", "q35,graphics=off", "-accel", "tcg,tb-size=128", "-cpu",
      "Westmere",
      "-smp", "1", "-m", "\(machine.memory)", "-display", "none", "-nodefaults", "-uuid", machine.uuid,
      "-smbios", "type=1,manufacturer=Steelyard,product=Lab machine,serial=LAB\(machine.index)",
    ]
    if machine.firmware == .uefi {
      arguments += [
        "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
        "-drive", "if=pflash,format=raw,file=\(folder)/vars.fd",
      ]
    }
    arguments += [
      "-drive",
      "if=none,id=disk0,file=\(folder)/disk.qcow2,format=qcow2,discard=unmap,detect-zeroes=unmap,cache=writeback",
      "-device",
      (machine.disk == .virtio ? "virtio-blk-pci" : "nvme")
        + ",id=disk,drive=disk0,serial=DISK\(machine.index),bootindex=\(isNetwork ? diskLast : diskFirst)",
    ]
    for (number, (descriptor, mac)) in zip(taps, machine.macs).enumerated() {
      arguments += [
        // Opened without IFF_VNET_HDR: checksum offload and a userspace switch do not go together.
        "-netdev", "tap,id=net\(number),fd=\(descriptor)",
        "-device", "virtio-net-pci,netdev=net\(number),mac=\(mac),bootindex=\(number + 1)",
      ]
    }
    return arguments + [
      "-device", "virtio-rng-pci",
      // The serial port: to the relay, which outlives the machine, and to a log.
      "-chardev",
      "socket,id=serial,host=\(machine.serialAddress),port=\(machine.serialPort + 100),reconnect=1,logfile=\(folder)/serial.log,logappend=on",
      "-serial", "chardev:serial",
      // The tiny test system's shell for programs.
      "-chardev", "socket,id=shell,path=\(folder)/shell.sock,server=on,wait=off", "-serial", "chardev:shell",
      "-qmp", "unix:\(folder)/qmp.sock,server=on,wait=off", "-pidfile", "\(folder)/pid", "-daemonize",
    ]
  }
}

import Domain
import DriverInterfaces
import Glibc
import Processes
import Synchronization

/// Who is admitted, as files: a label for each NIC, which is the truth, and a line for dnsmasq, which follows it.
///
/// The line of a NIC that is denied stays, with `ignore` in it; see ``DnsmasqBoot``. All calls block.
final class Reservations: Sendable {
  private let configuration: DnsmasqConfiguration
  /// One change at a time: a start of dnsmasq must not write down again who is being denied meanwhile.
  private let turn = Mutex(())

  /// Makes the folders.
  init(_ configuration: DnsmasqConfiguration) throws {
    self.configuration = configuration
    for path in [configuration.folder, configuration.hostsFolder, configuration.labelsFolder, configuration.tftpFolder]
    {
      guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw failure("make the folder \(path)") }
    }
  }

  /// - Parameter address: of a machine that boots from a volume, which has this one alone.
  func admit(_ macs: [MACAddress], label: String, address: IPAddress? = nil) throws {
    try turn.withLock { _ in
      for mac in macs {
        let note = "\(configuration.labelsFolder)/\(mac)"
        let wasAdmitted = access(note, F_OK) == 0
        try write(note, label + "\n" + (address.map { "\($0)\n" } ?? ""))
        do { try write("\(configuration.hostsFolder)/\(mac)", line(mac, address)) } catch {
          if !wasAdmitted { unlink(note) }
          throw error
        }
      }
    }
  }

  private func line(_ mac: MACAddress, _ address: IPAddress?) -> String {
    address.map { "\(mac),set:admitted,set:volume,set:\(DnsmasqConfiguration.tag(of: $0))\n" }
      ?? "\(mac),set:admitted\n"
  }

  func deny(_ macs: [MACAddress]) throws {
    try turn.withLock { _ in
      for mac in macs where access("\(configuration.labelsFolder)/\(mac)", F_OK) == 0 {
        try deny(mac)
        guard unlink("\(configuration.labelsFolder)/\(mac)") == 0 || errno == ENOENT else {
          throw failure("remove the admission of \(mac)")
        }
      }
    }
  }

  /// A full disk must not keep a machine admitted: the line is then written over the old one, which is longer and needs no
  /// room. dnsmasq reads it either way when it is closed.
  private func deny(_ mac: MACAddress) throws {
    let (path, line) = ("\(configuration.hostsFolder)/\(mac)", "\(mac),ignore\n")
    do { try write(path, line) } catch let error as DriverError where error.code == .busy {
      let descriptor = open(path, O_WRONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw error }
      defer { close(descriptor) }
      let bytes = Array(line.utf8)
      guard pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, ftruncate(descriptor, off_t(bytes.count)) == 0
      else { throw error }
    }
  }

  /// The NIC that has an address by a lease which is not over. Source: dnsmasq's lease file, "EXPIRY MAC ADDRESS NAME ID".
  func holder(of address: IPAddress) -> MACAddress? {
    let now = time(nil)
    for line in read("\(configuration.folder)/leases").split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count > 2, IPAddress(String(words[2])) == address, let expiry = Int(words[0]), expiry > now else {
        continue
      }
      return MACAddress(String(words[1]))
    }
    return nil
  }

  /// The NICs admitted now, with their labels.
  func labels() -> [MACAddress: String] {
    var found: [MACAddress: String] = [:]
    for name in fileNames(in: configuration.labelsFolder) {
      guard let mac = MACAddress(name) else { continue }
      let text = read("\(configuration.labelsFolder)/\(name)")
      found[mac] = text.split(separator: "\n").first.map { String($0) } ?? ""
    }
    return found
  }

  /// Before every start of dnsmasq: its configuration, iPXE's programs, and lines for those who are admitted and nobody
  /// else.
  func prepare() throws {
    try turn.withLock { _ in
      try write("\(configuration.folder)/dnsmasq.conf", configuration.text)
      for name in fileNames(in: configuration.hostsFolder) { unlink("\(configuration.hostsFolder)/\(name)") }
      for mac in labels().keys {
        let note = read("\(configuration.labelsFolder)/\(mac)").split(separator: "\n")
        let address = note.count > 1 ? IPAddress(String(note[1])) : nil
        try write("\(configuration.hostsFolder)/\(mac)", line(mac, address))
      }
      // An address that a machine had before is no reason to have it again.
      unlink("\(configuration.folder)/leases")
      for program in ["undionly.kpxe", "snponly.efi", "ipxe.efi"] {
        let target = "\(configuration.tftpFolder)/\(program)"
        unlink(target)
        guard symlink("/usr/lib/ipxe/\(program)", target) == 0 else { throw failure("link \(target)") }
      }
    }
  }

  // MARK: Files

  /// Whole or not at all; dnsmasq passes over names that begin with a dot.
  private func write(_ path: String, _ text: String) throws {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let temporary = path[...slash] + "." + path[path.index(after: slash)...] + ".new"
    let descriptor = open(String(temporary), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure("write \(path)") }
    let bytes = Array(text.utf8)
    errno = ENOSPC
    let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    guard isWritten, rename(String(temporary), path) == 0 else {
      let failure = failure("write \(path)")
      close(descriptor)
      unlink(String(temporary))
      throw failure
    }
    close(descriptor)
  }
  private func read(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var (text, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 16 << 10))
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += buffer[..<count]
    }
  }
  private func failure(_ what: String) -> DriverError {
    let number = errno
    let isFull = number == ENOSPC || number == EDQUOT
    return DriverError(
      isFull ? .busy : .refused, device: .bootServices,
      detail: "cannot \(what): \(String(cString: strerror(number)))"
        + (isFull ? "; free space on the server's disk, then ask again" : "; see to the folder's permissions"))
  }
}

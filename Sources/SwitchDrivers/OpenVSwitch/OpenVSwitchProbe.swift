import CLinux
import DriverInterfaces
import Glibc
import Processes
import Wire

extension OpenVSwitch: IsolationProbing {
  /// Interfaces of type internal appear on the host of ovs-vswitchd, so that is where this must run: they are made, used, and removed
  /// again whatever happens. What an earlier probe left, killed in between, is removed first.
  public func probeIsolation(between first: Int, and second: Int) async throws -> IsolationProbe {
    guard (1...4094).contains(first), (1...4094).contains(second), first != second else {
      throw DriverError(.refused, device: .networkSwitch(name), detail: "a probe is between two VLANs from 1 to 4094")
    }
    let process = try await daemonProcess()
    let ports = [(first, 1), (first, 2), (second, 3), (second, 4)].map { vlan, number in
      ProbePorts.Port(
        interface: "syprobe\(number)", vlan: UInt16(vlan), mac: [0x52, 0x54, 0, 0x78, 0xff, UInt8(number)])
    }
    try await removeProbePorts()
    let probe: IsolationProbe
    do {
      try await makeProbePorts(ports)
      probe = try await withCheckedThrowingContinuation { continuation in
        startThread("probe") {
          continuation.resume(
            with: Result { try ProbePorts(ports, namespaceOf: process).run() })
        }
      }
    } catch {
      try? await removeProbePorts()
      if let failure = error as? ProbePorts.Failure {
        throw DriverError(.unsupported, device: .networkSwitch(name), detail: failure.description)
      }
      throw error
    }
    try await removeProbePorts()
    return probe
  }

  /// The process of ovs-vswitchd on this host.
  private func daemonProcess() async throws(DriverError) -> pid_t {
    func wrong(_ detail: String) -> DriverError {
      DriverError(.unsupported, device: .networkSwitch(name), detail: detail)
    }
    guard let path = control?.socketPath else {
      throw wrong("a probe needs the switch's `control` in the configuration: it runs on the switch's own host only")
    }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw wrong("\(path) is too long") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    let process = connected == 0 ? clinux_peer_process(descriptor) : -1
    guard process > 0 else {
      throw wrong("\(path) does not tell who listens there: \(String(cString: strerror(errno)))")
    }
    return process
  }

  private static let probeKey = "steelyard-probe"

  private func makeProbePorts(_ ports: [ProbePorts.Port]) async throws(DriverError) {
    var operations: [JSON] = []
    for (index, port) in ports.enumerated() {
      let mac = port.mac.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined(separator: ":")
      operations.append([
        "op": "insert", "table": "Interface", "uuid-name": .string("interface\(index)"),
        "row": ["name": .string(port.interface), "type": "internal", "mac": .string(mac)],
      ])
      operations.append([
        "op": "insert", "table": "Port", "uuid-name": .string("port\(index)"),
        "row": [
          "name": .string(port.interface), "interfaces": ["named-uuid", .string("interface\(index)")],
          "vlan_mode": "access", "tag": .int(Int(port.vlan)),
          "external_ids": OVSDBValue.map([Self.probeKey: "1"]),
        ],
      ])
    }
    let made = ports.indices.map { JSON.array(["named-uuid", .string("port\($0)")]) }
    operations.append([
      "op": "mutate", "table": "Bridge", "where": [["name", "==", .string(bridge)]],
      "mutations": [["ports", "insert", OVSDBValue.set(made)]],
    ])
    try await inForce(operations)
  }

  /// Port rows that no bridge has are removed by the database itself, and their interfaces with them.
  private func removeProbePorts() async throws(DriverError) {
    let found = try await run([
      [
        "op": "select", "table": "Port", "columns": ["_uuid"],
        "where": [["external_ids", "includes", OVSDBValue.map([Self.probeKey: "1"])]],
      ]
    ])
    let ports = (found.first?["rows"]?.array ?? []).compactMap { OVSDBValue.id($0["_uuid"]) }
    guard !ports.isEmpty else { return }
    try await inForce([
      [
        "op": "mutate", "table": "Bridge", "where": [["name", "==", .string(bridge)]],
        "mutations": [["ports", "delete", OVSDBValue.set(ports.map { OVSDBValue.uuid($0) })]],
      ]
    ])
  }
}

extension SwitchQueue: IsolationProbing {
  public func probeIsolation(between first: Int, and second: Int) async throws -> IsolationProbe {
    try await alone { driver in
      guard let probing = driver as? any IsolationProbing else {
        throw DriverError(
          .unsupported, device: .networkSwitch(driver.name),
          detail: "this host cannot put ports of its own on a switch of this kind")
      }
      return try await probing.probeIsolation(between: first, and: second)
    }
  }
}

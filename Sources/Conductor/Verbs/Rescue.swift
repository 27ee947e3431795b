import Cryptography
import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  /// Checks what a rescue needs and collects its parameters: the password's hash, sealed. Nothing else keeps the password.
  ///
  /// Hardware that is rescued by its own means has nobody to log in.
  func rescue(_ node: inout Node, _ parameters: JSONObject, in session: any Session) throws -> JSONObject {
    let password = parameters["rescue_password"]?.string ?? node.instanceInfo["rescue_password"]?.string
    node.instanceInfo["rescue_password"] = nil
    guard hardwareType(named: node.driver)?.needsAgent ?? true else { return [:] }
    try requireNetworkBoot(node, in: session)
    guard settings.rescueSystem != nil else {
      throw ConductorError(
        .conflict,
        "This site has no rescue system: the administrator can build it with ramdisk/build-rescue and name it in ramdisk.rescue."
      )
    }
    if let boot = try VolumeBootStore.get(node: node.uuid, in: session) {
      // Its NIC is admitted for the volumes alone.
      throw ConductorError(
        .conflict,
        boot.ramdisk != nil
          ? "Node \(node.uuid) runs from its memory: it is as it was deployed after a reboot."
          : boot.isForDataAlone
            ? "Node \(node.uuid) has volumes attached: detach them, and rescue it then."
            : "Node \(node.uuid) runs from a volume: undeploy it and attach the volume to another machine to mend what is on it."
      )
    }
    // What crypt(3) takes whole, and a login line too.
    guard let password, (1...255).contains(password.utf8.count), password.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }),
      let hash = Password.sha512Hash(password)
    else {
      throw ConductorError(.badRequest, "A rescue password has 1 to 255 bytes, and no control characters.")
    }
    return ["password": .string(database.secrets.sealText(hash, context: Self.rescueContext(node.uuid)))]
  }
  static func rescueContext(_ node: String) -> String { "rescue/\(node)" }
}

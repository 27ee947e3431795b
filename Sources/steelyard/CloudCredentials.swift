import Glibc
import Wire
import Yams

/// What every OpenStack client reads from the environment and clouds.yaml. Source: openstacksdk, "Configuring OpenStack SDK
/// Applications"; keystoneauth, "Authentication Plugins".
struct CloudCredentials {
  var url: String?
  var user: String?
  var password: String?
  var project = "admin"
  /// `{"name"}` or `{"id"}`.
  var userDomain: JSON = ["name": "Default"]
  var projectDomain: JSON = ["name": "Default"]
  var token: String?
  /// A file of certificates to trust instead of the system's.
  var authority: String?
  var isVerified = true
  private var type: String?

  enum Kind: Equatable {
    case none
    case basic(user: String, password: String)
    case token(String)
    case password
  }
  /// - Throws: ``Failure`` for an `auth_type` that is not known, or whose credentials are not whole.
  var kind: Kind {
    get throws {
      let implied = token != nil ? "token" : url != nil ? "password" : user != nil ? "http_basic" : "none"
      switch type ?? implied {
      case "none": return .none
      case "http_basic":
        guard let user, let password else { throw Failure("http_basic needs a username and a password") }
        return .basic(user: user, password: password)
      case "token", "v3token", "admin_token":
        guard let token else { throw Failure("there is no token") }
        return .token(token)
      case "password", "v3password": return .password
      case let other: throw Failure("the auth_type is none, http_basic, token or password, not '\(other)'")
      }
    }
  }

  /// - Parameter prefix: what stands before the names of the variables.
  static func read(prefix: String = "") throws -> CloudCredentials {
    func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    var settings: [String: String] = [:]
    var credentials = CloudCredentials()
    if let cloud = environment(prefix + "OS_CLOUD") {
      let home = environment("HOME") ?? "/root"
      let places = [
        environment(prefix + "OS_CLIENT_CONFIG_FILE"), environment("OS_CLIENT_CONFIG_FILE"), "clouds.yaml",
        "\(home)/.config/openstack/clouds.yaml", "/etc/openstack/clouds.yaml",
      ]
      guard let path = places.compactMap({ $0 }).first(where: { access($0, R_OK) == 0 }) else {
        throw Failure("\(prefix)OS_CLOUD is set and there is no clouds.yaml")
      }
      guard let file = try Yams.load(yaml: readFile(path)) as? [String: Any],
        let clouds = file["clouds"] as? [String: Any],
        let entry = clouds[cloud] as? [String: Any]
      else { throw Failure("\(path) has no cloud '\(cloud)'") }
      for (name, value) in entry["auth"] as? [String: Any] ?? [:] { settings[name] = "\(value)" }
      for name in ["cacert", "auth_type"] { if let value = entry[name] as? String { settings[name] = value } }
      if entry["verify"] as? Bool == false { credentials.isVerified = false }
    }
    for name in [
      "auth_url", "auth_type", "username", "password", "token", "project_name", "user_domain_name",
      "project_domain_name", "user_domain_id", "project_domain_id", "cacert",
    ] {
      if let value = environment(prefix + "OS_" + name.uppercased()) { settings[name] = value }
    }
    credentials.url = settings["auth_url"]
    credentials.user = settings["username"]
    credentials.password = settings["password"]
    credentials.project = settings["project_name"] ?? credentials.project
    func domain(_ of: String) -> JSON {
      if let name = settings["\(of)_domain_name"] { return ["name": .string(name)] }
      return settings["\(of)_domain_id"].map { ["id": .string($0)] } ?? ["name": "Default"]
    }
    credentials.userDomain = domain("user")
    credentials.projectDomain = domain("project")
    credentials.token = settings["token"]
    credentials.authority = settings["cacert"]
    credentials.type = settings["auth_type"]
    return credentials
  }
}
